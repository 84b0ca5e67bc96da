"""Processes as /proc shows them (proc(5)): whose they are, and which of them still live."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """One process, never mixed up with a later one that got its number.

    Attributes:
        pid: its number.
        started: when it started, in ticks since the machine did.
        session: the number of its session.
        title: its command line, or what it calls itself.
    """

    pid: int
    started: int
    session: int
    title: str

    @property
    def is_alive(self) -> bool:
        """Whether it still runs; one that waits to be reaped does not."""
        found = look_at(self.pid)
        return found is not None and found.started == self.started


def look_at(pid: int) -> Process | None:
    """Return a process that lives, or None."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        words = (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return None
    if fields[0] in "ZX":
        return None
    title = b" ".join(words).strip().decode("utf-8", "replace")
    return Process(pid, started=int(fields[19]), session=int(fields[3]), title=title)


def all_processes() -> list[Process]:
    """Return all that live."""
    pids = (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())
    return [found for pid in pids if (found := look_at(pid))]


def session_of(leader: int) -> list[Process]:
    """Return the processes of a session: a Dovecot's master and all that it has started."""
    return [process for process in all_processes() if process.session == leader]


def named(processes: list[Process], title: str) -> list[Process]:
    """Return those whose command line holds `title`."""
    return [process for process in processes if title in process.title]


def of_data_dir(data_dir: Path) -> list[Process]:
    """Return the processes that have a DATA_DIR in their environment or on their command line."""
    mark = f"DATA_DIR={data_dir}".encode()
    found = []
    for process in all_processes():
        variables: list[bytes] = []
        with suppress(OSError):
            variables = (_PROC / str(process.pid) / "environ").read_bytes().split(b"\0")
        if mark in variables or f"{data_dir}" in process.title:
            found.append(process)
    return found


def kill(processes: list[Process]) -> None:
    """Kill processes with SIGKILL, one right after the other."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
