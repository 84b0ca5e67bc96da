"""Rules purge exactly what the dry run named, whatever is killed meanwhile: driven by commands and mail programs.

What lies where is read from the Maildirs themselves (tests.maildirs), before and after.
"""

from __future__ import annotations

import imaplib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.create_many import PASSWORD
from tests.live.test_purge import allow_test_clock
from tests.live.test_recoverable import uid_of
from tests.maildirs import Lying, lying_in, removed_in
from tests.stand import Box, Stand, wait_for

pytestmark = pytest.mark.live

DAY = 86_400
#: Folders with names that people use, as IMAP writes them (modified UTF-7), and as commands take them.
ODD = {
    'Projects/&AMk-t&AOk- "x"': 'Projects/Été "x"',
    "Trash/Old (2)": "Trash/Old (2)",
    "Trash/back\\slash": "Trash/back\\slash",
    "Trash/(": "Trash/(",
    "INBOX-like": "INBOX-like",
}
#: Where each mailbox's messages lie, one after the other.
FOLDERS = ["INBOX", "Trash", "Junk", "Sent", "Archive", *ODD]


@dataclass(frozen=True)
class Place:
    """A stand of one test's own, with mailboxes."""

    stand: Stand
    domain: str
    boxes: list[Box]

    def lying(self) -> dict[str, set[Lying]]:
        """Return what lies in each mailbox, by its address."""
        return {box.address: set(lying_in(box.home)) for box in self.boxes}

    def runs(self) -> list[dict[str, Any]]:
        """Return the figures of all runs, as they are stored."""
        code = (
            "import json; from panel.retention.models import PurgeRun; "
            "print(json.dumps(list(PurgeRun.objects.order_by('pk').values("
            "'kind', 'state', 'messages', 'purged_mailboxes', 'purged_messages', 'purged_bytes', 'failures'))))"
        )
        with self.stand.spawn("manage.py", "shell", "-c", code) as process:
            printed, _none = process.communicate(timeout=120)
        return list(json.loads(printed.decode().strip().splitlines()[-1]))


@pytest.fixture
def make_place(make_stand: Callable[..., Stand]) -> Iterator[Callable[..., Place]]:
    """Make a place with some mailboxes; its stand goes with the test."""
    made: list[Stand] = []

    def make(count: int, **settings: str) -> Place:
        stand = make_stand(**settings)
        made.append(stand)
        stand.start()
        allow_test_clock(stand)
        domain = stand.new_domain()
        with stand.spawn("-m", "tests.create_many", domain, str(count)) as process:
            assert process.wait(600) == 0
        # Without a limit Dovecot tells mail programs nothing of what is used.
        shown = [
            stand.must("setmailbox", f"box{number}@{domain}", "--quota", "1G") for number in range(count)
        ]
        boxes = [Box(stand, each["address"], PASSWORD, Path(each["home"])) for each in shown]
        return Place(stand, domain, boxes)

    yield make
    for stand in made:
        stand.remove()


def fill(box: Box, messages: int) -> None:
    """Put so many messages into a mailbox, spread over its folders."""
    with box.imap() as client:
        for folder in ODD:
            assert client.create(_quoted(folder))[0] == "OK"
        for number in range(messages):
            folder = FOLDERS[number % len(FOLDERS)]
            text = f"Subject: {number} in {folder}\r\n\r\n" + "x" * (number % 70) + "\r\n" * (number % 9)
            assert client.append(_quoted(folder), "", "", text.encode())[0] == "OK"


def _quoted(folder: str) -> str:
    return '"' + folder.replace("\\", "\\\\").replace('"', '\\"') + '"'


def say_rules(place: Place) -> Callable[[int, Lying], bool]:
    """Say rules at all levels; return what ends 15 days later, by the number of the mailbox."""
    first, second, third = (box.address for box in place.boxes[:3])
    for folder, days, *level in (
        ("Trash", "30", "--platform"),
        ("Junk", "7", "--customer", "My organisation"),
        ("Trash", "10", "--domain", place.domain),
        ("Trash", "never", "--address", first),
        ("INBOX", "5", "--address", second),
        ('Projects/Été "x"', "3", "--address", third),
        ("Trash/back\\slash", "40", "--address", third),
        ("Sent", "90", "--platform"),
    ):
        place.stand.must("setretention", folder, days, *level, "--confirm")

    def ends(number: int, message: Lying) -> bool:
        folder = message.folder
        if folder == "Junk":
            return True
        if folder == "Trash" or folder.startswith("Trash/"):
            return number != 0 and not (number == 2 and folder == "Trash/back\\slash")
        return (number == 1 and folder == "INBOX") or (number == 2 and folder.startswith("Projects/"))

    return ends


