"""Reads Dovecot's log as it grows, for the troubles in it. Bounded: a log that runs ahead is skipped, not queued."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from mailbackend.dovecot.logs import SERIOUS, Trouble, parse_line, read_trouble
from mailbackend.paths import DataDir
from mailbackend.supervisor import segments

#: Kinds of trouble that are kept.
KEPT = 20
#: Bytes that are read at a time, and from the end when there is more.
_READ_MAX = 1024**2
_MARKS = tuple(f": {level}: ".encode() for level in SERIOUS)


@dataclass(frozen=True)
class Seen:
    """A trouble that was seen, once or often.

    Attributes:
        trouble: the newest of its kind.
        first_at: when it was seen first, ISO 8601.
        count: how often since.
    """

    trouble: Trouble
    first_at: str
    count: int


class LogWatch:
    """The newest troubles of the log. `look` reads on from where the last look ended."""

    def __init__(self, data: DataDir) -> None:
        """Begin in the newest segment, near its end: what was wrong before still counts."""
        self._data = data
        self._path: Path | None = None
        self._offset = 0
        #: By kind, the newest last.
        self._seen: dict[tuple[str, str], Seen] = {}

    def newest(self) -> list[Seen]:
        """Return the newest troubles, newest first."""
        return list(self._seen.values())[::-1]

    def look(self) -> list[Trouble]:
        """Read what was written since the last look and return the troubles in it, oldest first.

        Raises:
            OSError: if the log cannot be read.
        """
        found: list[Trouble] = []
        for path in self._unread():
            if path != self._path:
                self._path, self._offset = path, 0
            found += self._read(path)
        for trouble in found:
            self._note(trouble)
        return found

    def _unread(self) -> list[Path]:
        """The segment read last, if it is still there, and those after it."""
        paths = [segment.path for segment in segments.list_segments(self._data)]
        if self._path is None:
            return paths[-1:]
        return [path for path in paths if path.name >= self._path.name]

    def _read(self, path: Path) -> list[Trouble]:
        try:
            with path.open("rb") as stream:
                start = max(self._offset, stream.seek(0, os.SEEK_END) - _READ_MAX)
                stream.seek(start)
                chunk = stream.read(_READ_MAX)
        except FileNotFoundError:
            return []  # removed meanwhile, to make room
        whole = chunk[: chunk.rfind(b"\n") + 1]
        skipped = start > self._offset
        self._offset = start + len(whole)
        lines = whole.split(b"\n")
        return [trouble for line in lines[skipped:] if (trouble := _trouble_in(line))]

    def _note(self, trouble: Trouble) -> None:
        """The same trouble of a hundred sessions is one, counted."""
        kind = (trouble.code, trouble.message if trouble.code == "other" else trouble.service)
        before = self._seen.pop(kind, None)
        first = Seen(trouble, trouble.at, 1)
        self._seen[kind] = replace(before, trouble=trouble, count=before.count + 1) if before else first
        if len(self._seen) > KEPT:
            del self._seen[next(iter(self._seen))]


def _trouble_in(line: bytes) -> Trouble | None:
    if not any(mark in line for mark in _MARKS):
        return None
    parsed = parse_line(line.decode("utf-8", errors="replace"))
    return read_trouble(parsed) if parsed else None
