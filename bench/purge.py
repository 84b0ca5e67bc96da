"""A purge by rules, against Dovecot's own command."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from bench.dovecots_command import doveadm
from bench.frame import Aim, Better, Row, Side
from bench.processes import BenchProblem
from bench.product import DOMAIN
from bench.setup import Setup

#: Messages of each mailbox.
EACH = 500
#: After how many days messages end, and how many days later it is when they are purged.
DAYS, LATER = 7, 30


@contextlib.contextmanager
def rows(setup: Setup) -> Iterator[list[Row]]:
    """Yield the row: a run that counts, purges and records, against an expunge by hand."""
    worker, messages = setup.product.worker, setup.scale.purged
    seen: list[float] = []
    with setup.product.running():
        worker.ask("say_rule", days=DAYS)
        try:
            yield [
                Row(
                    name="purge",
                    work=(
                        f"{messages:,} messages in the Trash of {messages // EACH} mailboxes end; 100 others hold none."
                    ),
                    unit="messages/s",
                    better=Better.HIGHER,
                    ours=Side(
                        "a run by the rules, after its preview, through doveadm's API: what is about to go is written "
                        "down first, looked at again under lock, recorded in the audit trail",
                        lambda: _measured(setup, lambda _made: _by_rules(setup, seen)),
                    ),
                    reference=Side(
                        "`doveadm expunge -F` with all mailboxes, which is `-A`: it counts and records nothing. "
                        "What it expunges is kept apart too",
                        lambda: _measured(setup, lambda made: _by_hand(setup, made)),
                    ),
                    aim=Aim(0.9, of_ratio=True),
                    remark=lambda: f"The preview took {statistics.median(seen):.1f} s more.",
                )
            ]
        finally:
            worker.ask("forget_rule")


def _measured(setup: Setup, purge: Callable[[dict[str, Any]], float]) -> float:
    """Fill new mailboxes, purge them, check that nothing is left, and take them away. Messages per second."""
    worker, messages = setup.product.worker, setup.scale.purged
    made = worker.ask("fill_trash", domain=DOMAIN, mailboxes=messages // EACH, messages=EACH)
    try:
        seconds = purge(made)
        left = worker.ask("left_in_trash", keys=made["keys"])["messages"]
    finally:
        worker.ask("empty_trash", keys=made["keys"])
    if left:
        raise BenchProblem(f"{left:,} of {messages:,} messages were not purged.")
    return messages / seconds


def _by_rules(setup: Setup, seen: list[float]) -> float:
    at = datetime.now(UTC) + timedelta(days=LATER)
    answer = setup.product.worker.ask("purge", at=at.isoformat())
    if answer["failures"] or answer["messages"] != setup.scale.purged:
        raise BenchProblem(f"The purge went wrong: {answer}")
    seen.append(answer["preview"])
    return float(answer["seconds"])


def _by_hand(setup: Setup, made: dict[str, Any]) -> float:
    named = setup.product.stand.folder / "purged"
    named.write_text("".join(f"{address}\n" for address in made["addresses"]))
    before = int(time.time()) + (LATER - DAYS) * 86_400
    query = ["mailbox", "Trash", "savedbefore", str(before)]
    return doveadm(setup.product, "expunge", "-F", str(named), *query)[0]