def due(place: Place, ends: Callable[[int, Lying], bool]) -> dict[str, set[Lying]]:
    """Return what is to go, from the files."""
    return {
        box.address: {message for message in lying_in(box.home) if ends(number, message)}
        for number, box in enumerate(place.boxes)
    }


def total(messages: dict[str, set[Lying]]) -> tuple[int, int, int]:
    """Return mailboxes, messages and bytes."""
    every = [message for each in messages.values() for message in each]
    return sum(map(bool, messages.values())), len(every), sum(message.size for message in every)


def figures(report: dict[str, Any]) -> tuple[int, int, int]:
    return report["mailboxes"], report["messages"], report["bytes"]


def at(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()


def later(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


def idle_in(client: imaplib.IMAP4, folder: str) -> None:
    """Have a client wait for what happens in a folder (RFC 2177)."""
    assert client.select(_quoted(folder))[0] == "OK"
    client.send(b"A999 IDLE\r\n")
    while not client.readline().startswith(b"+"):
        pass


def hears_expunge(client: imaplib.IMAP4) -> bool:
    """Wait for the server to say that a message is gone."""
    while line := client.readline():
        if line.rstrip().endswith(b"EXPUNGE"):
            return True
    return False


def storage_used(box: Box) -> int:
    """Return the bytes that Dovecot counts in a mailbox, in whole KiB."""
    with box.imap() as client:
        answer = client.getquotaroot("INBOX")[1]
        text = b" ".join(part for row in answer for part in row if isinstance(part, bytes)).decode()
    return int(text.partition("STORAGE ")[2].split()[0]) * 1024


def assert_gone(place: Place, before: dict[str, set[Lying]], expected: dict[str, set[Lying]]) -> None:
    """Check in the files that just this went, that it can be recovered, and that the quota agrees."""
    for box in place.boxes:
        here, left = expected[box.address], set(lying_in(box.home))
        assert {(m.folder, m.subject) for m in left} == {
            (m.folder, m.subject) for m in before[box.address] - here
        }
        assert sorted(m.subject for m in removed_in(box.home)) == sorted(m.subject for m in here)
        assert abs(storage_used(box) - sum(m.size for m in left)) < 1024


def purge_while_in_use(place: Place, messages: int) -> None:
    """Purge under open sessions, killing what does it, the worker and Dovecot; judge by the files."""
    stand = place.stand
    for box in place.boxes:
        fill(box, messages)
    ends = say_rules(place)
    before, expected = place.lying(), due(place, ends)
    assert total(expected)[1] > len(place.boxes)
    then = later(15)
    named = stand.must("purge", "--dry-run", "--at", then)
    assert (figures(named), named["failures"]) == (total(expected), [])
    assert place.lying() == before
    process = stand.spawn("manage.py", "purge", "--json", "--at", then)
    kept = sum(len(each) for each in before.values()) - total(expected)[1]

    def some_went() -> bool:
        now = sum(len(each) for each in place.lying().values())
        return now < kept + total(expected)[1] or process.poll() is not None

    wait_for(some_went, "the purge to begin", seconds=300)
    for pid in [process.pid, *stand.pids(r"manage\.py purge"), *stand.pids(r"celery.* worker")]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    os.kill(stand.must("servicectl", "status")["pid"], signal.SIGKILL)
    process.communicate(timeout=60)
    wait_for(stand.works, "all parts to work again", seconds=180)

    def is_over() -> bool:
        return all(run["state"] == "done" for run in place.runs())

    wait_for(is_over, "the worker to go on with the purge", seconds=300)
    assert_gone(place, before, expected)
    done = place.runs()
    assert sum(run["purged_messages"] for run in done) == total(expected)[1]
    assert sum(run["purged_bytes"] for run in done) == total(expected)[2]
    assert sum(run["failures"] for run in done) == 0
    again = stand.must("purge", "--at", then)
    assert (figures(again), again["failures"]) == ((0, 0, 0), [])


@pytest.mark.long
def test_what_is_killed_goes_on_and_nothing_else_ends(make_place: Callable[..., Place]) -> None:
    purge_while_in_use(make_place(8), 40)


@pytest.mark.long
def test_the_same_with_many_mailboxes(make_place: Callable[..., Place]) -> None:
    purge_while_in_use(make_place(200), 500)


@pytest.mark.long
def test_clients_that_are_connected_hear_of_it(make_place: Callable[..., Place]) -> None:
    place = make_place(4)
    for box in place.boxes:
        fill(box, 20)
    ends = say_rules(place)
    before, expected = place.lying(), due(place, ends)
    with ExitStack() as stack:
        waiting = []
        for box in place.boxes:
            client = stack.enter_context(box.imap())
            idle_in(client, "Junk")
            waiting.append(client)
        pop = stack.enter_context(place.boxes[1].pop())
        assert pop.stat()[0] == sum(m.folder == "INBOX" for m in before[place.boxes[1].address])
        named = place.stand.must("purge", "--dry-run", "--at", later(15))
        purged = place.stand.must("purge", "--at", later(15))
        assert figures(purged) == figures(named) == total(expected)
        assert purged["failures"] == []
        for client in waiting:
            assert hears_expunge(client)
            client.send(b"DONE\r\n")
    assert_gone(place, before, expected)


@pytest.mark.long
def test_two_at_once_purge_each_message_once(make_place: Callable[..., Place]) -> None:
    place = make_place(6)
    for box in place.boxes:
        fill(box, 40)
    ends = say_rules(place)
    place.stand.must("purge", "--at", later(1.5))  # The changes start; nothing is due yet.
    before, expected = place.lying(), due(place, ends)
    then = later(15)
    both = [place.stand.spawn("manage.py", "purge", "--json", "--at", then) for _ in range(2)]
    answers = [json.loads(process.communicate(timeout=300)[0]) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    assert sum(answer["messages"] for answer in answers) == total(expected)[1]
    assert sum(answer["bytes"] for answer in answers) == total(expected)[2]
    assert_gone(place, before, expected)


@pytest.mark.long
def test_exactly_so_many_days_whatever_the_clocks_do(make_place: Callable[..., Place]) -> None:
    """Over the change to summer time, over a leap day, and named in any zone."""
    place = make_place(3, TIME_ZONE="Europe/Paris")
    summer = timezone(timedelta(hours=2))
    for box, days in zip(place.boxes, (1, 130, 500), strict=True):
        place.stand.must("setretention", "Archive", str(days), "--address", box.address, "--confirm")
        with box.imap() as client:
            client.append("Archive", "", "", b"Subject: Exactly\r\n\r\nx\r\n")
        (message,) = [each for each in lying_in(box.home) if each.folder == "Archive"]
        due_after = message.saved + days * DAY
        for moment, messages in ((due_after - 1, 0), (due_after, 0), (due_after + 1, 1)):
            for said in (
                at(moment),
                datetime.fromtimestamp(moment, summer).isoformat(),
                at(moment).replace("+00:00", ".999999+00:00") if not messages else at(moment),
            ):
                if moment < datetime.now(UTC).timestamp() + DAY:
                    continue  # Before the change starts.
                assert _in_archive(place, box, said) == 1 - messages, (days, moment - due_after, said)


def _in_archive(place: Place, box: Box, said: str) -> int:
    """Purge as if it were then; return how many messages lie in the archive."""
    report = place.stand.must("purge", "--at", said)
    assert report["failures"] == []
    return sum(each.folder == "Archive" for each in lying_in(box.home))


@pytest.mark.long
def test_the_date_of_saving_stays_where_flags_change_and_files_are_lost(
    make_place: Callable[..., Place],
) -> None:
    """A flag moves a file's ctime, and moving a message begins anew; a lost index never makes a message older."""
    place = make_place(1)
    (box,) = place.boxes
    place.stand.must("setretention", "Archive", "100", "--address", box.address, "--confirm")
    with box.imap() as client:
        for subject in ("Flagged", "Lost", "Moved"):
            folder = "INBOX" if subject == "Moved" else "Archive"
            client.append(folder, "", "", f"Subject: {subject}\r\n\r\nx\r\n".encode())
        saved = {each.subject: each.saved for each in lying_in(box.home)}
        time.sleep(3)
        client.select("Archive")
        client.store("1:2", "+FLAGS", r"(\Seen \Flagged)")
        client.select("INBOX")
        assert client.uid("MOVE", uid_of(client, "Moved"), "Archive")[0] == "OK"
    changed = {each.subject: each.saved for each in lying_in(box.home)}
    assert changed["Flagged"] >= saved["Flagged"] + 2
    just_after = saved["Lost"] + 100 * DAY + 1
    assert place.stand.must("purge", "--at", at(just_after))["messages"] == 2
    assert {each.subject for each in lying_in(box.home) if each.folder == "Archive"} == {"Moved"}
    # Without index files the date of saving is the file's own, which is never earlier than the true one.
    for lost in (box.home / "Maildir" / ".Archive").glob("dovecot.index*"):
        lost.unlink()
    (moved,) = [each for each in lying_in(box.home) if each.folder == "Archive"]
    assert place.stand.must("purge", "--at", at(moved.saved + 100 * DAY))["messages"] == 0
    assert place.stand.must("purge", "--at", at(moved.saved + 100 * DAY + 1))["messages"] == 1
