"""The recorder of connections: how fast, whether it grows, and how soon a login shows."""

from __future__ import annotations

import contextlib
import re
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.client import Session, Target, make_context
from bench.frame import Aim, Better, Row, Side, number_text
from bench.processes import PATIENCE, BenchProblem, end, launch, wait_until
from bench.product import PASSWORD, Product, Worker
from bench.setup import Setup
from tests.stand import CHECKOUT, PYTHON

#: Logins of which the delay is measured, for each round.
LOGINS = 30
_POLL = 0.001


@contextlib.contextmanager
def rows(setup: Setup) -> Iterator[list[Row]]:
    """Yield the rows: rows stored in a second, memory over many events, delay from a login to its row."""
    product, scale = setup.product, setup.scale
    worker = product.worker
    addresses = product.hashed + product.plain
    made = worker.ask("write_log", addresses=addresses, connections=scale.connections)
    memory = Memory(product, addresses, scale.events)
    with running_recorder(product):
        delay = Delay(product)
        try:
            yield [
                Row(
                    name="recorder",
                    work=f"{made['connections']:,} connections, which Dovecot told in {made['lines']:,} lines "
                    f"({made['bytes'] / 1e6:.0f} MB), become rows in an empty table.",
                    unit="rows/s",
                    better=Better.HIGHER,
                    ours=Side(
                        "the recorder, from the log's text to rows with whose they are, counts by the hour and last "
                        "use of each mailbox",
                        lambda: float(worker.ask("record")["rate"]),
                    ),
                    reference=Side(
                        "Django's `bulk_create`, 500 at a time, of the same rows, their objects made before",
                        lambda: float(worker.ask("create_rows")["rate"]),
                    ),
                    aim=Aim(0.8, of_ratio=True),
                ),
                Row(
                    name="recorder-memory",
                    work=f"Resident memory of one recorder after {scale.events:,} lines of the log; measured once.",
                    unit="MB",
                    better=Better.LOWER,
                    ours=Side(f"after {scale.events:,} lines", memory.after_all),
                    reference=Side("the same process after the first tenth of them", memory.after_a_tenth),
                    aim=Aim(0.95, of_ratio=True),
                ),
                Row(
                    name="recorder-delay",
                    work=f"From the answer to an IMAP login to its row in the database: the median of {LOGINS}, one "
                    "after another.",
                    unit="ms",
                    better=Better.LOWER,
                    ours=Side("until the row is there", delay.until_row),
                    reference=Side("until Dovecot's log has the line", delay.until_line),
                    aim=Aim(1000, of_ratio=False),
                    remark=delay.remark,
                ),
            ]
        finally:
            worker.ask("remove_log")


class Memory:
    """The memory of one recorder, measured once."""

    def __init__(self, product: Product, addresses: list[str], events: int) -> None:
        self._product = product
        self._addresses = addresses
        self._events = events
        self._found: dict[str, float] = {}

    def after_all(self) -> float:
        """Return MB after all lines."""
        return self._measured()["end"]

    def after_a_tenth(self) -> float:
        """Return MB after a tenth of them."""
        return self._measured()["tenth"]

    def _measured(self) -> dict[str, float]:
        if not self._found:
            worker = Worker(self._product.stand)
            try:
                self._found = worker.ask("record_many", addresses=self._addresses, lines=self._events)
            finally:
                worker.end()
        return self._found


class Delay:
    """Logins, and when they show."""

    def __init__(self, product: Product) -> None:
        self._product = product
        self._context = make_context(product.target)
        self._seen: list[float] = []

    def until_row(self) -> float:
        """Return the median of ms until the row is there."""
        found = [
            self._one(lambda port: self._product.worker.ask("await_row", port=port)["at"])
            for _ in range(LOGINS)
        ]
        self._seen += found
        return statistics.median(found)

    def until_line(self) -> float:
        """Return the median of ms until the line is there."""
        return statistics.median(self._one(self._await_line) for _ in range(LOGINS))

    def remark(self) -> str:
        """Say how long the slower ones took."""
        slow = statistics.quantiles(self._seen, n=20)[-1]
        return f"95 of 100 rows are there within {number_text(slow)} ms."

    def _one(self, await_it: Callable[[int], float]) -> float:
        target: Target = self._product.target
        session = Session(target, self._context, self._product.plain[0], PASSWORD)
        try:
            answered = time.monotonic()
            return max(0.0, (await_it(session.port) - answered) * 1000)
        finally:
            session.logout()

    def _await_line(self, port: int) -> float:
        wanted = re.compile(rb" rport=%d, .*msg=Log" % port)
        log = Path(self._product.stand.data_dir.event_log)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with log.open("rb") as stream:
                stream.seek(max(0, log.stat().st_size - 10_000))
                if wanted.search(stream.read()):
                    return time.monotonic()
            time.sleep(_POLL)
        raise BenchProblem("Dovecot's log does not tell of a login.")


@contextlib.contextmanager
def running_recorder(product: Product) -> Iterator[None]:
    """Run the mail service and the recorder."""
    with product.running():
        command = [str(PYTHON), "manage.py", "recordconnections"]
        log = product.stand.folder / "recorder.log"
        recorder = launch(command, log, cwd=CHECKOUT, env=product.stand.environment)
        try:
            lock = product.stand.data_dir.run / "recorder.lock"
            wait_until(lock.exists, "the recorder", recorder)
            yield
        finally:
            end(recorder)
