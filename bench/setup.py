"""What the subjects measure with: a product and how much of everything."""

from __future__ import annotations

from dataclasses import dataclass

from bench.product import Product


@dataclass(frozen=True)
class Scale:
    """How much is measured in one round.

    Attributes:
        rounds: how often each side is measured.
        boxes: mailboxes created one by one.
        bulk: mailboxes created in bulk, and as bare folders.
        seconds: of signing in.
        sessions: that are open at once.
        listed: mailboxes of the long list.
        connections: that the recorder stores.
        events: lines of the log over which its memory is measured.
        logged: connections of the log.
        pop_messages: messages of an inbox that a POP program lists.
        checked: mailboxes whose quotas are checked.
        purged: messages that one purge ends.
    """

    rounds: int
    boxes: int
    bulk: int
    seconds: float
    sessions: int
    listed: int
    connections: int
    events: int
    logged: int
    pop_messages: int
    checked: int
    purged: int


FULL = Scale(
    rounds=5,
    boxes=50,
    bulk=500,
    seconds=6,
    sessions=500,
    listed=100_000,
    connections=30_000,
    events=1_000_000,
    logged=5_000_000,
    pop_messages=10_000,
    checked=100_000,
    purged=50_000,
)
QUICK = Scale(
    rounds=2,
    boxes=15,
    bulk=60,
    seconds=3,
    sessions=500,
    listed=30_000,
    connections=6_000,
    events=250_000,
    logged=100_000,
    pop_messages=2_000,
    checked=5_000,
    purged=5_000,
)


@dataclass(frozen=True)
class Setup:
    """One product on one database, and the scale."""

    product: Product
    scale: Scale
