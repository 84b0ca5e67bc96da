"""Whether it can be told from the time of an answer that an address exists: those that do against those that do not."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from bench.frame import Aim, Better, Row, Side
from bench.product import DOMAIN
from bench.setup import Setup

#: The share by which the two may differ: what two runs of the same differ by on a machine that does other things too.
SAME = 0.9
_FORMATS = {
    "autoconfig": "Mozilla's autoconfig",
    "autodiscover": "Microsoft's Autodiscover",
    "profile": "Apple's profile, signed",
}


@contextlib.contextmanager
def rows(setup: Setup) -> Iterator[list[Row]]:
    """Yield a row for each format that mail programs ask for."""
    worker, known = setup.product.worker, setup.product.hashed
    unknown = [f"nobody{number}@{DOMAIN}" for number in range(len(known))]

    def side(what: str, addresses: Sequence[str], words: str) -> Side:
        def measure() -> float:
            seconds = setup.scale.seconds / 2
            answer: dict[str, Any] = worker.ask(
                "ask_formats", what=what, addresses=list(addresses), seconds=seconds
            )
            return float(answer["rate"])

        return Side(words, measure)

    yield [
        Row(
            name=f"address-{what}",
            work=f"{words}: asked for one address after another. A ratio of 1 tells nobody anything.",
            unit="answers/s",
            better=Better.HIGHER,
            ours=side(what, known, f"{len(known)} addresses that exist"),
            reference=side(what, unknown, f"{len(unknown)} of the same domain that do not"),
            aim=Aim(SAME, of_ratio=True),
        )
        for what, words in _FORMATS.items()
    ]
