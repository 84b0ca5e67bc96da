"""Rows in pages by their keys: each page begins where the last one ended, however many rows there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from django.db.models import Model, QuerySet

Row = TypeVar("Row", bound=Model)


def pages_by_key(rows: QuerySet[Row], size: int) -> Iterator[list[Row]]:
    """Yield rows in the order of their keys, some at a time; what is added behind the last page is among them.

    Args:
        rows: which; their order is left aside.
        size: how many a page holds at most.
    """
    last = 0
    while page := list(rows.filter(pk__gt=last).order_by("pk")[:size]):
        yield page
        last = page[-1].pk
