"""The log in segments: numbers, the link, sealing, and what is removed when."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mailbackend.paths import DataDir
from mailbackend.supervisor import segments
from mailbackend.supervisor.watch import LogWatch

LINE = b"2026-11-24T13:16:03.369888+0000 "


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    layout = DataDir(tmp_path)
    layout.events.mkdir()
    layout.run.mkdir()
    return layout


@pytest.fixture
def plenty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk with room, whatever this machine has."""
    monkeypatch.setattr(segments, "FLOOR", 0)


def numbers(data: DataDir) -> list[tuple[int, bool]]:
    return [(segment.number, segment.sealed) for segment in segments.list_segments(data)]


def make(data: DataDir, count: int, size: int = 10) -> None:
    """Make `count` segments, all but the last sealed."""
    for _ in range(count):
        segments.begin(data, None)
        data.event_log.write_bytes(b"x" * (size - 1) + b"\n")
    segments.seal(data, [])


def test_the_first_is_made_and_named_by_the_link(data: DataDir) -> None:
    segments.continue_or_begin(data, None)
    assert numbers(data) == [(1, False)]
    assert data.event_log.readlink() == Path("00000001.log")
    assert data.event_log.stat().st_mode & 0o777 == 0o640


def test_a_whole_segment_is_continued_and_a_half_written_one_is_not(data: DataDir) -> None:
    segments.continue_or_begin(data, None)
    data.event_log.write_bytes(b"whole\n")
    segments.continue_or_begin(data, None)
    assert numbers(data) == [(1, False)]
    data.event_log.write_bytes(b"whole\nhal")
    segments.continue_or_begin(data, None)
    assert numbers(data) == [(1, False), (2, False)]
    assert data.event_log.readlink() == Path("00000002.log")


def test_a_sealed_segment_is_not_continued(data: DataDir) -> None:
    segments.begin(data, None)
    data.event_log.chmod(0o440)
    segments.continue_or_begin(data, None)
    assert numbers(data) == [(1, True), (2, False)]


def test_numbers_go_on_after_what_is_stored(data: DataDir) -> None:
    data.events_stored.write_text("41\n")
    segments.begin(data, None)
    assert numbers(data) == [(42, False)]


def test_a_segment_that_is_written_to_is_not_sealed(data: DataDir) -> None:
    segments.begin(data, None)
    holds = "import sys; f = open(sys.argv[1], 'a'); print('open', flush=True); sys.stdin.read()"
    writer = subprocess.Popen(
        [sys.executable, "-c", holds, str(data.event_log)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        segments.begin(data, None)
        segments.seal(data, [writer.pid])
        assert numbers(data) == [(1, False), (2, False)]
        writer.kill()
        writer.wait()
        segments.seal(data, [writer.pid])
        assert numbers(data) == [(1, True), (2, False)]


@pytest.mark.usefixtures("plenty")
def test_stored_segments_go_and_are_no_loss(data: DataDir) -> None:
    make(data, 4)
    data.events_stored.write_text("2")
    assert segments.make_room(data) == []
    assert numbers(data) == [(3, True), (4, False)]


@pytest.mark.usefixtures("plenty")
def test_what_is_said_to_be_stored_but_not_sealed_stays(data: DataDir) -> None:
    make(data, 2)
    data.events_stored.write_text("7")
    assert segments.make_room(data) == []
    assert numbers(data) == [(2, False)]


@pytest.mark.usefixtures("plenty")
def test_over_the_cap_the_oldest_goes_and_is_told(data: DataDir, monkeypatch: pytest.MonkeyPatch) -> None:
    make(data, 5, size=100)
    monkeypatch.setattr(segments, "CAP", 300)
    lost = segments.make_room(data)
    assert [(segment.number, segment.size) for segment in lost] == [(1, 100), (2, 100)]
    assert numbers(data) == [(3, True), (4, True), (5, False)]


def test_on_a_disk_that_is_nearly_full_all_that_is_sealed_goes(
    data: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(data, 3)
    monkeypatch.setattr(segments, "FLOOR", 2**62)
    monkeypatch.setattr(segments, "FLOOR_SHARE", 1.0)
    assert [segment.number for segment in segments.make_room(data)] == [1, 2]
    assert numbers(data) == [(3, False)]


@pytest.mark.parametrize("content", ["", "many", "-1", "1" * 30, "1 2", "\x00"])
def test_a_damaged_note_means_that_nothing_is_stored(data: DataDir, content: str) -> None:
    data.events_stored.write_text(content)
    assert segments.stored_up_to(data) == 0


def test_a_note_that_is_no_file_is_not_waited_for(data: DataDir) -> None:
    os.mkfifo(data.events_stored)
    assert segments.stored_up_to(data) == 0
    data.events_stored.unlink()
    data.events_stored.symlink_to("/etc/hostname")
    assert segments.stored_up_to(data) == 0


# --- reading it for troubles


@pytest.fixture
def watch(data: DataDir) -> LogWatch:
    segments.begin(data, None)
    return LogWatch(data)


def write(data: DataDir, *messages: bytes) -> None:
    with data.event_log.open("ab") as log:
        log.writelines(LINE + message + b"\n" for message in messages)


def test_troubles_are_read_once_over_segments(data: DataDir, watch: LogWatch) -> None:
    write(data, b"imap: Error: one", b"imap: Info: fine")
    assert [trouble.message for trouble in watch.look()] == ["one"]
    assert watch.look() == []
    write(data, b"imap: Error: two")
    segments.begin(data, None)
    write(data, b"imap: Error: three")
    assert [trouble.message for trouble in watch.look()] == ["two", "three"]
    assert [seen.trouble.message for seen in watch.newest()] == ["three", "two", "one"]


def test_half_a_line_waits(data: DataDir, watch: LogWatch) -> None:
    with data.event_log.open("ab") as log:
        log.write(LINE + b"imap: Error: in two")
        log.flush()
        assert watch.look() == []
        log.write(b" halves\n")
    assert [trouble.message for trouble in watch.look()] == ["in two halves"]


def test_the_same_trouble_is_counted(data: DataDir, watch: LogWatch) -> None:
    write(data, *(b"imap: Error: write() failed: No space left on device %d" % number for number in range(5)))
    assert len(watch.look()) == 5
    (seen,) = watch.newest()
    assert (seen.count, seen.trouble.code) == (5, "disk_full")
    assert seen.trouble.message.endswith("4")


def test_a_log_that_runs_ahead_is_skipped(
    data: DataDir, watch: LogWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailbackend.supervisor.watch._READ_MAX", 200)
    write(data, *(b"imap: Error: number %d" % number for number in range(100)))
    found = [trouble.message for trouble in watch.look()]
    assert found[-1] == "number 99"
    assert 1 <= len(found) <= 4
    assert len(watch.newest()) <= 20


def test_what_is_not_text_does_no_harm(data: DataDir, watch: LogWatch) -> None:
    with data.event_log.open("ab") as log:
        log.write(b"\xff\xfe: Error: \x00\n" + LINE + b"imap: Error: \xff\x1b[31m\n")
    (trouble,) = watch.look()
    assert trouble.message == "\ufffd\x1b[31m"
