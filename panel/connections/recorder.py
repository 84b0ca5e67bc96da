"""Dovecot's log → rows, each exactly once: place in the log and rows are saved in one transaction.

Segments are read in the order of their numbers (mailbackend.supervisor.segments). Half a line waits for its rest.
A number that is missing, a tail that nothing completes, a file that became shorter are gaps, saved and told.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.db import DatabaseError, Error, connection, transaction

from mailbackend.dovecot.events import Ended, Event, line_time, read_event
from mailbackend.dovecot.removals import Removed, read_removal
from mailbackend.paths import DataDir
from mailbackend.supervisor.segments import Segment, list_segments, stored_up_to
from panel.connections import removals
from panel.connections.folding import Fold, parse_time
from panel.connections.models import LogGap, LogPosition

logger = logging.getLogger(__name__)

#: Bytes of the log that are stored in one transaction, at most: what begins and ends within them is written once.
BATCH_BYTES = 4 * 1024**2
#: Seconds between two looks at a log in which nothing was new.
POLL = 0.15
#: Seconds until the database is tried again.
RETRY = 1.0
#: Seconds between two notes that the recorder is at work.
NOTE_EVERY = 2.0


class AlreadyRunning(Exception):
    """Another recorder is at work on this DATA_DIR."""


class Moved(DatabaseError):
    """The place up to which the log is stored is not where this recorder left it: another one was at work."""


@dataclass(frozen=True)
class _Piece:
    """Whole lines of one segment, and where they end."""

    lines: list[str]
    segment: int
    offset: int
    damaged: bool = False
    missing: int = 0


def lock_path(data: DataDir) -> Path:
    """The file that the recorder holds locked while it runs, and touches while it works."""
    return data.run / "recorder.lock"


@contextlib.contextmanager
def alone(data: DataDir) -> Iterator[None]:
    """Be the only recorder of this DATA_DIR.

    Raises:
        AlreadyRunning: if there is one.
        OSError: if the lock cannot be made.
    """
    handle = os.open(lock_path(data), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            raise AlreadyRunning from err
        yield
    finally:
        os.close(handle)


def is_at_work(data: DataDir, within: float = 15) -> bool:
    """Say whether a recorder has looked at the log, and reached the database, within so many seconds."""
    try:
        return time.time() - lock_path(data).stat().st_mtime < within
    except FileNotFoundError:
        return False


def run(data: DataDir, node: str, goes_on: Callable[[], bool]) -> None:
    """Store what the log says until told to end. A database that is away is waited for: the lines stay on disk.

    Args:
        data: the layout of DATA_DIR.
        node: the name of this Dovecot in the rows.
        goes_on: whether to go on; asked between batches.
    """
    noted = 0.0
    position: LogPosition | None = None
    while goes_on():
        try:
            if position is None:
                position = _position(node)
                _tell_stored(data, position)
            piece = _next_piece(data, position)
            if piece is not None:
                _store(position, piece)
                _tell_stored(data, position)
            elif time.monotonic() - noted > NOTE_EVERY:
                connection.ensure_connection()
            if time.monotonic() - noted > NOTE_EVERY:
                lock_path(data).touch()
                noted = time.monotonic()
        except Error as err:
            logger.warning("The connection log waits for the database: %s", err)
            connection.close()
            position = None
            time.sleep(RETRY)
        else:
            if piece is None:
                time.sleep(POLL)


def store_all(data: DataDir, node: str) -> None:
    """Store what the log says up to now, and return.

    Raises:
        DatabaseError: if the database does not take it.
        OSError: if the log cannot be read.
    """
    position = _position(node)
    while (piece := _next_piece(data, position)) is not None:
        _store(position, piece)
        _tell_stored(data, position)


def _position(node: str) -> LogPosition:
    return LogPosition.objects.get_or_create(node=node)[0]


def _store(position: LogPosition, piece: _Piece) -> None:
    happened: list[Event] = []
    removed: list[Removed] = []
    last: str | None = None
    for line in piece.lines:
        at = line_time(line)
        if at is None:
            continue
        event = _event(line)
        if event is not None:
            happened.append(event)
        removal = _removal(line)
        if removal is not None:
            removed.append(removal)
        last = at
    with transaction.atomic():
        _check_not_moved(position)
        fold = Fold(position)
        if piece.missing or piece.damaged:
            first = next((at for at in map(line_time, piece.lines) if at), None)
            cause = LogGap.Cause.SEGMENTS_LOST if piece.missing else LogGap.Cause.LOG_DAMAGED
            fold.lost(cause, _time(first), piece.missing)
        fold.take(happened)
        fold.save()
        removals.save(position.node, removed)
        removals.count_for_pop(position.node, _pop_sessions(happened, removed))
        position.segment, position.offset = piece.segment, piece.offset
        position.line_at = _time(last) or position.line_at
        position.save()


def _pop_sessions(happened: Iterable[Event], removed: Iterable[Removed]) -> set[str]:
    """Return the POP sessions whose number of removed messages is known now: the log tells both in either order."""
    ended = {event.session for event in happened if isinstance(event, Ended) and event.deleted}
    return ended | {removal.session for removal in removed if removal.protocol == "pop3" and removal.session}


def _check_not_moved(position: LogPosition) -> None:
    """Hold the place, in this transaction. The lock is a file, and who removes files could start a second recorder."""
    held = LogPosition.objects.select_for_update().filter(pk=position.pk).values_list("segment", "offset")
    if list(held) != [(position.segment, position.offset)]:
        raise Moved("Another recorder has stored what comes next.")


def _event(line: str) -> Event | None:
    """What a line says. Whatever cannot be read is told, and left out: it must not hold up what comes after."""
    try:
        event = read_event(line)
        if event is not None and (at := getattr(event, "at", None)) is not None:
            parse_time(at)
    except (ValueError, RecursionError) as err:
        logger.warning("A line of the log cannot be read (%s): %r", err, line[:200])
        return None
    return event


def _removal(line: str) -> Removed | None:
    removal = read_removal(line)
    return None if removal is None or _time(removal.at) is None else removal


def _time(text: str | None) -> datetime | None:
    try:
        return parse_time(text) if text else None
    except ValueError:
        return None


def _next_piece(data: DataDir, position: LogPosition) -> _Piece | None:
    """Return what comes next in the log, or None if nothing is new. Never half a line."""
    segments = list_segments(data)
    current = next((each for each in segments if each.number == position.segment), None)
    if current is None:
        return _first_of_next(data, segments, position, gone=position.segment > 0)
    offset = position.offset
    if current.size < offset:
        logger.warning("Segment %s of the log became shorter.", current.number)
        return _Piece([], current.number, current.size, damaged=True)
    # Whether it is complete is known from before it was read.
    try:
        lines, end, rest = _read(current.path, offset)
    except FileNotFoundError:
        return None  # given up at this moment: the next look finds it gone
    if lines or end > offset:
        return _Piece(lines, current.number, end)
    if not current.sealed:
        return None
    if rest:
        return _Piece([], current.number, end + rest, damaged=True)
    return _first_of_next(data, segments, position, gone=False)


def _first_of_next(
    data: DataDir, segments: list[Segment], position: LogPosition, *, gone: bool
) -> _Piece | None:
    """Return the beginning of the segment after the one that is done, or `gone` before it was known to be read."""
    following = next((each for each in segments if each.number > position.segment), None)
    if following is None:
        return None
    try:
        lines, end, _rest = _read(following.path, 0)
    except FileNotFoundError:
        return None
    # A database that is new begins after what was stored in another one.
    before = position.segment or stored_up_to(data)
    missing = max(following.number - before - 1, 0) + gone
    return _Piece(lines, following.number, end, missing=missing)


def _read(path: Path, offset: int) -> tuple[list[str], int, int]:
    """Return whole lines from `offset` on, where they end, and how many bytes of half a line follow.

    Raises:
        FileNotFoundError: if the segment was removed meanwhile.
    """
    with path.open("rb") as stream:
        stream.seek(offset)
        content = stream.read(BATCH_BYTES)
    whole = content.rfind(b"\n") + 1
    if not whole and len(content) == BATCH_BYTES:
        # No line is as long: nothing that Dovecot wrote.
        return [], offset + len(content), 0
    lines = content[:whole].decode("utf-8", "replace").split("\n")[:-1]
    return lines, offset + whole, len(content) - whole


def _tell_stored(data: DataDir, position: LogPosition) -> None:
    """Say which segments are not needed any more: those before the one that is read, and it too when it is complete."""
    number = position.segment - 1
    if number <= 0 or number <= stored_up_to(data):
        return
    place = data.events_stored
    beside = place.with_name(f".{place.name}")
    beside.write_text(str(number))
    beside.replace(place)
