"""The connection log, against a bare page of the same number of its rows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from bench.frame import Aim, Better, Row, Side
from bench.setup import Setup


@contextlib.contextmanager
def rows(setup: Setup) -> Iterator[list[Row]]:
    """Yield the rows: the newest page and a deep one, then one for each filter that leads, and the worst case."""
    worker, size = setup.product.worker, setup.scale.logged
    made = worker.ask("fill_log", size=size)
    queries: dict[str, int] = {}

    def pages(name: str, path: str, email: str) -> float:
        answer: dict[str, Any] = worker.ask(
            "pages", path=path, email=email, seconds=setup.scale.seconds / 2, bare=name == "bare"
        )
        queries[name] = answer["queries"]
        return float(answer["rate"])

    bare = Side(
        "a bare Django page: 50 rows of the log by the primary key, one template, no middleware, nobody signed in",
        lambda: pages("bare", "/log/", ""),
    )

    def row(
        name: str, what: str, query: str, *, email: str = made["admin"], path: str = "/connections/"
    ) -> Row:
        return Row(
            name=f"log-{name}",
            work=what,
            unit="pages/s",
            better=Better.HIGHER,
            ours=Side(
                f"`{path}{query}`, through all middleware, signed in",
                lambda: pages(name, path + query, email),
            ),
            reference=bare,
            aim=Aim(0.5, of_ratio=True),
            remark=lambda: f"{queries[name]} queries for a page.",
        )

    try:
        yield [
            row("newest", f"The newest 50 of {size:,} connections, with their bars.", ""),
            row("deep", "50 from the middle of them.", f"?before={made['middle']}"),
            row("address", "Those of one address.", f"?address={made['address']}"),
            row("ip", "Those from one IP address.", f"?ip={made['ip']}"),
            row("network", "Those from one /24.", f"?ip={made['network']}"),
            row("domain", "Those of one domain.", f"?domain={made['domain']}"),
            row("customer", "Those of one customer.", f"?customer={made['customer']}"),
            row("member", "The same for its owner.", "", email=made["owner"]),
            row("reason", "Those refused for one reason.", "?reason=wrong_password"),
            row("open", "Sessions that go on.", "?open=1"),
            row(
                "mixed",
                "POP, refused, since yesterday.",
                f"?protocol=pop3&outcome=refused&since={made['day']}",
            ),
            row("rare", "A device that nobody has: all that one page may go through.", "?device=none"),
            row("wide", "The same for a network that no index knows.", "?ip=100.64.0.0/10"),
            row("of-ip", "The page of one IP address, summed up.", "", path=f"/connections/ip/{made['ip']}/"),
        ]
    finally:
        worker.ask("empty_log")
