"""Device passwords with a real Dovecot: which opens what, what each is told, and each one's view of the inbox."""

from __future__ import annotations

import imaplib
import poplib
import smtplib
import time
from collections.abc import Iterator

import pytest

from mailbackend.dovecot import events
from mailbackend.dovecot.doveadm import Doveadm
from mailbackend.dovecot.events import read_event
from tests.mailbackend.dovecot_stand import (
    ADDRESS,
    API_KEY,
    PASSWORD,
    PATIENCE,
    Stand,
    make_stand,
    supervised,
)

pytestmark = pytest.mark.live

PC, PHONE, SHARED, IMAP_ONLY = (f"k7wqd-9xhmt-{name}" for name in ("pc", "phone", "shared", "imap"))


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    with make_stand() as made, supervised(made) as supervisor:
        supervisor.wait_until("RUNNING")
        yield made


def imap(stand: Stand, password: str, address: str = ADDRESS) -> imaplib.IMAP4_SSL:
    client = imaplib.IMAP4_SSL("localhost", stand.config.ports.imaps, ssl_context=stand.trust())
    try:
        client.login(address, password)
    except imaplib.IMAP4.error:
        client.shutdown()
        raise
    return client


def pop(stand: Stand, password: str, address: str = ADDRESS) -> poplib.POP3_SSL:
    client = poplib.POP3_SSL("localhost", stand.config.ports.pop3s, context=stand.trust())
    try:
        client.user(address)
        client.pass_(password)
    except poplib.error_proto:
        client.close()
        raise
    return client


def taken(stand: Stand, password: str, address: str = ADDRESS) -> int:
    """Take and delete all that a POP program is offered, and return how much that was."""
    client = pop(stand, password, address)
    count = client.stat()[0]
    for number in range(1, count + 1):
        client.retr(number)
        client.dele(number)
    client.quit()
    return count


def deliver(stand: Stand, address: str, count: int = 1) -> None:
    with smtplib.LMTP(str(stand.data.lmtp_socket)) as client:
        for number in range(count):
            message = f"From: bea@example.test\r\nTo: {address}\r\nSubject: {number}\r\n\r\nHello.\r\n"
            client.sendmail("bea@example.test", [address], message)


def logged(stand: Stand) -> list[events.Event]:
    lines = stand.data.event_log.read_text().splitlines()
    return [event for event in map(read_event, lines) if event is not None]


