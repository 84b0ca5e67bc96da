"""What needs somebody, as the homes of all roles say it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_ORDER = ("error", "warning", "info")


@dataclass(frozen=True)
class Item:
    """Something that needs somebody.

    Attributes:
        level: "error", "warning" or "info".
        text: what is true.
        otherwise: what happens if nothing is done, or empty where nothing does.
        url, action: where something can be done, and what the way there is called; empty where there is none.
    """

    level: str
    text: str
    otherwise: str = ""
    url: str = ""
    action: str = ""


def gravest_first(items: Iterable[Item]) -> list[Item]:
    """Return items in the order of their levels, those of one level as they were."""
    return sorted(items, key=lambda item: _ORDER.index(item.level))
