"""Full disks: clear words, nothing lost that was acknowledged, and all well by itself once there is room."""

from __future__ import annotations

import imaplib
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from tests.lmtp_load import Outcome, assert_kept, deliver_once, running_load
from tests.stand import Answer, Box, Stand, wait_for
from tests.visitor import Visitor
from tests.volumes import Volume, mount_data_dir, unmount

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small filesystem needs root"),
]

#: What a person understands, whoever says it.
FULL = re.compile(r"no space left|\bdisk\b.* full|\bfull\b.* disk|\bdisk has room", re.IGNORECASE)


@dataclass
class Place:
    """A stand whose folders lie on small volumes."""

    stand: Stand
    volumes: dict[str, Volume]


@pytest.fixture(scope="module")
def small(make_stand: Callable[..., Stand]) -> Iterator[Place]:
    """The stand, running."""
    stand = make_stand()
    volumes = mount_data_dir(stand)
    try:
        stand.start()
        yield Place(stand, volumes)
    finally:
        stand.stop()
        unmount(volumes)
        stand.remove()


@pytest.fixture
def place(small: Place) -> Iterator[Place]:
    """The stand with room on all volumes, before the test and after it."""
    yield small
    for volume in small.volumes.values():
        volume.free()
    wait_for(small.stand.works, "all parts to work again")


def says_full(answer: Answer) -> None:
    """Check that a command failed with one line that says why."""
    assert answer.code != 0, answer.stdout
    assert len(answer.stderr.splitlines()) == 1, answer.stderr
    assert FULL.search(answer.stderr), answer.stderr


def status(stand: Stand) -> dict[str, Any]:
    """Return what the mail service says of itself; {} while its supervisor does not answer."""
    answer = stand.command("servicectl", "status")
    return dict(answer.json) if answer.code == 0 else {}


@pytest.mark.long
def test_no_room_for_a_new_mailbox(place: Place) -> None:
    stand, volume = place.stand, place.volumes["mail"]
    address = f"anna@{stand.new_domain()}"
    before = set(stand.data_dir.mail.rglob("*/*"))
    volume.fill()
    says_full(stand.command("createmailbox", address, stdin="a-good-passw0rd\n"))
    assert "no mailbox" in stand.command("showmailbox", address).stderr
    assert set(stand.data_dir.mail.rglob("*/*")) == before, "something was left half"
    assert stand.must("checkmail")["failures"] == []
    volume.free()
    created = stand.must("createmailbox", address, stdin="a-good-passw0rd\n")
    assert Box(stand, address, "a-good-passw0rd", created["home"]).subjects() == ["Welcome to your mailbox"]


@pytest.mark.long
def test_no_room_for_a_delivery(place: Place) -> None:
    stand, volume = place.stand, place.volumes["mail"]
    box = stand.new_mailbox()
    path = stand.data_dir.lmtp_socket
    outcome = deliver_once(path, box.address)
    volume.fill()
    for body in ("Short.", "A long one.\n" * 50_000):
        outcome.add(deliver_once(path, box.address, body=body))
    assert len(outcome.refused) == 2, outcome
    assert not outcome.bounced, "what is over soon is no reason to give a message back"
    refused = stand.command("deliver", box.address, stdin="Subject: x\n\nx\n")
    assert refused.code == 1
    assert refused.json["refused"][box.address].startswith("4")
    assert len(box.subjects()) == 2, "mail cannot be read while the disk is full"
    volume.free()
    outcome.add(deliver_once(path, box.address, body="A long one.\n" * 50_000))
    assert len(outcome.acknowledged) == 2, outcome
    assert_kept(outcome, [box])


@pytest.mark.long
def test_no_room_for_dovecots_log(place: Place) -> None:
    """Dovecot ends then (exit code 81): it does not work without writing down what it does."""
    stand, volume = place.stand, place.volumes["events"]
    box = stand.new_mailbox()
    box.deliver("Before")
    before = status(stand)["pid"]
    volume.fill()

    def has_ended() -> bool:
        # The log's last block has room for some lines more.
        with suppress(OSError, EOFError, imaplib.IMAP4.error):
            box.subjects()
        return bool(status(stand).get("pid") != before)

    wait_for(has_ended, "Dovecot to end")
    wait_for(lambda: bool(FULL.search(status(stand).get("error") or "")), "the status to say that it is full")
    assert stand.health()["parts"]["mail"] != "ok"
    volume.free()
    wait_for(stand.works, "the mail service to come back")
    box.deliver("After")
    assert box.subjects()[1:] == ["Before", "After"]


