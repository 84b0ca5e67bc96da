"""Device passwords, with real mail programs' protocols against a running service."""

from __future__ import annotations

import contextlib
import imaplib
import poplib
import shutil
import socket
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest

from tests.live.test_connections import rows_of
from tests.stand import PATIENCE, Box, Stand, wait_for

pytestmark = pytest.mark.live

T = TypeVar("T")

#: How POP says that it ended a session.
_ENDED = ("EOF", "hutting down", "kicked")
#: POP slots of a mailbox.
SLOTS = 7


def device(box: Box, label: str, *options: str) -> str:
    """Make a device password and return it."""
    answer = box.stand.must("createdevice", box.address, "--label", label, *options)
    assert answer["label"] == label
    return str(answer["password"])


def revoke(box: Box, label: str) -> None:
    """Revoke one."""
    assert box.stand.must("revokedevice", box.address, "--label", label) == {"label": label}


def listed(box: Box, label: str) -> dict[str, Any]:
    """Return what is known of the device password that was made last under a name."""
    rows = box.stand.must("listdevices", box.address)
    found: dict[str, Any] = [row for row in rows if row["label"] == label][-1]
    return found


@contextlib.contextmanager
def pop(box: Box, password: str) -> Iterator[poplib.POP3_SSL]:
    """Sign in over POP3S, and do what was asked for at the end: its QUIT must succeed."""
    client = poplib.POP3_SSL(
        "localhost", box.stand.ports["pop3s"], context=box.stand.authority, timeout=PATIENCE
    )
    try:
        client.user(box.address)
        client.pass_(password)
        yield client
        assert client.quit().startswith(b"+OK")
    finally:
        client.close()


def offered(box: Box, password: str) -> list[str]:
    """Return the unique ids of what a POP program is offered (RFC 1939, UIDL)."""
    with pop(box, password) as client:
        return [line.split()[1].decode() for line in client.uidl()[1]]


def take(box: Box, password: str) -> list[str]:
    """Do as POP programs do: take and delete all that is offered. Return the subjects."""
    found = []
    with pop(box, password) as client:
        for number in range(1, client.stat()[0] + 1):
            lines = client.retr(number)[1]
            found += [line.decode().partition(": ")[2] for line in lines if line.startswith(b"Subject: ")]
            client.dele(number)
    return found


def again(do: Callable[[], T]) -> T:
    """Do it, and again where the server ended the session: whoever was shut out is kicked several times."""
    for _ in range(20):
        with contextlib.suppress(OSError, EOFError, imaplib.IMAP4.abort):
            try:
                return do()
            except poplib.error_proto as err:
                if not any(words in str(err) for words in _ENDED):
                    raise
    return do()


def test_each_device_gets_every_message_once_and_imap_sees_all(stand: Stand) -> None:
    box = stand.new_mailbox()
    pc, phone = device(box, "Office PC"), device(box, "Téléphone d'Anna")
    shared = device(box, "Shared", "--shared-view")
    box.deliver("First")
    expected = ["Welcome to your mailbox", "First"]
    assert [take(box, pc), take(box, pc)] == [expected, []]
    box.deliver("Second")
    assert [take(box, phone), take(box, pc), take(box, phone)] == [[*expected, "Second"], ["Second"], []]
    assert [take(box, box.password), take(box, shared)] == [[*expected, "Second"], []]
    assert box.subjects() == [*expected, "Second"]
    with box.imap(phone) as client:
        client.select("INBOX", readonly=True)
        assert client.search(None, "UNSEEN")[1] == [b"1 2 3"]
    names = {row["device"] for row in rows_of(stand, box.address, 9)}
    assert names == {"Office PC", "Téléphone d'Anna", "Shared", "main"}
    wait_for(lambda: listed(box, "Téléphone d'Anna")["last_used_protocol"] == "imap", "its last use")
    used = listed(box, "Office PC")
    assert (used["last_used_ip"], used["last_used_protocol"], used["slot"]) == ("127.0.0.1", "pop3", 1)


