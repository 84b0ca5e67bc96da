"""Processes of a measurement: who they are, what they are made of, and how they end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from mailbackend.paths import SERVICE_ACCOUNT

#: Seconds to wait for something that must come, before a measurement is given up.
PATIENCE = 30.0
_POLL = 0.005

#: What ends a measurement early: a person, the system, or its own time limit.
INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)


class BenchProblem(Exception):
    """A measurement cannot be made; the message says why."""


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold back what would interrupt, until clearing up is done: half of it would leave folders behind."""
    held: list[int] = []
    # Not by a mask: it holds back in this thread alone, and Python hands on what another thread was sent.
    before = {
        number: signal.signal(number, lambda sent, _frame: held.append(sent)) for number in INTERRUPTIONS
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for sent in held:
            signal.raise_signal(sent)


def become() -> list[str]:
    """Return the beginning of a command line whose rest ends with us, and runs as the account if we are root."""
    change = (
        ["--reuid", SERVICE_ACCOUNT, "--regid", SERVICE_ACCOUNT, "--init-groups"] if os.geteuid() == 0 else []
    )
    return ["setpriv", *change, "--pdeathsig", "TERM"]


def launch(
    command: Sequence[str], log: Path, *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a server as the account, in a session of its own so that Ctrl-C reaches only us.

    Args:
        command: program and arguments.
        log: where its output goes.
        cwd: its folder, or None for ours.
        env: its environment, or None for ours.
    """
    with log.open("ab") as output:
        return subprocess.Popen(
            [*become(), *command],
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def end(process: subprocess.Popen[bytes]) -> None:
    """End a server and what is left of its session."""
    with uninterrupted():
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        deadline = time.monotonic() + PATIENCE
        while session_pids(process.pid) and time.monotonic() < deadline:
            time.sleep(_POLL)


def wait_until(condition: Callable[[], bool], what: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until `condition` holds.

    Raises:
        BenchProblem: if `process` ends before, or it takes too long.
    """
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if process.poll() is not None:
            raise BenchProblem(f"{what}: the process ended with {process.returncode}.")
        if time.monotonic() > deadline:
            raise BenchProblem(f"{what} did not come within {PATIENCE:.0f} s.")
        time.sleep(_POLL)


def session_pids(leader: int) -> list[int]:
    """Return the living processes of the session that `leader` leads, itself included."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                pid = int(entry.name)
                fields = _stat_fields(pid)
                if int(fields[3]) == leader and fields[0] != "Z":
                    found.append(pid)
    return found


def _stat_fields(pid: int) -> list[str]:
    """Return what follows the name in /proc/PID/stat (proc(5)): state, parent, process group, session and so on."""
    return Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()


def process_name(pid: int) -> str:
    """Return the name of a process's program, or an empty text if it has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text("utf-8", "replace").strip()
    return ""


def session_cpu(leader: int) -> float:
    """Return the seconds of processor time that a session has used: who lives, and whose end the leader has seen."""
    ticks = 0
    for pid in session_pids(leader):
        with contextlib.suppress(OSError):
            fields = _stat_fields(pid)
            # utime and stime; for the leader also cutime and cstime, those of its children that ended.
            ticks += sum(map(int, fields[11 : 15 if pid == leader else 13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def session_pss(leader: int) -> float:
    """Return the memory of a session's processes in MB (10⁶ bytes), shared pages divided among who shares them."""
    kibibytes = 0
    for pid in session_pids(leader):
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines():
                if line.startswith("Pss:"):
                    kibibytes += int(line.split()[1])
    return kibibytes * 1024 / 1e6
