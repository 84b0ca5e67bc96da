"""Creating mailboxes, against the bare cost of their folders."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Iterator
from typing import Any

from bench.frame import Aim, Better, Row, Side
from bench.product import DOMAIN
from bench.setup import Setup

#: Queries that one creation may need.
QUERIES = 10


@contextlib.contextmanager
def rows(setup: Setup) -> Iterator[list[Row]]:
    """Yield the rows: one by one, and in bulk, both against the same bare folders."""
    scale = setup.scale
    hashes: list[float] = []

    def ask(work: str, number: int) -> dict[str, Any]:
        return setup.product.worker.ask(work, domain=DOMAIN, number=number)

    def one_by_one() -> float:
        answer = ask("one_by_one", scale.boxes)
        hashes.append(answer["hash"])
        return float(answer["each"])

    def remark() -> str:
        queries = setup.product.worker.ask("queries", domain=DOMAIN, bulk=scale.bulk)
        return (
            f"{queries['one']} queries for each creation, BEGIN and SAVEPOINT included (aim: at most {QUERIES}); "
            f"{queries['bulk']} for {scale.bulk} in bulk. The hash, {statistics.median(hashes):.1f} ms each, is not "
            "counted: the same one is measured right after each creation and subtracted."
        )

    shape = ask("bare", 1)
    reference = Side(
        f"the bare folders: mkdir of the same {shape['folders']} directories, the same {shape['files']} files "
        "written, chown of each; no fsync, no database, no login",
        lambda: float(ask("bare", scale.bulk)["each"]),
    )
    yield [
        Row(
            name="mailboxes-one-by-one",
            work="A mailbox created through the service: row, Maildir with special folders and welcome message, login.",
            unit="ms each",
            better=Better.LOWER,
            ours=Side("`create_mailbox`, one after another, each durable on disk (fsync)", one_by_one),
            reference=reference,
            aim=Aim(10, of_ratio=False),
            remark=remark,
        ),
        Row(
            name="mailboxes-in-bulk",
            work="The same for many at once, their hashes made before.",
            unit="ms each",
            better=Better.LOWER,
            ours=Side(
                f"`create_mailboxes` with {scale.bulk} mailboxes, durable on disk (one sync)",
                lambda: float(ask("in_bulk", scale.bulk)["each"]),
            ),
            reference=reference,
            aim=Aim(0.5, of_ratio=True),
        ),
    ]