def test_a_device_that_moves_goes_on_where_the_main_password_was(stand: Stand) -> None:
    box = stand.new_mailbox()
    box.deliver("First")
    assert len(take(box, box.password)) == 2
    box.deliver("Second")
    assert take(box, device(box, "PC", "--continues-main")) == ["Second"]
    assert len(take(box, device(box, "New"))) == 3


def test_a_session_in_idle_ends_with_its_password(stand: Stand) -> None:
    box = stand.new_mailbox()
    phone, pc = device(box, "Phone"), device(box, "PC")
    client = imaplib.IMAP4_SSL("localhost", stand.ports["imaps"], ssl_context=stand.authority)
    client.login(box.address, phone)
    client.select("INBOX")
    client.send(b"i IDLE\r\n")
    while not client.readline().startswith(b"+"):
        pass
    client.sock.settimeout(PATIENCE)
    revoke(box, "Phone")
    with contextlib.suppress(OSError, imaplib.IMAP4.abort):
        while client.readline():
            pass
    client.shutdown()
    with pytest.raises(imaplib.IMAP4.error, match="revoked"), box.imap(phone):
        pass
    first, second = rows_of(stand, box.address, 2)
    assert (first["outcome"], first["reason"], first["device"]) == ("accepted", "kicked", "Phone")
    assert (second["outcome"], second["reason"], second["device"]) == ("refused", "device_revoked", "Phone")
    # The others come back by themselves.
    assert again(lambda: take(box, pc)) == ["Welcome to your mailbox"]


def test_a_message_on_its_way_ends_with_its_password(stand: Stand) -> None:
    box = stand.new_mailbox()
    pc, phone = device(box, "PC"), device(box, "Phone")
    body = "\n".join(f"{number:08d} {'x' * 60}" for number in range(400_000))
    box.deliver("Large", body)
    expected = f"{body}\n".encode().replace(b"\n", b"\r\n")
    with contextlib.closing(socket.create_connection(("localhost", stand.ports["pop3s"]), PATIENCE)) as plain:
        # A small window: the server waits for the program after a little.
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        with stand.authority.wrap_socket(plain, server_hostname="localhost") as client:
            stream = client.makefile("rb")
            stream.readline()
            for command in (f"USER {box.address}", f"PASS {pc}", "DELE 1"):
                client.sendall(f"{command}\r\n".encode())
                assert stream.readline().startswith(b"+OK")
            client.sendall(b"RETR 2\r\n")
            got = [stream.readline() for _ in range(1000)]
            revoke(box, "PC")
            with contextlib.suppress(OSError, ssl.SSLError):
                got += list(stream)
    assert got[0].startswith(b"+OK")
    head, _empty, text = b"".join(got[1:]).partition(b"\r\n\r\n")
    assert b"Subject: Large" in head
    assert len(text) < len(expected)
    assert expected.startswith(text)
    with pytest.raises(poplib.error_proto, match="revoked"), box.pop(pc):
        pass
    accepted, refused = rows_of(stand, box.address, 2)
    assert (accepted["reason"], accepted["device"], accepted["deleted"]) == ("kicked", "PC", 0)
    assert (refused["reason"], refused["device"]) == ("device_revoked", "PC")

    def whole() -> None:
        with box.imap(phone) as client:
            client.select("INBOX", readonly=True)
            assert client.search(None, "KEYWORD", "$Pop1")[1] == [b""]
            kept = client.fetch("2", "(BODY.PEEK[TEXT])")[1][0]
            assert isinstance(kept, tuple)
            assert kept[1] == expected

    again(whole)


