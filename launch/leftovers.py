"""Processes of an earlier start whose supervisor was killed: they end by themselves, or are ended here."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from launch.problem import say
from mailbackend.paths import DataDir

_INSTANCE = re.compile(r"restante-[0-9a-f]{8}\Z")
_PROC = Path("/proc")


@dataclass(frozen=True)
class Leftover:
    """A process and the part of Restante that it was."""

    pid: int
    program: str


def find_leftovers(data_dir: DataDir) -> list[Leftover]:
    """Return the processes that a supervisor of this DATA_DIR has started, Dovecot's excepted.

    They are known by the two variables that only the supervisor gives them. To be called while holding
    the lock, when there is no supervisor.
    """
    place = b"DATA_DIR=" + os.fsencode(data_dir.root)
    found = []
    for pid in pids():
        variables = _read(pid, "environ").split(b"\0")
        program = next((v for v in variables if v.startswith(b"RESTANTE_PROGRAM=")), None)
        if program and place in variables and not _is_dovecot(pid):
            found.append(Leftover(pid, program.partition(b"=")[2].decode("ascii", "replace")))
    return found


def end_leftovers(data_dir: DataDir, patience: float = 35.0) -> None:
    """Wait until an earlier start's processes are gone, and kill those that do not go.

    When their supervisor died they were sent SIGTERM by the kernel, so waiting is mostly enough.

    Args:
        data_dir: whose processes.
        patience: seconds to wait before SIGKILL.
    """
    leftovers = find_leftovers(data_dir)
    if not leftovers:
        return
    names = ", ".join(sorted({leftover.program for leftover in leftovers}))
    say(f"Waiting for processes of an earlier start to end: {names}.")
    deadline = time.monotonic() + patience
    while leftovers and time.monotonic() < deadline:
        time.sleep(0.2)
        leftovers = find_leftovers(data_dir)
    for leftover in leftovers:
        say(f"Killing {leftover.program} (PID {leftover.pid}) of an earlier start: it did not end.")
        _kill(leftover, data_dir)


def _kill(leftover: Leftover, data_dir: DataDir) -> None:
    try:
        descriptor = os.pidfd_open(leftover.pid)
    except ProcessLookupError:
        return
    try:
        # The descriptor stays with this process; the number could have passed to another one by now.
        if leftover in find_leftovers(data_dir):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        os.close(descriptor)


def is_our_dovecot(pid: int, data_dir: DataDir) -> bool:
    """Say whether `pid` is a Dovecot of this DATA_DIR; the mail supervisor ends such ones when it starts.

    The master is started with a configuration below DATA_DIR; its children carry the instance's name.
    """
    words = _read(pid, "cmdline").split(b"\0")
    folder = os.fsencode(data_dir.dovecot) + b"/"
    if _is_dovecot(pid) and any(word.startswith(folder) for word in words):
        return True
    instance = _instance(data_dir)
    return bool(instance) and words[0].startswith(os.fsencode(instance) + b"/")


def _instance(data_dir: DataDir) -> str:
    """Return Dovecot's instance name as configured, or nothing; the account could write anything there."""
    try:
        descriptor = os.open(data_dir.mail_config, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        content = json.loads(os.read(descriptor, 65536))
    except (OSError, ValueError):
        return ""
    finally:
        os.close(descriptor)
    instance = content.get("instance") if isinstance(content, dict) else None
    return instance if isinstance(instance, str) and _INSTANCE.match(instance) else ""


def pids() -> list[int]:
    """Return the numbers of all processes that can be seen."""
    return sorted(int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())


def _is_dovecot(pid: int) -> bool:
    try:
        return (_PROC / str(pid) / "exe").readlink().name.removesuffix(" (deleted)") == "dovecot"
    except OSError:
        return False


def _read(pid: int, name: str) -> bytes:
    """Return a file of a process, or nothing when it has gone or belongs to somebody else."""
    try:
        return (_PROC / str(pid) / name).read_bytes()
    except OSError:
        return b""
