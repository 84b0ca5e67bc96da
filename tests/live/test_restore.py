"""What was removed comes back as it was: same bodies, flags, dates and folders; or is gone for good."""

from __future__ import annotations

import imaplib
import re
from collections.abc import Sequence

import pytest

from tests.live.test_recoverable import wait_until_recorded
from tests.panel_client import PanelClient
from tests.stand import Box, Stand, wait_for

pytestmark = pytest.mark.live

FOLDERS = ("INBOX", '"Clients/&AOk-t&AOk-"')
FLAGS = ("", r"\Seen", r"\Seen \Answered", r"\Flagged $Label1", r"\Draft")


def fill(client: imaplib.IMAP4) -> None:
    """Put thirty messages into two folders, with flags, and dates of long ago."""
    client.create(FOLDERS[1])
    for number in range(30):
        text = f"From: a@example.net\r\nSubject: Number {number}\r\n\r\nBody {number} é\r\n"
        date = f'"{number + 1:02}-Jan-2019 10:{number:02}:00 +0100"'
        client.append(FOLDERS[number % 2], FLAGS[number % 5], date, text.encode())


def contents(box: Box, folders: Sequence[str] = FOLDERS) -> dict[str, set[tuple[str, ...]]]:
    """Return what each folder holds: flags, date and the whole text of each message."""
    found = {}
    with box.imap() as client:
        for folder in folders:
            if client.select(folder)[0] != "OK":
                continue
            _status, rows = client.fetch("1:*", "(FLAGS INTERNALDATE BODY.PEEK[])")
            found[folder] = {_read(row) for row in rows if isinstance(row, tuple)}
    return found


def _read(row: tuple[bytes, bytes]) -> tuple[str, ...]:
    said, text = row[0].decode(), row[1].decode()
    flags = re.findall(r"FLAGS \(([^)]*)\)", said)[0].replace(r"\Recent", "").split()
    return (" ".join(sorted(flags)), re.findall(r'INTERNALDATE "([^"]*)"', said)[0], text)


def remove_all(box: Box) -> None:
    with box.imap() as client:
        for folder in FOLDERS:
            client.select(folder)
            client.store("1:*", "+FLAGS", r"(\Deleted)")
            client.expunge()
        client.unselect()
        client.delete(FOLDERS[1])


def test_thirty_removed_messages_come_back_as_they_were(stand: Stand) -> None:
    box = stand.new_mailbox("--quota", "10M")
    with box.imap() as client:
        fill(client)
    before = contents(box)
    remove_all(box)
    wait_until_recorded(box, *(f"Number {number}" for number in range(30)))
    listed = stand.must("removedmail", box.address)
    assert len(listed) == 31  # and the welcome message
    some = [str(row["id"]) for row in listed[:2]]
    assert stand.must("restoremail", box.address, "--id", *some) == {"restored": 2}
    assert stand.must("restoremail", box.address, "--id", *some) == {"restored": 0}
    since = min(row["removed_at"] for row in listed)
    assert stand.must("restoremail", box.address, "--since", since) == {"restored": 29}
    assert contents(box) == before
    assert stand.must("removedmail", box.address) == []
    assert stand.must("restoremail", box.address) == {"restored": 0}
    # A program that expunges finds nothing to take away again.
    with box.imap() as client:
        client.select("INBOX")
        client.expunge()
    assert contents(box) == before


def test_what_has_no_room_stays_and_comes_back_later(stand: Stand) -> None:
    box = stand.new_mailbox("--quota", "1M")
    box.deliver("Large", "x\n" * 150_000)
    with box.imap() as client:
        client.select("INBOX")
        client.store("1:*", "+FLAGS", r"(\Deleted)")
        client.expunge()
    for number in range(2):
        box.deliver(f"Large {number}", "x\n" * 150_000)
    answer = stand.command("restoremail", box.address)
    assert answer.code == 1
    assert "no room" in answer.stderr
    assert {row["subject"] for row in stand.must("removedmail", box.address)} == {"Large"}
    stand.must("setmailbox", box.address, "--quota", "3M")
    assert stand.must("restoremail", box.address) == {"restored": 1}


def test_the_page_brings_many_back_by_a_job_and_erases(stand: Stand) -> None:
    box = stand.new_mailbox("--quota", "10M")
    with box.imap() as client:
        for number in range(60):
            client.append("Archive", r"\Seen", "", f"Subject: Many {number}\r\n\r\nBody\r\n".encode())
        client.select("INBOX")
        client.store("1:*", "+FLAGS", r"(\Deleted)")
        client.expunge()
        client.select("Archive")
        client.store("1:*", "+FLAGS", r"(\Deleted)")
        client.expunge()
    rows = wait_until_recorded(box, *(f"Many {number}" for number in range(60)))
    panel = PanelClient(stand)
    place = f"/mailboxes/{re.findall(r'/mailboxes/([0-9]+)/', panel.get(f'/mailboxes/?q={box.address}'))[0]}/recover/"
    assert "Many 59" in panel.get(place)
    gone = rows["Many 7"]["id"]
    assert "Many 7 " in panel.get(f"{place}erase/?id={gone}")
    assert "1 message is erased" in panel.send(f"{place}erase/?id={gone}")
    assert "Many 7" not in {row["subject"] for row in stand.must("removedmail", box.address)}
    answer = panel.press_with(f"{place}restore/", place, since="2020-01-01T00:00")
    job = re.findall(r"\?job=([0-9]+)", answer)[0]
    wait_for(lambda: "60 messages are back" in panel.get(f"{place}?job={job}"), "the job to bring all back")
    with box.imap() as client:
        assert client.select("Archive")[1] == [b"59"]
        assert client.select("INBOX")[1] == [b"1"]
    assert stand.must("removedmail", box.address) == []