def test_what_is_refused_is_told_why_and_once(stand: Stand) -> None:
    box = stand.new_mailbox()
    imap_only = device(box, "Phone", "--protocols", "imap")
    soon = datetime.now(UTC) + timedelta(seconds=8)
    guest = device(box, "Guest", "--expires", soon.isoformat())
    with box.imap(imap_only):
        pass
    with pytest.raises(poplib.error_proto, match="switched off"), box.pop(imap_only):
        pass
    with pytest.raises(poplib.error_proto), box.pop("wrong-wrong-wrong-wrong"):
        pass
    staying = imaplib.IMAP4_SSL("localhost", stand.ports["imaps"], ssl_context=stand.authority)
    staying.login(box.address, guest)
    stand.must("setmailbox", box.address, "--require-device-passwords")
    with pytest.raises(imaplib.IMAP4.error, match="device passwords only"), box.imap():
        pass
    wait_for(lambda: datetime.now(UTC) > soon + timedelta(seconds=1), "its time to be over")
    with pytest.raises(imaplib.IMAP4.error, match="expired"), box.imap(guest):
        pass
    staying.shutdown()
    rows = [
        (row["outcome"], row["device"], row["reason"] if row["outcome"] == "refused" else None)
        for row in rows_of(stand, box.address, 6)
    ]
    assert rows == [
        ("accepted", "Phone", None),
        ("refused", "Phone", "protocol_off"),
        ("refused", None, "wrong_password"),
        ("accepted", "Guest", None),
        ("refused", "main", "device_required"),
        ("refused", "Guest", "device_expired"),
    ]
    stand.must("setmailbox", box.address, "--allow-main-password")
    assert again(box.subjects) == ["Welcome to your mailbox"]


def test_another_mailboxs_device_password_opens_nothing(stand: Stand) -> None:
    box, other = stand.new_mailbox(), stand.new_mailbox()
    password = device(box, "PC")
    with pytest.raises(imaplib.IMAP4.error), other.imap(password):
        pass
    (row,) = rows_of(stand, other.address, 1)
    assert (row["reason"], row["device"]) == ("wrong_password", None)


@pytest.mark.long
def test_sessions_of_an_expired_device_end_within_a_minute(stand: Stand) -> None:
    box = stand.new_mailbox()
    soon = datetime.now(UTC) + timedelta(seconds=8)
    guest = device(box, "Guest", "--expires", soon.isoformat())
    with box.imap(guest) as client:
        client.sock.settimeout(2 * PATIENCE)
        client.select("INBOX")
        client.send(b"i IDLE\r\n")
        with contextlib.suppress(imaplib.IMAP4.abort, OSError):
            while client.readline():
                pass
    (row,) = rows_of(stand, box.address, 1)
    assert (row["device"], row["reason"]) == ("Guest", "kicked")


def test_a_slot_is_cleaned_and_given_again(stand: Stand) -> None:
    box = stand.new_mailbox()
    passwords = [device(box, f"Device {number}") for number in range(1, SLOTS + 1)]
    refused = stand.command("createdevice", box.address, "--label", "One more")
    assert refused.code != 0
    assert "revoke another first" in refused.stderr
    with box.imap() as client:
        client.append("INBOX", "(Mine \\Flagged)", "", b"Subject: Labelled\r\n\r\nx\r\n")
    assert len(take(box, passwords[0])) == 2
    assert len(take(box, passwords[1])) == 2
    with box.imap() as client:
        client.select("INBOX")
        client.copy("2", "Archive")
        client.store("1", "+FLAGS", r"\Deleted")
        client.expunge()
    stand.must("setmailbox", box.address, "--suspend")
    revoke(box, "Device 1")
    assert listed(box, "Device 1")["slot"] == 1
    wait_for(lambda: listed(box, "Device 1")["slot"] is None, "the slot to be cleaned")
    stand.must("setmailbox", box.address, "--resume")
    password = device(box, "New")
    assert listed(box, "New")["slot"] == 1
    # What was removed or in another folder comes back without the mark that it had, and with the other one's.
    stand.must("restoremail", box.address)
    with box.imap() as client:
        client.select("Archive")
        client.copy("1", "INBOX")
    assert sorted(again(lambda: take(box, password))) == ["Labelled", "Labelled", "Welcome to your mailbox"]
    assert again(lambda: offered(box, passwords[1])) == []
    assert len(again(lambda: take(box, passwords[2]))) == 3
    with box.imap() as client:
        client.select("INBOX")
        assert client.search(None, "KEYWORD", "Mine", "FLAGGED", "UNSEEN")[1] == [b"1 3"]


