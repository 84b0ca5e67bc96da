"""Dovecot's log in segments: numbered files in DATA_DIR/events/, and the link `current` to the newest.

Dovecot opens the link; to go on in a new segment, the link is moved and Dovecot told to open it again. A
segment is *sealed* (mode 0440) once nothing writes to it any more, and only then complete. Whoever stores what
the segments say reads them in the order of their numbers and notes the last one that it needs no more in
DATA_DIR/run/events-stored; such segments are removed. A number that is missing is a gap.

What nobody stores may not fill the disk: over a cap, or under a floor of free space, the oldest sealed segment
goes, and that is told.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from mailbackend.paths import DataDir

#: Bytes after which a new segment is begun; and where the disk is nearly full, so that there is one to remove.
SEGMENT_BYTES = 32 * 1024**2
SEGMENT_BYTES_TIGHT = 1024**2
#: Bytes of all segments together.
CAP = 1024**3
#: Bytes of free disk below which segments are given up, and the share of a small disk that stands for it.
FLOOR, FLOOR_SHARE = 256 * 1024**2, 0.05
#: Bytes of free disk that Dovecot must find to be started: its master ends when its log cannot be written.
LEAST_FREE = 256 * 1024

_NAME = re.compile(r"(\d{8})\.log\Z")
_OPEN_MODE, _SEALED_MODE = 0o640, 0o440


@dataclass(frozen=True)
class Segment:
    """One file of the log.

    Attributes:
        number: its place in the order, from 1.
        path: where it lies.
        size: its length in bytes.
        sealed: whether nothing is written to it any more.
    """

    number: int
    path: Path
    size: int
    sealed: bool


def list_segments(data: DataDir) -> list[Segment]:
    """Return the segments, oldest first."""
    return sorted(_found(data), key=lambda segment: segment.number)


def continue_or_begin(data: DataDir, gid: int | None) -> None:
    """Point the link to a segment that a new Dovecot may write to.

    The newest is continued while it has room and ends with a whole line: what a killed process left half
    written stays alone, at the end of its segment.

    Args:
        data: the layout of DATA_DIR.
        gid: the group that may read, or None for that of the process.

    Raises:
        OSError: if it cannot be written.
    """
    last = next(reversed(list_segments(data)), None)
    if last and not last.sealed and last.size < SEGMENT_BYTES and _ends_whole(last.path):
        _point_to(data, last.path)
    else:
        begin(data, gid)


def begin(data: DataDir, gid: int | None) -> None:
    """Make the next segment and point the link to it. What writes to the one before has to be told.

    Raises:
        OSError: if it cannot be written.
    """
    number = max((segment.number for segment in list_segments(data)), default=stored_up_to(data)) + 1
    path = data.events / f"{number:08d}.log"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _OPEN_MODE)
    try:
        if gid is not None:
            os.fchown(handle, -1, gid)
        os.fchmod(handle, _OPEN_MODE)  # whatever the umask
    finally:
        os.close(handle)
    _point_to(data, path)


def is_full(data: DataDir) -> bool:
    """Say whether the newest segment has had its share."""
    tight = free_bytes(data) < floor_bytes(data)
    try:
        size = data.event_log.stat().st_size
    except FileNotFoundError:
        return False
    return size >= (SEGMENT_BYTES_TIGHT if tight else SEGMENT_BYTES)


def seal(data: DataDir, writers: Collection[int]) -> None:
    """Seal the segments before the newest that none of the processes `writers` holds open."""
    older = [segment for segment in list_segments(data)[:-1] if not segment.sealed]
    if not older:
        return
    held = {path for pid in writers for path in _open_files(pid)}
    for segment in older:
        if str(segment.path.resolve()) not in held:
            segment.path.chmod(_SEALED_MODE)


def make_room(data: DataDir) -> list[Segment]:
    """Remove segments: those that are stored, then the oldest sealed ones while there is too little room.

    Returns:
        those of them that were not stored: what they said is lost.
    """
    stored = stored_up_to(data)
    sealed = [segment for segment in list_segments(data) if segment.sealed]
    for segment in sealed:
        if segment.number <= stored:
            segment.path.unlink()
    lost = []
    for segment in sealed:
        if segment.number > stored and _too_little_room(data):
            segment.path.unlink()
            lost.append(segment)
    return lost


def stored_up_to(data: DataDir) -> int:
    """Return the number of the last segment that is stored elsewhere; 0 if nobody says."""
    path = data.events_stored
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        text = os.read(handle, 20).strip() if stat.S_ISREG(os.fstat(handle).st_mode) else b""
    finally:
        os.close(handle)
    return int(text) if re.fullmatch(rb"\d{1,8}", text) else 0


def free_bytes(data: DataDir) -> int:
    """Return the free bytes of the disk that the log is on, as this process may use them."""
    disk = os.statvfs(data.events)
    return disk.f_frsize * (disk.f_bfree if os.geteuid() == 0 else disk.f_bavail)


def floor_bytes(data: DataDir) -> int:
    """Return the bytes that the log leaves free on its disk."""
    disk = os.statvfs(data.events)
    return min(FLOOR, int(disk.f_frsize * disk.f_blocks * FLOOR_SHARE))


def _too_little_room(data: DataDir) -> bool:
    return sum(segment.size for segment in list_segments(data)) > CAP or free_bytes(data) < floor_bytes(data)


def _found(data: DataDir) -> Iterator[Segment]:
    with os.scandir(data.events) as entries:
        for entry in entries:
            match = _NAME.match(entry.name)
            if match and entry.is_file(follow_symlinks=False):
                found = entry.stat(follow_symlinks=False)
                sealed = not found.st_mode & stat.S_IWUSR
                yield Segment(int(match[1]), Path(entry.path), found.st_size, sealed)


def _point_to(data: DataDir, path: Path) -> None:
    """Move the link; at every moment it names the old segment or the new one."""
    fresh = data.events / ".current"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(path.name)
    fresh.rename(data.event_log)


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as stream:
        if stream.seek(0, os.SEEK_END) == 0:
            return True
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) == b"\n"


def _open_files(pid: int) -> list[str]:
    """The files that a process holds open (proc(5), fd). A process that is gone holds none."""
    found = []
    try:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            try:
                found.append(str(link.readlink()))
            except FileNotFoundError:
                continue  # closed meanwhile
    except (FileNotFoundError, ProcessLookupError):
        return []
    return found
