"""The list of mailboxes, against a bare page of the same number of rows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from bench.frame import Aim, Better, Row, Side
from bench.setup import Setup

#: Queries that one page may need.
QUERIES = 10
#: Mailboxes of the short list.
SHORT = 10_000


@contextlib.contextmanager
def rows(setup: Setup) -> Iterator[list[Row]]:
    """Yield the rows: a page of 50 of a short and of a long list, sorted and searched."""
    worker, sizes = setup.product.worker, [SHORT, setup.scale.listed]
    people = worker.ask("fill_lists", sizes=sizes)
    queries: dict[str, int] = {}

    def pages(name: str, path: str, email: str) -> float:
        answer: dict[str, Any] = worker.ask(
            "pages", path=path, email=email, seconds=setup.scale.seconds / 2, bare=name == "bare"
        )
        queries[name] = answer["queries"]
        return float(answer["rate"])

    bare = Side(
        "a bare Django page: one query by the primary key, one template of 50 rows, no middleware, nobody signed in",
        lambda: pages("bare", "/", ""),
    )

    def row(name: str, what: str, path: str, email: str) -> Row:
        return Row(
            name=name,
            work=what,
            unit="pages/s",
            better=Better.HIGHER,
            ours=Side(f"`{path}`, through all middleware, signed in", lambda: pages(name, path, email)),
            reference=bare,
            aim=Aim(0.25, of_ratio=True),
            remark=lambda: f"{queries[name]} queries for a page (aim: at most {QUERIES}).",
        )

    short, long = (f"{size:,}" for size in sizes)
    owner_of_short, owner_of_long = people["owners"]
    try:
        yield [
            row("list-short", f"50 of a customer's {short} mailboxes.", "/mailboxes/", owner_of_short),
            row("list-long", f"50 of a customer's {long} mailboxes.", "/mailboxes/", owner_of_long),
            row(
                "list-all",
                f"50 of all {long} and more, for an administrator.",
                "/mailboxes/",
                people["admin"],
            ),
            row("list-page", "Page 20 of the same.", "/mailboxes/?page=20", people["admin"]),
            row("list-sorted", "The same by usage.", "/mailboxes/?sort=-used_bytes", people["admin"]),
            row("list-searched", "A search that finds nothing.", "/mailboxes/?q=zzzz", people["admin"]),
        ]
    finally:
        worker.ask("empty_lists", sizes=sizes)
