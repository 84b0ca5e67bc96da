"""A mailbox that fills up: its owner is told in the inbox, once per crossing, also when nothing else fits in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.header import decode_header, make_header
from subprocess import PIPE, Popen

import pytest

from tests.live.test_folders import idling, told
from tests.stand import Box, Stand

pytestmark = pytest.mark.live

#: What both processes do at the same moment, each time they are told to: the check's work on one mailbox, then all of
#: the warnings'.
CODE = """
import sys
from panel.addresses.models import Mailbox
from panel.addresses.usage import read_usage
from panel.core.jobs import run_in_foreground
for line in sys.stdin:
    read_usage(Mailbox.objects.get(address=line.strip()))
    run_in_foreground("find_quota_warnings")
    run_in_foreground("tell_quota_warnings")
    print("done", flush=True)
"""


@dataclass
class Pair:
    """Two processes that look for crossings and tell them, beside the stand's own worker."""

    processes: list[Popen[bytes]]

    def warn(self, box: Box) -> None:
        """Have both do it at once."""
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write(f"{box.address}\n".encode())
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.flush()
        for process in self.processes:
            assert process.stdout is not None
            assert process.stdout.readline() == b"done\n"


@pytest.fixture
def pair(stand: Stand) -> Iterator[Pair]:
    """Two processes."""
    command = ("manage.py", "shell", "-v", "0", "-c", CODE)
    processes = [stand.spawn(*command, stdin=PIPE) for _ in range(2)]
    yield Pair(processes)
    for process in processes:
        process.communicate()
        assert process.returncode == 0


def warnings_in(box: Box) -> list[str]:
    """Return the subjects of the warnings in the inbox, in the order of their arrival."""
    subjects = (str(make_header(decode_header(subject))) for subject in box.subjects())
    return [subject for subject in subjects if "mailbox" in subject and "full" in subject]


def fill(box: Box, *sizes: int) -> None:
    """Append messages of these sizes to a folder that is not the inbox."""
    with box.imap() as client:
        for size in sizes:
            assert client.append("Archive", "", "", b"Subject: Large\r\n\r\n" + b"x" * size)[0] == "OK"


def sizes_in(box: Box, folder: str) -> list[int]:
    """Return the sizes of the messages in a folder, as IMAP tells them."""
    with box.imap() as client:
        client.select(folder, readonly=True)
        rows = client.fetch("1:*", "(RFC822.SIZE)")[1]
    return [
        int(size) for row in rows if isinstance(row, bytes) for size in re.findall(rb"SIZE ([0-9]+)", row)
    ]


def empty(box: Box) -> None:
    with box.imap() as client:
        client.select("Archive")
        client.store("1:*", "+FLAGS", r"\Deleted")
        client.expunge()


def test_a_warning_arrives_once_per_crossing_whatever_runs_at_once(stand: Stand, pair: Pair) -> None:
    box = stand.new_mailbox("--quota", "1M")
    fill(box, 400_000)
    pair.warn(box)
    assert warnings_in(box) == []
    fill(box, 450_000)
    with idling(box) as client:
        pair.warn(box)
        # A mail program that waits hears of it at once.
        assert told(client, r"^\* [0-9]+ EXISTS")
    assert warnings_in(box) == ["Your mailbox is 80% full"]
    pair.warn(box)
    assert warnings_in(box) == ["Your mailbox is 80% full"]

    # Nothing fits any more: over LMTP a message is refused, and the warning is there all the same.
    stand.must("setmailbox", box.address, "--quota", "800K")
    message = f"From: sender@example.net\nTo: {box.address}\nSubject: Refused\n\n{'x' * 5000}\n"
    refused = stand.command("deliver", box.address, stdin=message)
    assert refused.code == 1
    assert "552" in refused.json["refused"][box.address]
    with idling(box) as client:
        pair.warn(box)
        assert told(client, r"^\* [0-9]+ EXISTS")
    assert warnings_in(box) == ["Your mailbox is 80% full", "Your mailbox is full"]
    assert "Refused" not in box.subjects()
    # Dovecot counts it as any other message.
    held = stand.must("showmailbox", box.address)
    sizes = [size for folder in ("INBOX", "Archive") for size in sizes_in(box, folder)]
    assert held["messages"] == len(sizes)
    assert 0 <= held["used_bytes"] - sum(sizes) < 1024

    # Below, and above again.
    empty(box)
    pair.warn(box)
    assert len(warnings_in(box)) == 2
    fill(box, 700_000)
    pair.warn(box)
    assert warnings_in(box)[2:] == ["Your mailbox is 80% full"]
    # It is a message as any other: it can be read, over POP too, and deleted.
    with box.pop() as client:
        assert client.stat()[0] == len(box.subjects())
        lines = client.retr(len(box.subjects()))[1]
    assert b"Auto-Submitted: auto-generated" in lines
    assert any(b"/storage/" in line for line in lines)


def test_the_folders_of_a_mailbox_are_measured_on_its_page(stand: Stand) -> None:
    box = stand.new_mailbox("--quota", "1M")
    fill(box, 100_000)
    empty(box)
    fill(box, 50_000)
    code = (
        "from panel.addresses.models import Mailbox; from panel.quotas import storage; "
        f"found = storage.folders_of(Mailbox.objects.get(address={box.address!r})); "
        "print([(each.name, each.messages) for each in found.shown], found.removed_messages)"
    )
    with stand.spawn("manage.py", "shell", "-v", "0", "-c", code) as process:
        printed = process.communicate()[0].decode()
    assert printed.strip() == "[('Archive', 1), ('INBOX', 1)] 1"
