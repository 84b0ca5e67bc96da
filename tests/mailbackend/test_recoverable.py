"""What a real Dovecot does with what is removed: it keeps it, whoever removes it, and its owner cannot change it."""

from __future__ import annotations

import imaplib
import json
import poplib
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from mailbackend import lmtp
from mailbackend.dovecot.doveadm import Doveadm, DoveadmError, UnknownMailbox
from mailbackend.dovecot.removals import Removed, read_removal
from tests.mailbackend.dovecot_stand import (
    ADDRESS,
    API_KEY,
    PASSWORD,
    PATIENCE,
    Stand,
    make_stand,
    supervised,
)
from tests.mailbackend.test_doveadm import raw_post

pytestmark = pytest.mark.live

KEPT = '".EXPUNGED/all"'
LIMITED, POP_ENDS, NEVER_USED = "ben@example.test", "ends@example.test", "nopop@example.test"
PEOPLE = (ADDRESS, LIMITED, POP_ENDS)


@pytest.fixture(scope="module")
def live() -> Iterator[Stand]:
    with make_stand() as stand, supervised(stand) as supervisor:
        supervisor.wait_until("RUNNING")
        yield stand
        text = stand.data.event_log.read_text()
        assert not [line for line in text.splitlines() if ": Panic: " in line or ": Fatal: " in line]


@pytest.fixture(autouse=True)
def clean(live: Stand) -> None:
    """Begin each test with empty mailboxes; what was removed before stays, as everywhere."""
    for address in PEOPLE:
        client = sign_in(live, address)
        for row in client.list()[1]:
            assert isinstance(row, bytes)
            name = row.decode().partition(' "/" ')[2]
            if select(client, name) == "OK":
                client.uid("STORE", "1:*", "+FLAGS", r"\Deleted")
                client.expunge()
            if name not in ("INBOX", "Sent", "Drafts", "Junk", "Trash", "Archive"):
                client.unselect()
                client.delete(name)
        client.logout()


def sign_in(stand: Stand, address: str = ADDRESS) -> imaplib.IMAP4_SSL:
    client = imaplib.IMAP4_SSL("localhost", stand.config.ports.imaps, ssl_context=stand.trust())
    client.login(address, PASSWORD)
    return client


def pop(stand: Stand, address: str) -> poplib.POP3_SSL:
    client = poplib.POP3_SSL("localhost", stand.config.ports.pop3s, context=stand.trust())
    client.user(address)
    client.pass_(PASSWORD)
    return client


def deliver(stand: Stand, subject: str, *recipients: str, body: str = "x") -> None:
    text = f"From: Bea <bea@example.test>\r\nSubject: {subject}\r\n\r\n{body}\r\n"
    assert lmtp.deliver(stand.data.lmtp_socket, text.encode(), recipients).delivered == list(recipients)


def api(stand: Stand) -> Doveadm:
    return Doveadm(stand.data.doveadm_socket, API_KEY, timeout=PATIENCE)


def kept(stand: Stand, address: str = ADDRESS) -> dict[str, int]:
    """Return the subjects of what was removed, with their UIDs."""
    client = api(stand)
    uids = [message.uid for message in client.kept_messages(address, range(1, 50_000))]
    return {head.subject: uid for uid, head in client.kept_headers(address, uids).items()}


def uids_kept(stand: Stand, address: str = ADDRESS) -> set[int]:
    return {message.uid for message in api(stand).kept_messages(address, range(1, 50_000))}


def removals(stand: Stand) -> list[Removed]:
    lines = stand.data.event_log.read_text().splitlines()
    return [removal for removal in map(read_removal, lines) if removal is not None]


def wait_for_removal(stand: Stand, address: str, uid: int) -> Removed:
    """Wait until the log says how a message was removed, once."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = [removal for removal in removals(stand) if (removal.address, removal.uid) == (address, uid)]
        if found:
            assert len(found) == 1
            return found[0]
        time.sleep(0.1)
    raise AssertionError(f"no line about {uid} of {address}: {stand.data.event_log.read_text()}")


def select(client: imaplib.IMAP4, folder: str) -> str:
    """Open a folder, even one that cannot be changed, and return Dovecot's answer."""
    status, _data = client._simple_command("SELECT", folder)
    client.is_readonly = True
    client.state = "SELECTED" if status == "OK" else "AUTH"
    return str(status)


