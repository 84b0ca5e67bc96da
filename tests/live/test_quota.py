"""Quotas with a real Dovecot: what is too much is refused, and what is counted is what lies there."""

from __future__ import annotations

import imaplib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.stand import Box, Stand

pytestmark = pytest.mark.live

KB = 1024


def text(subject: str, size: int) -> bytes:
    """Return a message of about so many bytes, with line breaks as IMAP has them."""
    lines = b"x" * 62 + b"\r\n"
    return b"From: sender@example.net\r\nSubject: " + subject.encode() + b"\r\n\r\n" + lines * (size // 64)


def append(client: imaplib.IMAP4, subject: str, size: int, folder: str = "INBOX") -> tuple[str, str]:
    """Append a message, and return what the server says."""
    status, said = client.append(folder, "", "", text(subject, size))
    return status, str(said)


def deliver(box: Box, subject: str, size: int) -> dict[str, Any]:
    """Deliver a message, and return what became of it."""
    message = text(subject, size).replace(b"\r\n", b"\n")
    return dict(box.stand.command("deliver", box.address, stdin=message).json)


def files(box: Box) -> list[Path]:
    """Return the messages of a mailbox, those that were removed left out."""
    folders = [box.home / "Maildir", *(box.home / "Maildir").glob(".*/")]
    return [file for folder in folders for part in ("cur", "new") for file in (folder / part).iterdir()]


def counted(box: Box) -> tuple[int, int]:
    """Return messages and bytes as IMAP shows them, from the files' own text, in whole KiB as Dovecot says them."""
    texts = [file.read_bytes() for file in files(box)]
    size = sum(len(each) + each.count(b"\n") - each.count(b"\r\n") for each in texts)
    return len(texts), -(-size // KB) * KB


def checked(box: Box, *options: str) -> tuple[int, int]:
    """Check, and return what the panel knows of the mailbox then, when Dovecot is not asked again."""
    answer = box.stand.must("checkquotas", box.address, *options)
    assert answer["failures"] == []
    shown = box.stand.must("showmailbox", box.address)
    return shown["messages"], shown["used_bytes"]


def test_what_is_too_much_is_refused_everywhere(stand: Stand) -> None:
    box = stand.new_mailbox("--quota", "200K")
    assert deliver(box, "Fits", 100 * KB)["delivered"] == [box.address]
    refused = deliver(box, "Too much", 150 * KB)
    assert refused["delivered"] == []
    assert refused["refused"][box.address].startswith("552 5.2.2")
    with box.imap() as client:
        status, said = append(client, "Too much", 150 * KB)
        assert (status, "[OVERQUOTA]" in said) == ("NO", True)
        client.select("INBOX")
        status, copied = client.copy("2", "Archive")
        assert (status, "[OVERQUOTA]" in str(copied)) == ("NO", True)
        # A move needs no more room, and what is removed makes some.
        assert client.uid("MOVE", "2", "Archive")[0] == "OK"
        client.select("Archive")
        client.store("1", "+FLAGS", r"(\Deleted)")
        client.expunge()
        assert append(client, "Fits now", 150 * KB)[0] == "OK"
    assert deliver(box, "Full again", 100 * KB)["refused"][box.address].startswith("552 5.2.2")
    assert checked(box) == counted(box)


def test_another_quota_counts_from_the_next_session_on(stand: Stand) -> None:
    box = stand.new_mailbox("--quota", "100K")
    with box.imap() as before:
        assert append(before, "Too much", 150 * KB)[0] == "NO"
        stand.must("setmailbox", box.address, "--quota", "1M")
        with box.imap() as after:
            assert append(after, "Fits", 150 * KB)[0] == "OK"
        assert append(before, "Too much", 150 * KB)[0] == "NO"
    assert deliver(box, "Fits", 150 * KB)["delivered"] == [box.address]
    # Below what it holds: nothing is lost, and nothing more comes in.
    shown = stand.must("setmailbox", box.address, "--quota", "100K")
    assert shown["quota_bytes"] < shown["used_bytes"]
    assert deliver(box, "Too much", KB)["refused"][box.address].startswith("552 5.2.2")
    assert len(box.subjects()) == 3


def test_what_programs_do_is_counted_as_the_files_are(stand: Stand) -> None:
    box = stand.new_mailbox()
    for number in range(3):
        deliver(box, f"Delivered {number}", (number + 1) * 7 * KB)
    assert checked(box) == counted(box)
    with box.imap() as client:
        client.create("Projects/2026")
        append(client, "Sent", 33 * KB, "Sent")
        append(client, "Draft", 3 * KB, "Projects/2026")
        client.select("INBOX")
        client.copy("1:2", "Projects/2026")
        client.store("4", "+FLAGS", r"(\Deleted)")
        client.expunge()
        client.uid("MOVE", "3", "Archive")
        client.create("Short")
        client.copy("1", "Short")
        client.delete("Short")
        # While it is open, too.
        assert checked(box) == counted(box)
    assert stand.must("removedmail", box.address)
    messages, used = counted(box)
    answer = stand.must("checkquotas")
    assert checked(box) == (messages, used)
    assert answer["mailboxes"] >= 1
    # With nobody asking Dovecot: the page and the lists show the panel's copy.
    assert answer["bytes"] >= used


def as_if_untouched(folder: Path, change: Callable[[], object]) -> None:
    """Change a folder behind Dovecot's back, its times as they were: as a backup that is copied back does."""
    times = folder.stat()
    change()
    os.utime(folder, ns=(times.st_atime_ns, times.st_mtime_ns))


def drifted(box: Box) -> dict[str, Any]:
    """Check, and return the one thing that is found."""
    answer = box.stand.command("checkquotas", box.address)
    assert answer.code == 0, answer.stderr
    (failure,) = answer.json["failures"]
    assert failure["subject"] == box.address
    return dict(failure)


def test_what_happens_behind_dovecots_back_is_found_and_mended(stand: Stand) -> None:
    box = stand.new_mailbox()
    for number in range(3):
        deliver(box, f"Delivered {number}", 20 * KB)
    with box.imap() as client:
        client.select("INBOX")
        client.store("1:*", "+FLAGS", r"(\Seen)")
        client.copy("2", "Archive")
    assert checked(box) == counted(box)
    inbox = box.home / "Maildir" / "cur"
    lost, copied = sorted(file for file in inbox.iterdir() if file.stat().st_size > 10 * KB)[:2]
    as_if_untouched(inbox, lost.unlink)
    failure = drifted(box)
    assert failure["mended"]
    assert failure["problem"].endswith("It has counted anew.")
    assert f"its files are {counted(box)[0]} messages" in failure["problem"]
    assert checked(box) == counted(box)

    def add() -> None:
        there = inbox / copied.name.replace(copied.name.partition(".")[0], "1700000000", 1)
        shutil.copy(copied, there)
        owner = copied.stat()
        os.chown(there, owner.st_uid, owner.st_gid)

    as_if_untouched(inbox, add)
    assert drifted(box)["mended"]
    assert checked(box) == counted(box)


def test_a_file_that_came_with_a_new_time_is_counted_without_a_failure(stand: Stand) -> None:
    box = stand.new_mailbox()
    deliver(box, "Delivered", 20 * KB)
    assert checked(box) == counted(box)
    before = counted(box)
    (file,) = (file for file in files(box) if file.stat().st_size > 10 * KB)
    file.unlink()
    assert checked(box) == counted(box) != before


def test_two_checks_at_once_harm_nothing(stand: Stand) -> None:
    boxes = [stand.new_mailbox() for _number in range(3)]
    for box in boxes:
        deliver(box, "Delivered", 20 * KB)
    both = [stand.spawn("manage.py", "checkquotas", "--json") for _twice in range(2)]
    answers = [json.loads(process.communicate(timeout=120)[0]) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert [answer["failures"] for answer in answers] == [[], []]
    assert answers[0]["bytes"] == answers[1]["bytes"] >= sum(counted(box)[1] for box in boxes)
