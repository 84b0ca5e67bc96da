"""One start for one DATA_DIR: a lock that the supervisor process holds as long as it lives."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from launch.problem import LaunchProblem

#: supervisord closes what it inherits from 5 on, and its children all from 3 on (supervisor.options).
_KEPT_DESCRIPTOR = 3


def take_lock(processes: Path) -> int:
    """Lock the folder of processes for this process and return the descriptor that holds the lock.

    Raises:
        LaunchProblem: naming the process that holds it.
    """
    file = processes / "lock"
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as err:
        pid = os.read(descriptor, 20).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise LaunchProblem(
            f"Restante is already running on {processes.parent} (PID {pid or 'unknown'}): "
            "stop it first, or set another DATA_DIR."
        ) from err
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def keep_over_exec(descriptor: int) -> None:
    """Let the lock pass to the program that this process becomes; call it right before exec."""
    if descriptor == _KEPT_DESCRIPTOR:
        os.set_inheritable(descriptor, True)
    else:
        os.dup2(descriptor, _KEPT_DESCRIPTOR, inheritable=True)