def test_whatever_expunges_keeps_the_message_and_says_who(live: Stand) -> None:
    for subject in ("By EXPUNGE", "By UID EXPUNGE", "By folder", "By POP", "By doveadm"):
        deliver(live, subject, ADDRESS if subject != "By POP" else POP_ENDS)
    client = sign_in(live)
    client.select("INBOX")
    client.store("1", "+FLAGS", r"\Deleted")
    client.expunge()
    client.uid("STORE", "1:*", "+FLAGS", r"\Deleted")
    uids = client.uid("SEARCH", "SUBJECT", '"By UID EXPUNGE"')[1][0].decode()
    client.uid("EXPUNGE", uids)
    client.uid("STORE", "1:*", "-FLAGS", r"\Deleted")
    client.create("Old/things")
    client.uid("MOVE", client.uid("SEARCH", "SUBJECT", '"By folder"')[1][0].decode(), "Old/things")
    client.delete("Old/things")
    owner = pop(live, POP_ENDS)
    owner.dele(1)
    owner.quit()
    expunge_by_doveadm(live, "INBOX", "By doveadm")
    found = kept(live) | kept(live, POP_ENDS)
    wanted = {
        "By EXPUNGE": (ADDRESS, "imap", "INBOX"),
        "By UID EXPUNGE": (ADDRESS, "imap", "INBOX"),
        "By folder": (ADDRESS, "imap", "Old/things"),
        "By POP": (POP_ENDS, "pop3", "INBOX"),
        "By doveadm": (ADDRESS, "doveadm", "INBOX"),
    }
    for subject, (address, protocol, folder) in wanted.items():
        removal = wait_for_removal(live, address, found[subject])
        assert (removal.protocol, removal.folder) == (protocol, folder), subject
        assert bool(removal.session) == (protocol != "doveadm")
    client.logout()


def expunge_by_doveadm(stand: Stand, folder: str, subject: str) -> None:
    """Do what a job does that ends messages of a folder; the client of today has none for it."""
    parameters = {"user": ADDRESS, "query": ["mailbox", folder, "subject", subject]}
    assert raw_post(stand, json.dumps([["expunge", parameters, "t0"]])) == [["doveadmResponse", [], "t0"]]


def test_a_move_leaves_no_twin(live: Stand) -> None:
    before = kept(live)
    for subject in ("Moved", "Copied"):
        deliver(live, subject, ADDRESS)
    client = sign_in(live)
    client.select("INBOX")
    client.uid("MOVE", client.uid("SEARCH", "SUBJECT", "Moved")[1][0].decode(), "Archive")
    client.copy("1", "Archive")
    client.store("1", "+FLAGS", r"\Deleted")
    client.expunge()
    assert kept(live) == before
    # The last of a message's places is what is kept; two in one folder at once too.
    client.select("Archive")
    client.copy("1:*", "Archive")
    client.noop()
    client.store("1:*", "+FLAGS", r"\Deleted")
    assert len(client.expunge()[1]) == 4
    assert set(kept(live)) - set(before) == {"Moved", "Copied"}


def test_a_message_for_several_is_kept_for_each(live: Stand) -> None:
    deliver(live, "For two", ADDRESS, LIMITED)
    for address in (ADDRESS, LIMITED):
        client = sign_in(live, address)
        client.select("INBOX")
        client.store("1", "+FLAGS", r"\Deleted")
        client.expunge()
        assert "For two" in kept(live, address)