@pytest.mark.long
def test_no_room_for_the_database(place: Place) -> None:
    stand, volume = place.stand, place.volumes["database"]
    if stand.cluster_url:
        pytest.skip("PostgreSQL's disk is not one of this stand's")
    box = stand.new_mailbox()
    email, password = f"a{secrets.token_hex(4)}@host.test", "an-admins-passw0rd"
    stand.must("createadmin", email, stdin=f"{password}\n")
    admin = Visitor(stand.url)
    assert admin.sign_in(email, password).code == 200
    mailbox_id = box.home.name.rpartition("-")[2]
    volume.fill()
    says_full(write_until_refused(stand, box.address.partition("@")[2]))
    assert admin.get(f"/mailboxes/{mailbox_id}/").code == 200, "reading needs no room"
    for page in (
        admin.post(f"/mailboxes/{mailbox_id}/suspend/"),
        Visitor(stand.url).sign_in(email, password),
    ):
        assert page.code == 503
        assert "its disk has room" in page.text
    assert box.subjects() == ["Welcome to your mailbox"]
    box.deliver("While the database is full")
    volume.free()
    assert not [found for found in stand.must("checkmail", "--repair")["failures"] if not found["mended"]]
    assert stand.new_mailbox().subjects() == ["Welcome to your mailbox"]
    assert admin.post(f"/mailboxes/{mailbox_id}/suspend/").code == 200
    assert stand.must("showmailbox", box.address)["state"] == "suspended"


def write_until_refused(stand: Stand, domain: str) -> Answer:
    """Create mailboxes until the database has no room; SQLite's log of changes may have some left."""
    for number in range(20):
        answer = stand.command("createmailbox", f"box{number}@{domain}", stdin="a-good-passw0rd\n")
        if answer.code:
            return answer
    raise AssertionError("a full disk took 20 mailboxes")


@pytest.mark.long
def test_no_room_at_the_first_start(make_stand: Callable[..., Stand]) -> None:
    """Each attempt ends with a sentence, and leaves nothing that is in the way of the next."""
    stand = make_stand()
    volumes = mount_data_dir(stand)
    try:
        for name in ("data", "mail") if stand.cluster_url else ("data", "mail", "database"):
            volumes[name].fill()
            stand.start(wait=False)
            assert stand.process is not None
            assert stand.process.wait(60) != 0
            assert FULL.search(stand.log), stand.log
            assert "Traceback" not in stand.log
            (stand.folder / "start.log").unlink()
            volumes[name].free()
        stand.start()
        assert stand.new_mailbox().subjects() == ["Welcome to your mailbox"]
    finally:
        stand.stop()
        unmount(volumes)
        stand.remove()


@pytest.mark.long
def test_no_room_at_all(place: Place) -> None:
    """All volumes at once, as where everything lies on one disk, while mail is delivered."""
    stand = place.stand
    box = stand.new_mailbox()
    outcome = Outcome()
    with running_load(stand.data_dir.lmtp_socket, [box.address], outcome) as load:
        wait_for(lambda: load.acknowledged >= 20, "deliveries")
        for volume in place.volumes.values():
            volume.fill()
        wait_for(lambda: status(stand).get("state") != "RUNNING", "the mail service to notice")
        says_full(stand.command("createmailbox", box.address.replace("anna", "ben"), stdin="a-passw0rd\n"))
        for volume in place.volumes.values():
            volume.free()
        wait_for(stand.works, "all parts to work again")
        before = load.acknowledged
        wait_for(lambda: load.acknowledged >= before + 20, "deliveries again")
    assert not outcome.bounced
    assert_kept(outcome, [box])
    assert not [found for found in stand.must("checkmail", "--repair")["failures"] if not found["mended"]]
    assert stand.new_mailbox().subjects() == ["Welcome to your mailbox"]
