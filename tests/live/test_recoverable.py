"""What is removed can be brought back, and it is known who removed it: with mail programs and a whole Restante."""

from __future__ import annotations

import imaplib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from panel.core.clock import TEST_CLOCK
from tests.stand import Box, Stand, wait_for

pytestmark = pytest.mark.live

KEPT = '".EXPUNGED/all"'


def removed(box: Box) -> dict[str, dict[str, Any]]:
    """Return what was removed from a mailbox, by subject."""
    return {row["subject"]: row for row in box.stand.must("removedmail", box.address)}


def wait_until_recorded(box: Box, *subjects: str) -> dict[str, dict[str, Any]]:
    """Wait until messages are listed with who removed them, and return what is listed."""
    found: dict[str, dict[str, Any]] = {}

    def all_told() -> bool:
        found.clear()
        found.update(removed(box))
        return all(subject in found and found[subject]["folder"] is not None for subject in subjects)

    wait_for(all_told, f"the recorder to tell of {subjects}")
    return found


def sessions(box: Box) -> dict[str, str]:
    """Return the protocols of a mailbox's sessions in the connection log, by session."""
    rows = box.stand.must("connections", "--address", box.address)
    return {row["session"]: row["protocol"] for row in rows if row["outcome"] == "accepted"}


def subjects_removed(box: Box) -> set[str]:
    return set(removed(box))


def uid_of(client: imaplib.IMAP4, subject: str) -> str:
    uids: bytes = client.uid("SEARCH", "SUBJECT", f'"{subject}"')[1][0]
    return uids.decode()


def erase(client: imaplib.IMAP4, subject: str) -> None:
    """Delete one message as mail programs do, leaving others that are marked."""
    client.uid("STORE", uid_of(client, subject), "+FLAGS", r"(\Deleted)")
    client.uid("EXPUNGE", uid_of(client, subject))


def test_each_removed_message_is_kept_with_who_removed_it(stand: Stand) -> None:
    box = stand.new_mailbox("--quota", "10M")
    stand.must("setmailbox", box.address, "--pop-deletes", "delete")
    for subject in ("One", "Two", "Three", "Moved", "By POP"):
        box.deliver(subject)
    assert stand.must("removedmail", box.address) == []
    with box.imap() as client:
        client.select("INBOX")
        client.uid("STORE", uid_of(client, "One"), "+FLAGS", r"(\Deleted)")
        client.expunge()
        erase(client, "Two")
        client.create('"Été &- hiver"'.replace("É", "&AMk-").replace("é", "&AOk-"))
        client.create("Projects/2026")
        client.uid("MOVE", uid_of(client, "Three"), "Projects/2026")
        client.uid("MOVE", uid_of(client, "Moved"), "Archive")
        client.delete("Projects/2026")
    with box.pop() as owner:
        numbers = range(1, len(owner.list()[1]) + 1)
        (number,) = (n for n in numbers if b"Subject: By POP" in owner.retr(n)[1])
        owner.dele(number)
    found = wait_until_recorded(box, "One", "Two", "Three", "By POP")
    # What was moved is where it was moved to.
    assert set(found) == {"One", "Two", "Three", "By POP"}
    told = {subject: (row["protocol"], row["folder"]) for subject, row in found.items()}
    assert told == {
        "One": ("imap", "INBOX"),
        "Two": ("imap", "INBOX"),
        "Three": ("imap", "Projects/2026"),
        "By POP": ("pop3", "INBOX"),
    }
    # Each is told of a session in the connection log.
    of = sessions(box)
    assert {subject: of[row["session"]] for subject, row in found.items()} == {
        subject: row["protocol"] for subject, row in found.items()
    }
    assert len({row["session"] for row in found.values()}) == 2
    assert len({row["id"] for row in found.values()}) == 4
    for row in found.values():
        assert row["size"] > 0
        assert row["from"] == "sender@example.net"
        since = datetime.now(UTC) - datetime.fromisoformat(row["removed_at"])
        assert timedelta(0) <= since < timedelta(hours=1)
    assert box.subjects() == ["Welcome to your mailbox"]