def test_its_owner_does_not_meet_it_and_cannot_change_it(live: Stand) -> None:
    deliver(live, "Away", ADDRESS)
    deliver(live, "There", ADDRESS)
    client = sign_in(live)
    client.create("Made")
    client.select("INBOX")
    client.store("1", "+FLAGS", r"\Deleted")
    client.expunge()
    before = kept(live)
    for pattern in ("*", "%", "*/*", "%/%", "*all"):
        for name in ("LIST", "LSUB"):
            client.untagged_responses = {}
            client._simple_command(name, '""', f'"{pattern}"')
            assert "EXPUNGED" not in str(client.untagged_responses)
    assert "EXPUNGED" not in str(client.namespace())
    client.subscribe(KEPT)
    assert "EXPUNGED" not in str(client.lsub()) + str(client.list())
    for name in (KEPT, '".EXPUNGED"', '".EXPUNGED/INBOX"', '".EXPUNGED/other"', '".EXPUNGED/all/below"'):
        select(client, "INBOX")
        assert client.append(name, "", "", b"Subject: Put in\r\n\r\n")[0] == "NO"
        assert client.copy("1", name)[0] == "NO"
        assert client.uid("MOVE", "1:*", name)[0] == "NO"
        assert client.rename(name, "mine")[0] == "NO"
        assert client.rename("Made", name)[0] == "NO"
        assert client.delete(name)[0] == "NO"
        if name != KEPT:
            assert client.create(name)[0] == "NO"
    assert select(client, KEPT) == "OK"
    for flag in (r"\Deleted", r"\Seen"):
        client.store("1:*", "+FLAGS", flag)
    client.expunge()
    assert client.uid("MOVE", "1:*", "INBOX")[0] == "NO"
    assert "Deleted" not in str(client.fetch("1:*", "(FLAGS)"))
    client.close()
    assert kept(live) == before


def test_it_lies_outside_the_quota_and_a_full_mailbox_can_be_emptied(live: Stand) -> None:
    address = LIMITED
    size = 20_000
    for _round in range(2):
        for number in range(4):
            deliver(live, f"Large {number}", address, body="x" * size)
        text = f"Subject: Too much\r\n\r\n{'x' * size}\r\n".encode()
        assert address in lmtp.deliver(live.data.lmtp_socket, text, [address]).refused
        client = sign_in(live, address)
        client.select("INBOX")
        client.store("1:*", "+FLAGS", r"\Deleted")
        assert len(client.expunge()[1]) == 4
        client.logout()
        assert api(live).quota(address).used_bytes == 0
    whole = api(live).recoverable(address)
    assert whole.used_bytes > 8 * size
    # It does not count where there is no limit either.
    assert api(live).quota(ADDRESS).messages == 0


def test_what_was_removed_has_the_time_of_its_removal_and_ends_when_told(live: Stand) -> None:
    deliver(live, "Early", ADDRESS)
    deliver(live, "Late", ADDRESS)
    time.sleep(1.1)
    client = sign_in(live)
    client.select("INBOX")
    uids = []
    for subject in ("Early", "Late"):
        time.sleep(1.1)
        asked = int(time.time())
        client.uid("STORE", client.uid("SEARCH", "SUBJECT", subject)[1][0].decode(), "+FLAGS", r"\Deleted")
        client.expunge()
        (uid,) = (uid for name, uid in kept(live).items() if name == subject)
        uids.append(uid)
        (message,) = api(live).kept_messages(ADDRESS, range(uid, uid + 1))
        assert asked <= message.removed_at.timestamp() <= time.time()
    # To look into it, as its owner can, changes nothing of that, as the answer is remembered.
    select(client, KEPT)
    late = api(live).kept_messages(ADDRESS, range(uids[1], uids[1] + 1))[0].removed_at
    found = api(live).kept_messages(ADDRESS, range(1, 50_000), before=late)
    assert uids[0] in [message.uid for message in found]
    assert uids[1] not in [message.uid for message in found]
    assert api(live).kept_messages(ADDRESS, range(1, 50_000), before=datetime(2020, 1, 1, tzinfo=UTC)) == []
    api(live).end_messages(ADDRESS, [uids[0]])
    api(live).end_messages(ADDRESS, [uids[0], 4_000_000_000])
    assert "Early" not in kept(live)
    assert "Late" in kept(live)
    assert api(live).recoverable(ADDRESS).next_uid == uids[1] + 1


