"""From start to the first login, against the same Dovecot without Restante."""

from __future__ import annotations

import contextlib
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator

from bench import reference
from bench.client import Session, Target, make_context
from bench.frame import Better, Row, Side
from bench.processes import PATIENCE, BenchProblem, end
from bench.product import PASSWORD
from bench.setup import Setup

_POLL = 0.002


@contextlib.contextmanager
def rows(setup: Setup) -> Iterator[list[Row]]:
    """Yield the row."""
    product = setup.product
    address = product.hashed[0]
    with reference.prepared(product, reference.MANY_EACH) as other:
        yield [
            Row(
                name="start",
                work="From the launch on a prepared folder to the end of the first IMAP login over TLS.",
                unit="ms",
                better=Better.LOWER,
                ours=Side(
                    "`python -m mailbackend.supervisor`: folders and ports checked, configuration rendered and "
                    "validated, Dovecot launched",
                    lambda: _first_login(product.launch, product.target, address),
                ),
                reference=Side(
                    "`dovecot -F` with a passwd-file and no plugin, its configuration written before",
                    lambda: _first_login(other.launch, other.target, address),
                ),
                aim=None,
            )
        ]


def _first_login(launch: Callable[[], subprocess.Popen[bytes]], target: Target, address: str) -> float:
    """Launch, sign in as soon as it goes, end it, and return the milliseconds in between."""
    context = make_context(target)
    started = time.perf_counter()
    process = launch()
    try:
        while not (session := _try_login(target, context, address)):
            if process.poll() is not None or time.perf_counter() - started > PATIENCE:
                raise BenchProblem(f"No login was possible; it ended with {process.returncode}.")
            time.sleep(_POLL)
        milliseconds = (time.perf_counter() - started) * 1000
        session.logout()
        return milliseconds
    finally:
        end(process)


def _try_login(target: Target, context: ssl.SSLContext, address: str) -> Session | None:
    """Return a session, or None while nobody listens yet; a refusal is not waited away."""
    try:
        return Session(target, context, address, PASSWORD)
    except ConnectionRefusedError:
        return None