def test_its_owner_neither_meets_nor_changes_it(stand: Stand) -> None:
    box = stand.new_mailbox("--quota", "10M")
    box.deliver("Secret")
    with box.imap() as client:
        client.select("INBOX")
        erase(client, "Secret")
        before = stand.must("showmailbox", box.address)["used_bytes"]
        assert "EXPUNGED" not in str(client.list()) + str(client.lsub()) + str(client.namespace())
        assert client.append(KEPT, "", "", b"Subject: Put in\r\n\r\n" + b"x" * 100_000)[0] == "NO"
        assert client.copy("1", KEPT)[0] == "NO"
        assert client.uid("MOVE", "1:*", KEPT)[0] == "NO"
        for name in ('".EXPUNGED"', '".EXPUNGED/mine"', '".EXPUNGED/all/mine"'):
            assert client.create(name)[0] == "NO"
            assert client.append(name, "", "", b"Subject: Put in\r\n\r\n")[0] == "NO"
        assert client.rename(KEPT, "mine")[0] == "NO"
        assert client.delete(KEPT)[0] == "NO"
    with box.imap() as client:
        client._simple_command("SELECT", KEPT)
        client.state, client.is_readonly = "SELECTED", True
        client.uid("STORE", "1:*", "+FLAGS", r"(\Deleted)")
        client.expunge()
        assert client.uid("MOVE", "1:*", "INBOX")[0] == "NO"
        client.close()
    assert subjects_removed(box) == {"Secret"}
    assert stand.must("showmailbox", box.address)["used_bytes"] == before
    assert box.subjects() == ["Welcome to your mailbox"]


def test_a_full_mailbox_can_be_emptied_and_takes_mail_again(stand: Stand) -> None:
    box = stand.new_mailbox("--quota", "1M")
    for number in range(2):
        box.deliver(f"Large {number}", "x\n" * 150_000)
    refused = stand.command("deliver", box.address, stdin="Subject: Too much\n\n" + "x\n" * 150_000)
    assert refused.code == 1
    with box.imap() as client:
        client.select("INBOX")
        client.store("1:*", "+FLAGS", r"(\Deleted)")
        client.expunge()
    assert stand.must("showmailbox", box.address)["used_bytes"] == 0
    assert {"Large 0", "Large 1"} <= subjects_removed(box)
    box.deliver("Room again", "x\n" * 150_000)


def test_a_message_for_two_is_kept_for_each_that_removes_it(stand: Stand) -> None:
    box, other = stand.new_mailbox(), stand.new_mailbox()
    message = "From: sender@example.net\nSubject: For both\n\nHello.\n"
    assert len(stand.must("deliver", box.address, other.address, stdin=message)["delivered"]) == 2
    for each in (box, other):
        with each.imap() as client:
            client.select("INBOX")
            erase(client, "For both")
        assert subjects_removed(each) == {"For both"}


@pytest.fixture(scope="module")
def own_stand(make_stand: Callable[..., Stand]) -> Stand:
    """A stand that may be told another time: in it, what others removed ends too."""
    stand = make_stand()
    stand.start()
    (stand.data_dir.root / TEST_CLOCK).touch()
    return stand


def test_it_ends_when_its_time_is_over_and_not_before(own_stand: Stand) -> None:
    box = own_stand.new_mailbox()
    box.deliver("Old")
    with box.imap() as client:
        client.select("INBOX")
        erase(client, "Old")
    wait_until_recorded(box, "Old")
    removed_at = datetime.fromisoformat(removed(box)["Old"]["removed_at"])
    early = (removed_at + timedelta(days=14) - timedelta(seconds=5)).isoformat()
    late = (removed_at + timedelta(days=14, seconds=5)).isoformat()
    assert own_stand.must("endremovedmail")["messages"] == 0
    assert own_stand.must("endremovedmail", "--at", early)["messages"] == 0
    assert own_stand.must("endremovedmail", "--at", late, "--dry-run")["messages"] == 1
    assert subjects_removed(box) == {"Old"}
    report = own_stand.must("endremovedmail", "--at", late)
    assert (report["mailboxes"], report["messages"], report["failures"]) == (1, 1, [])
    assert own_stand.must("removedmail", box.address) == []
    assert box.subjects() == ["Welcome to your mailbox"]


def test_more_than_the_quota_ends_oldest_first(own_stand: Stand) -> None:
    box = own_stand.new_mailbox("--quota", "1M")
    for number in range(5):
        box.deliver(f"Large {number}", "x\n" * 150_000)
        with box.imap() as client:
            client.select("INBOX")
            erase(client, f"Large {number}")
    wait_until_recorded(box, *(f"Large {number}" for number in range(5)))
    report = own_stand.must("endremovedmail")
    assert (report["mailboxes"], report["messages"]) == (1, 3)
    # 300 kB with LF are 450 kB with CR LF, as a quota counts them.
    assert subjects_removed(box) == {"Large 3", "Large 4"}
    assert own_stand.must("endremovedmail")["messages"] == 0


def test_a_mailbox_of_before_keeps_from_now_on(own_stand: Stand) -> None:
    box = own_stand.new_mailbox()
    # A home has no such folder until something is removed: that is what every mailbox of before looks like.
    assert not (box.home / "expunged").exists()
    box.deliver("First")
    with box.imap() as client:
        client.select("INBOX")
        erase(client, "First")
    assert (box.home / "expunged").stat().st_mode & 0o777 == 0o700
    assert subjects_removed(box) == {"First"}
    assert own_stand.must("checkmail")["failures"] == []
