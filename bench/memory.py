"""Memory of idle sessions over TLS, against the same Dovecot without Restante."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from bench import reference
from bench.client import IdleSessions, Target
from bench.frame import Aim, Better, Row, Side
from bench.processes import BenchProblem, process_name, session_pids, session_pss
from bench.product import PASSWORD
from bench.setup import Setup

#: Seconds after which processes have settled.
_SETTLE = 1.0
#: Seconds in which the processes of ended sessions must be gone.
_GONE = 60.0
_POLL = 0.2

_WHY = (
    "What Restante has more is the quota plugin: Debian links it with libtirpc, which brings seven of Kerberos's "
    "libraries into each session's process, and each page of them that the loader relocates is that process's own."
)


@contextlib.contextmanager
def rows(setup: Setup) -> Iterator[list[Row]]:
    """Yield the rows: against the reference in the same mode, and in Dovecot's default mode."""
    product, number = setup.product, setup.scale.sessions

    def side(what: str, target: Target, running: Callable[[], AbstractContextManager[int]]) -> Side:
        return Side(what, lambda: _per_session(target, product.plain, running, number))

    work = (
        f"PSS of all of Dovecot's processes with {number} sessions (signed in over TLS, inbox selected, silent) less "
        f"PSS before, for each session; started anew for each round. {len(product.plain)} mailboxes, their passwords "
        "stored as they are."
    )
    with (
        reference.prepared(product, reference.MANY_EACH) as same_mode,
        reference.prepared(product, reference.ONE_EACH) as default,
    ):
        ours = side(
            "the mail service as `make run` starts it, the quota plugin on", product.target, product.running
        )
        theirs = side(
            "the same Dovecot, passwd-file, no plugin, login processes in the same mode",
            same_mode.target,
            same_mode.running,
        )
        usual = side(
            "the same Dovecot, passwd-file, no plugin, one login process for each connection",
            default.target,
            default.running,
        )
        yield [
            Row("memory", work, "MB", Better.LOWER, ours, theirs, Aim(0.65, of_ratio=False), lambda: _WHY),
            Row("memory-default-mode", work, "MB", Better.LOWER, ours, usual, None),
        ]


def _per_session(
    target: Target, addresses: list[str], running: Callable[[], AbstractContextManager[int]], number: int
) -> float:
    """Start the server, and return MB for each session. Its processes have served some before."""
    with running() as master:
        IdleSessions(target, addresses, PASSWORD, len(addresses)).close()
        _wait_until_ended(master)
        before = session_pss(master)
        sessions = IdleSessions(target, addresses, PASSWORD, number)
        try:
            time.sleep(_SETTLE)
            found = _mail_processes(master)
            if found != number:
                raise BenchProblem(f"{found} processes serve {number} sessions: they cannot be told apart.")
            return (session_pss(master) - before) / number
        finally:
            sessions.close()


def _mail_processes(master: int) -> int:
    """Return how many processes serve a session behind the login."""
    return sum(process_name(pid) == "imap" for pid in session_pids(master))


def _wait_until_ended(master: int) -> None:
    """Wait until no session is left, and its memory is given back."""
    deadline = time.monotonic() + _GONE
    while _mail_processes(master):
        if time.monotonic() > deadline:
            raise BenchProblem(f"After {_GONE:.0f} s there are still processes of ended sessions.")
        time.sleep(_POLL)
    time.sleep(_SETTLE)
