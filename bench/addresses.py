"""Whether it can be told from the time of an answer that an address exists: those that do against those that do not."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from bench.frame import Aim, Better, Row, Side
from bench.product import DOMAIN
from bench.setup import Setup

#: How far the two may differ: two runs of one and the same do not agree better.
SAME = 0.97
_FORMATS = {
    "autoconfig": "Mozilla's autoconfig",
    "autodiscover": "Microsoft's Autodiscover",
    "profile": "Apple's profile, signed",
}


@contextlib.contextmanager
def rows(setup: Setup) -> Iterator[list[Row]]:
    """Yield a row for each format that mail programs ask for."""
    yield [_row(setup, what, words) for what, words in _FORMATS.items()]


def _row(setup: Setup, what: str, words: str) -> Row:
    known = setup.product.hashed
    unknown = [f"nobody{number}@{DOMAIN}" for number in range(len(known))]
    # Both kinds are asked in turn, in one measurement: the reference is what it found beside.
    found: dict[str, float] = {}

    def measure() -> float:
        arguments = {"what": what, "known": known, "unknown": unknown, "seconds": setup.scale.seconds}
        found.update(setup.product.worker.ask("ask_formats", **arguments))
        return found["known"]

    return Row(
        name=f"address-{what}",
        work=f"{words}: asked for one address after another. A ratio of 1 tells nobody anything.",
        unit="answers/s",
        better=Better.HIGHER,
        ours=Side(f"{len(known)} addresses that exist, by the processor's time", measure),
        reference=Side(f"{len(unknown)} of the same domain that do not", lambda: found["unknown"]),
        aim=Aim(SAME, of_ratio=True),
    )
