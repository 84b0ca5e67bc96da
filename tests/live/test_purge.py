"""A delivery in flight while a mailbox is purged and its address given on: the new owner never sees a byte of it."""

from __future__ import annotations

import imaplib
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailbackend.paths import SERVICE_ACCOUNT
from panel.core.clock import TEST_CLOCK
from tests.panel_client import PanelClient
from tests.stand import PATIENCE, Box, Stand, wait_for

pytestmark = pytest.mark.live

SECRET = "the first owner's secret"


class HeldDelivery:
    """An LMTP conversation (RFC 2033) that stops in the middle of a message."""

    def __init__(self, stand: Stand) -> None:
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.settimeout(PATIENCE)
        self.connection.connect(str(stand.data_dir.lmtp_socket))
        self.stream = self.connection.makefile("rwb")

    def begin(self, address: str) -> None:
        """Send all of the envelope and half of the message."""
        assert self._reply().startswith("220")
        for line, expected in (
            ("LHLO tests", "250"),
            ("MAIL FROM:<>", "250"),
            (f"RCPT TO:<{address}>", "250"),
            ("DATA", "354"),
        ):
            self._send(f"{line}\r\n")
            answer = self._reply()
            assert answer.startswith(expected), (line, answer)
        # Long enough that Dovecot has begun to write it to the disk.
        self._send(f"Subject: {SECRET}\r\n\r\n" + f"{SECRET}\r\n" * 20_000)

    def finish(self) -> str:
        """Send the rest and return the answer."""
        self._send(f"{SECRET}\r\n.\r\n")
        return self._reply()

    def _send(self, text: str) -> None:
        self.stream.write(text.encode())
        self.stream.flush()

    def _reply(self) -> str:
        while True:
            line = self.stream.readline().decode()
            if line[3:4] != "-":
                return line


@contextmanager
def held_delivery(stand: Stand, address: str) -> Iterator[HeldDelivery]:
    """Hold a delivery half sent."""
    delivery = HeldDelivery(stand)
    try:
        delivery.begin(address)
        yield delivery
    finally:
        delivery.connection.close()


def allow_test_clock(stand: Stand) -> None:
    """Put the file there that allows another time."""
    clock = stand.data_dir.root / TEST_CLOCK
    clock.touch()
    if os.geteuid() == 0:
        shutil.chown(clock, SERVICE_ACCOUNT, SERVICE_ACCOUNT)


def in_two_weeks() -> str:
    """Return a time at which what is deleted now cannot be restored any more."""
    return (datetime.now(UTC) + timedelta(days=14, hours=1)).isoformat()


def holds_the_secret(folder: Path) -> list[Path]:
    """Return the files below a folder that hold a byte of the first owner's message."""
    found = []
    # What is erased meanwhile holds nothing: os.walk passes over folders that are gone.
    for place, _folders, names in os.walk(folder):
        for path in (Path(place, name) for name in names):
            with suppress(FileNotFoundError):
                if SECRET.encode() in path.read_bytes():
                    found.append(path)
    return found


def delete(stand: Stand, box: Box, what: str) -> None:
    """Delete a mailbox by command, or its whole domain in the panel."""
    if what == "mailbox":
        stand.must("deletemailbox", box.address)
    else:
        domain = box.address.partition("@")[2]
        assert "is deleted" in PanelClient(stand).send(f"/domains/{domain}/delete/", confirm=domain)


def give_on(stand: Stand, box: Box, what: str) -> Box:
    """Give a mailbox's address to its next owner: with the whole domain, to another customer."""
    if what == "domain":
        domain = box.address.partition("@")[2]
        customer = f"Next of {domain}"
        stand.must("createcustomer", customer, "--owner", f"owner@{domain}", stdin="correct-horse-battery\n")
        stand.must("createdomain", domain, "--customer", customer)
    created = stand.must("createmailbox", box.address, stdin="another-passw0rd\n")
    return Box(stand, box.address, "another-passw0rd", Path(created["home"]))


@pytest.mark.parametrize(
    ("what", "given"),
    [
        ("mailbox", "after the purge"),
        pytest.param("domain", "before the purge", marks=pytest.mark.long),
        pytest.param("mailbox", "before the purge", marks=pytest.mark.long),
        pytest.param("domain", "after the purge", marks=pytest.mark.long),
    ],
)
def test_a_delivery_in_flight_never_reaches_the_next_owner(stand: Stand, what: str, given: str) -> None:
    allow_test_clock(stand)
    box = stand.new_mailbox()
    box.deliver(SECRET)
    with held_delivery(stand, box.address) as delivery:
        delete(stand, box, what)
        if given == "before the purge":
            following = give_on(stand, box, what)
        purged = stand.must("purge", "--at", in_two_weeks())
        assert purged["failures"] == []
        assert purged["mailboxes"] >= 1
        assert not box.home.exists()
        if given == "after the purge":
            following = give_on(stand, box, what)
        assert following.home != box.home
        answer = delivery.finish()
    # Dovecot may take it or not: whoever gets it, it is not the next owner.
    assert answer[:1] in "245", answer
    assert following.subjects() == ["Welcome to your mailbox"]
    assert folders_hold(following) == 1
    assert holds_the_secret(following.home) == []
    came_back = box.home.exists()
    report = stand.must("checkmail", "--repair")
    late = [failure for failure in report["failures"] if str(box.home).endswith(failure["subject"])]
    assert len(late) == came_back, report["failures"]
    wait_for(lambda: holds_the_secret(stand.data_dir.root / "mail") == [], "the mail root to be free of it")
    wait_for(lambda: holds_the_secret(stand.data_dir.retired) == [], "the retired homes to be erased")
    assert following.subjects() == ["Welcome to your mailbox"]
    following.deliver("For the next owner")
    assert following.subjects() == ["Welcome to your mailbox", "For the next owner"]


def is_closed(client: imaplib.IMAP4) -> bool:
    """Whether the server ended a session."""
    try:
        return client.noop()[0] != "OK"
    except (imaplib.IMAP4.error, OSError):
        return True


def folders_hold(box: Box) -> int:
    """Return how many messages all folders of a mailbox hold, as IMAP shows them."""
    with box.imap() as client:
        _status, rows = client.list()
        names = [row.decode().rsplit(" ", 1)[1] for row in rows if isinstance(row, bytes)]
        total = 0
        for name in names:
            _status, (count,) = client.select(name, readonly=True)
            assert isinstance(count, bytes)
            total += int(count)
        return total


def test_open_sessions_end_before_the_home_goes(stand: Stand) -> None:
    allow_test_clock(stand)
    box = stand.new_mailbox()
    with box.imap() as client:
        client.select("INBOX")
        stand.must("deletemailbox", box.address)
        assert stand.must("purge", "--at", in_two_weeks())["failures"] == []
        wait_for(lambda: is_closed(client), "the session to end")
    assert not box.home.exists()
    with pytest.raises(imaplib.IMAP4.error), box.imap():
        pass
    assert not box.home.exists()


@pytest.mark.long
def test_purge_while_the_mail_service_is_stopped(make_stand: Callable[..., Stand]) -> None:
    """On a stand of its own: nothing that POP deleted before waits there for the mail service."""
    stand = make_stand()
    stand.start()
    allow_test_clock(stand)
    box = stand.new_mailbox()
    stand.must("servicectl", "stop")
    try:
        stand.must("deletemailbox", box.address)
        assert stand.must("purge", "--at", in_two_weeks())["failures"] == []
    finally:
        stand.must("servicectl", "start")
    assert not box.home.exists()
    wait_for(stand.works, "all parts to work again")