@pytest.mark.long
def test_sixty_devices_one_after_the_other(stand: Stand) -> None:
    """On 10,000 messages with as many labels of their own as fit, and the index files gone in between."""
    box = stand.new_mailbox()
    labels = fill(box, 10_000)
    main = taken_in_the_end(box, box.password)
    assert len(main) == len(labels) + 1
    everything = set(main)
    for first in range(1, 61, SLOTS):
        names = [f"Device {number}" for number in range(first, min(first + SLOTS, 61))]
        passwords = [made_when_there_is_room(box, name) for name in names]
        for password in passwords:
            got = taken_in_the_end(box, password)
            assert len(got) == len(set(got))
            assert set(got) == everything
        lose_indexes(box)
        box.deliver(f"After {first}")
        news = {tuple(taken_in_the_end(box, password)) for password in passwords}
        ((new,),) = news
        assert new not in everything
        everything.add(new)
        for name in names:
            revoke(box, name)
    wait_for(lambda: not any(row["slot"] for row in stand.must("listdevices", box.address)), "the last slots")
    lose_indexes(box)
    assert again(lambda: labels_of(box)) == labels
    assert set(again(lambda: offered(box, box.password))) == everything - set(main)


def made_when_there_is_room(box: Box, label: str) -> str:
    """Make a device password as soon as there is a slot for it, and return it."""
    answers = []

    def is_made() -> bool:
        answers.append(box.stand.command("createdevice", box.address, "--label", label))
        assert not answers[-1].code or "revoke another first" in answers[-1].stderr
        return not answers[-1].code

    wait_for(is_made, "a free slot", seconds=300)
    return str(answers[-1].json["password"])


def taken_in_the_end(box: Box, password: str) -> list[str]:
    """Do the same as `take_all`, and again where the session was ended before it had signed out."""
    lists: list[list[str]] = []
    again(lambda: take_all(box, password, lists))
    # One that was ended when its QUIT had arrived has done what it was asked for: then the last found nothing left.
    return lists[-1] or lists[-2] if len(lists) > 1 else lists[-1]


def fill(box: Box, count: int) -> dict[int, frozenset[str]]:
    """Append messages, each with some of a person's own 18 labels, and return those by UID."""
    names = [f"Label{number}" for number in range(18)]
    message = b"Subject: Filled\r\n\r\nHello.\r\n"
    with box.imap() as client:
        for number in range(count):
            flags = f"({names[number % 18]} {names[number // 18 % 18]})"
            client.send(b"a APPEND INBOX %s {%d+}\r\n%s\r\n" % (flags.encode(), len(message), message))
            while not client.readline().startswith(b"a OK"):
                pass
    found = labels_of(box)
    assert len(found) == count
    return found


def labels_of(box: Box) -> dict[int, frozenset[str]]:
    """Return the labels of the messages that have some, by UID."""
    found = {}
    with box.imap() as client:
        client.select("INBOX", readonly=True)
        for row in client.fetch("1:*", "(UID FLAGS)")[1]:
            assert isinstance(row, bytes)
            text = row.decode()
            labels = frozenset(word.strip("()") for word in text.split() if "Label" in word)
            if labels:
                found[int(text.partition("UID ")[2].split()[0].rstrip(")"))] = labels
    return found


def take_all(box: Box, password: str, lists: list[list[str]]) -> None:
    """Delete all that a POP program is offered, many commands at once (RFC 2449, PIPELINING). Notes their ids."""
    with pop(box, password) as client:
        found = [line.split()[1].decode() for line in client.uidl()[1]]
        lists.append(found)
        for start in range(0, len(found), 500):
            numbers = range(start + 1, min(start + 500, len(found)) + 1)
            client.sock.sendall(b"".join(b"DELE %d\r\n" % number for number in numbers))
            for _number in numbers:
                answer = client.file.readline()
                if not answer.startswith(b"+OK"):
                    raise poplib.error_proto(answer or b"-ERR EOF")


def lose_indexes(box: Box) -> None:
    """Remove all that Dovecot can make again from the messages' files."""
    for path in (box.home / "Maildir").rglob("dovecot*"):
        if "keywords" not in path.name and "uidlist" not in path.name:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
