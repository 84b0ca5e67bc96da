"""Which process does something, so that others find out when it is gone: by its number, and when it began.

A number is given again to others, and means nothing on another machine or after a restart: all three are in the name.
"""

from __future__ import annotations

import os
import socket
from functools import lru_cache
from pathlib import Path


def this_process() -> str:
    """Return the name of the process that asks: machine, its start, number and start of the process."""
    return process_named(os.getpid())


def process_named(pid: int) -> str:
    """Return the name of a process of this machine."""
    return f"{_this_machine()} {pid} {_began(pid)}"


def is_gone(name: str) -> bool:
    """Return whether a process is known to have ended; of one on another machine, or without a name, it is not.

    Args:
        name: as `this_process` returned it there; empty for what is not known.
    """
    machine, _space, rest = name.partition(" ")
    pid, _space, began = rest.partition(" ")
    host, _slash, _boot = machine.partition("/")
    if host != _this_machine().partition("/")[0] or not pid.isdigit():
        return False
    return machine != _this_machine() or _began(int(pid)) != began


@lru_cache
def _this_machine() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{socket.gethostname().replace(' ', '_')[:80]}/{boot}"


def _began(pid: int) -> str:
    """Return when a process began, in ticks since the machine started, or an empty text (proc(5), "stat")."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    # The name of its program stands in brackets and may hold anything, brackets too.
    fields = stat.rpartition(")")[2].split()
    # What is dead and was not waited for yet does nothing any more.
    return "" if fields[0] == "Z" else fields[19]
