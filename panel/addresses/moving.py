"""What is to be kept when a mailbox or a domain comes below others. The parts that know of it register themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from panel.addresses.models import Domain, Mailbox

#: Called within the transaction: with the row as it is, which is locked; what it returns with the row as it became.
Keeper = Callable[[Mailbox | Domain], Callable[[Mailbox | Domain], None]]

_keepers: list[Keeper] = []


def register(keeper: Keeper) -> None:
    """Have something looked at before each move, and kept after it."""
    if keeper not in _keepers:
        _keepers.append(keeper)


@contextmanager
def moving(row: Mailbox | Domain) -> Iterator[None]:
    """Move a mailbox or domain within this block, in a transaction; `row` is then the one that moved."""
    after = [keeper(row) for keeper in _keepers]
    yield
    for keep in after:
        keep(row)
