"""What a first visit of a page weighs, how many requests it needs, and its time, against a bare Django page."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from bench.frame import Aim, Better, Row, Side
from bench.setup import Setup

#: Kilobytes (1,000 bytes) that a first visit may weigh, everything it loads included, compressed as it is sent.
HEAVIEST = 60
_BARE = "a bare Django page of 50 rows, compressed: one query, one template, no style sheet, no script, no middleware"


@contextlib.contextmanager
def rows(setup: Setup) -> Iterator[list[Row]]:
    """Yield two rows for each page: its weight, and how many of it are made in a second."""
    worker = setup.product.worker
    people: dict[str, Any] = worker.ask("add_admin")
    email, mailbox = people["email"], people["mailbox"]
    requests: dict[str, int] = {}
    queries: dict[str, int] = {}

    def weigh(name: str, path: str, who: str) -> float:
        answer: dict[str, Any] = worker.ask("weigh", path=path, email=who, bare=name == "bare")
        requests[name] = answer["requests"]
        return float(answer["bytes"]) / 1000

    def pages(name: str, path: str, who: str) -> float:
        seconds = setup.scale.seconds / 4
        answer: dict[str, Any] = worker.ask(
            "pages", path=path, email=who, seconds=seconds, bare=name == "bare"
        )
        queries[name] = answer["queries"]
        return float(answer["rate"])

    bare_weight = Side(_BARE, lambda: weigh("bare", "/", ""))
    bare_time = Side(
        "a bare Django page: one query by the primary key, one template of 50 rows, no middleware, nobody signed in",
        lambda: pages("bare", "/", ""),
    )

    def of_page(name: str, what: str, path: str, who: str) -> list[Row]:
        return [
            Row(
                name=f"weight-{name}",
                work=f"{what}: all that a browser loads which has nothing yet.",
                unit="KB",
                better=Better.LOWER,
                ours=Side(f"`{path}` with its style sheet, scripts and icon", lambda: weigh(name, path, who)),
                reference=bare_weight,
                aim=Aim(HEAVIEST, of_ratio=False),
                remark=lambda: f"{requests[name]} requests.",
            ),
            Row(
                name=f"time-{name}",
                work=f"{what}: made as often as it goes, without what it loads.",
                unit="pages/s",
                better=Better.HIGHER,
                ours=Side(f"`{path}`, through all middleware", lambda: pages(name, path, who)),
                reference=bare_time,
                aim=None,
                remark=lambda: f"{queries[name]} queries.",
            ),
        ]

    try:
        yield [
            *of_page("sign-in", "The sign-in page", "/sign-in/", ""),
            *of_page("home", "An administrator's home", "/", email),
            *of_page("mailboxes", "The list of mailboxes, 50 rows", "/mailboxes/", email),
            *of_page(
                "set-up", "A mailbox's settings for a mail program", f"/mailboxes/{mailbox}/setup/", email
            ),
            *of_page("components", "The page of all components", "/_design/", email),
        ]
    finally:
        worker.ask("remove_admin")