def test_where_nothing_was_removed_there_is_nothing(live: Stand) -> None:
    assert api(live).kept_messages(NEVER_USED, range(1, 10)) == []
    api(live).end_messages(NEVER_USED, [1])
    with pytest.raises(DoveadmError):
        api(live).recoverable(NEVER_USED)
    for ask in (api(live).recoverable, lambda who: api(live).kept_messages(who, range(1, 10))):
        with pytest.raises(UnknownMailbox):
            ask("nobody@example.test")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Plain", "Plain"),
        ('"x, uid=77"', "x, uid=77"),
        ('"uid=5: box=Trash"', "uid=5: box=Trash"),
        (r'"q\"uo\\te"', r'q"uo\te'),
        ("&AOk-t&AOk-", "été"),
        ('"copy from INBOX: box="', "copy from INBOX: box="),
        ("L" * 64, "L" * 64),
        ("L" * 65, "L" * 61 + "..."),
        # 33 letters of two bytes each.
        ("&" + "AOkA6QDp" * 11 + "-", "é" * 30 + "..."),
    ],
)
def test_a_folders_name_forges_nothing(live: Stand, name: str, said: str) -> None:
    client = sign_in(live)
    client.create(name)
    client.append(name, "", "", b"Subject: Named\r\n\r\n")
    before = uids_kept(live)
    select(client, name)
    client.store("1", "+FLAGS", r"\Deleted")
    client.expunge()
    (uid,) = uids_kept(live) - before
    removal = wait_for_removal(live, ADDRESS, uid)
    assert removal.folder == said


@pytest.mark.parametrize(
    "name", ['"y: box=.EXPUNGED/all"', '"&AC4-EXPUNGED"', '"y: box=&AC4-EXPUNGED/all"', '"a\x01b"']
)
def test_a_folder_cannot_be_named_like_it(live: Stand, name: str) -> None:
    client = sign_in(live)
    assert client.create(name)[0] == "NO"
    # Nor by UTF-8 (RFC 6855), where Dovecot has it.
    if "UTF8=ACCEPT" in client.capabilities:
        client.enable("UTF8=ACCEPT")
        assert client.create(name.replace("&AC4-", "."))[0] == "NO"


def test_put_back_is_where_it_was_with_flags_and_date(live: Stand) -> None:
    client = sign_in(live)
    client.create('"&AOk-t&AOk- a b"')
    for flags in (r"\Seen \Flagged $Label1", r"\Answered"):
        client.append(
            '"&AOk-t&AOk- a b"', flags, '"03-May-2021 04:05:06 +0200"', b"Subject: Back\r\n\r\nBody\r\n"
        )
    before = uids_kept(live)
    assert select(client, '"&AOk-t&AOk- a b"') == "OK"
    client.is_readonly = False
    wanted = client.fetch("1:*", "(FLAGS INTERNALDATE BODY.PEEK[])")[1]
    client.store("1:*", "+FLAGS", r"\Deleted")
    client.expunge()
    client.close()
    client.delete('"&AOk-t&AOk- a b"')
    uids = sorted(uids_kept(live) - before)
    assert len(uids) == 2
    dovecot = api(live)
    assert "été a b" not in dovecot.folders(ADDRESS)
    assert dovecot.create_folder(ADDRESS, "été a b")
    assert not dovecot.create_folder(ADDRESS, "été a b")
    assert not dovecot.create_folder(ADDRESS, "with.dot")
    assert "été a b" in dovecot.folders(ADDRESS)
    for _twice in range(2):
        dovecot.put_back(ADDRESS, uids, "été a b", without=[r"\Deleted", "$PopMain"])
    assert uids_kept(live) == before
    assert "&AOk-t&AOk- a b" in str(client.lsub())
    select(client, '"&AOk-t&AOk- a b"')
    found = client.fetch("1:*", "(FLAGS INTERNALDATE BODY.PEEK[])")[1]
    assert str(found).replace(r" \\Recent", "") == str(wanted).replace(r" \\Recent", "")