def wait_for_end(stand: Stand, before: int, count: int) -> list[events.Event]:
    """Return what happened after the first `before` events, once so many connections have ended without a session."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        happened = logged(stand)[before:]
        if sum(isinstance(event, events.Aborted) for event in happened) >= count:
            return happened
        time.sleep(0.1)
    raise AssertionError(logged(stand)[before:])


def test_each_device_password_has_its_own_view_over_pop(stand: Stand) -> None:
    deliver(stand, ADDRESS, 3)
    assert [taken(stand, PC), taken(stand, PC)] == [3, 0]
    deliver(stand, ADDRESS)
    assert [taken(stand, PHONE), taken(stand, PC), taken(stand, PHONE)] == [4, 1, 0]
    # One without a mark of its own has the main password's view.
    assert [taken(stand, SHARED), taken(stand, PASSWORD)] == [4, 0]
    client = imap(stand, PC)
    assert client.select("INBOX") == ("OK", [b"4"])
    assert client.search(None, "UNSEEN", "KEYWORD $Pop1", "KEYWORD $Pop2", "KEYWORD $PopMain")[1] == [
        b"1 2 3 4"
    ]
    client.logout()
    known = {(event.credential, event.device) for event in logged(stand) if isinstance(event, events.Begun)}
    assert {("device", 11), ("device", 12), ("device", 13), ("main", None)} <= known


def test_marks_are_copied_and_cleared_everywhere(stand: Stand) -> None:
    api, ends = Doveadm(stand.data.doveadm_socket, API_KEY), "nopop@example.test"
    client = imap(stand, PASSWORD, ends)
    for number, flags in enumerate(
        (r"$Pop3 $PopMain \Seen Mine", "$Pop3 Mine", "$PopMain", r"$Pop3 \Deleted")
    ):
        client.append("INBOX", f"({flags})", "", f"Subject: {number}\r\n\r\nx\r\n".encode())
    client.select("INBOX")
    client.copy("1:2", "Archive")
    client.expunge()
    api.copy_mark(ends, "$PopMain", "$Pop4")
    assert client.noop()[0] == "OK"
    assert client.search(None, "KEYWORD", "$Pop4")[1] == [b"1 3"]
    assert api.is_marked(ends, "$Pop3", removed=False)
    api.clear_mark(ends, "$Pop3", removed=False)
    assert not api.is_marked(ends, "$Pop3", removed=False)
    assert api.is_marked(ends, "$Pop3", removed=True)
    api.clear_mark(ends, "$Pop3", removed=True)
    assert not api.is_marked(ends, "$Pop3", removed=True)
    for folder, found in (("INBOX", [b"1 2"]), ("Archive", [b"1 2"])):
        client.select(folder)
        assert client.search(None, "KEYWORD", "Mine")[1] == found
        assert client.search(None, "KEYWORD", "$PopMain", "SEEN")[1] == [b"1"]
        assert client.search(None, "KEYWORD", "$Pop3")[1] == [b""]
    client.logout()


def test_lookups_without_a_password_go_on(stand: Stand) -> None:
    deliver(stand, "ben@example.test")
    api = Doveadm(stand.data.doveadm_socket, API_KEY)
    assert api.quota("ben@example.test").messages == 1
    assert "Sent" in api.folders("ben@example.test")


@pytest.mark.parametrize(
    ("password", "address", "words", "reason"),
    [
        ("k7wqd-9xhmt-revoked", ADDRESS, "revoked", "device_revoked"),
        ("k7wqd-9xhmt-expired", ADDRESS, "expired", "device_expired"),
        ("k7wqd-9xhmt-off", "off@example.test", "suspended", "suspended"),
        (IMAP_ONLY, ADDRESS, "switched off", "protocol_off"),
        (PASSWORD, "only@example.test", "device passwords only", "device_required"),
    ],
)
def test_what_is_refused_is_told_why(
    stand: Stand, password: str, address: str, words: str, reason: str
) -> None:
    before = len(logged(stand))
    with pytest.raises(poplib.error_proto, match=words):
        pop(stand, password, address)
    happened = wait_for_end(stand, before, 1)
    assert not [event for event in happened if isinstance(event, events.Refused)]
    (aborted,) = (event for event in happened if isinstance(event, events.Aborted))
    assert aborted.reason == reason
    assert aborted.credential == ("main" if password == PASSWORD else "device")


def test_a_protocol_that_the_device_has_is_open(stand: Stand) -> None:
    imap(stand, IMAP_ONLY).logout()
    assert taken(stand, "k7wqd-9xhmt-only", "only@example.test") == 0


@pytest.mark.parametrize(
    ("password", "address", "reason"),
    [
        ("k7wqd-9xhmt-bens", ADDRESS, "wrong_password"),
        (PC, "ben@example.test", "wrong_password"),
        (PC.upper(), ADDRESS, "wrong_password"),
        ("' OR '1'='1", ADDRESS, "wrong_password"),
        ("%{user}", ADDRESS, "wrong_password"),
        (PC, "nobody@example.test", "unknown_address"),
    ],
)
def test_a_wrong_password_is_refused_once(stand: Stand, password: str, address: str, reason: str) -> None:
    before = len(logged(stand))
    with pytest.raises(imaplib.IMAP4.error):
        imap(stand, password, address)
    happened = wait_for_end(stand, before, 1)
    (refused,) = (event for event in happened if isinstance(event, events.Refused))
    assert refused.reason == reason
    assert password not in stand.data.event_log.read_text()
