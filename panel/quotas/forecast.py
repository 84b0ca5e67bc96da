"""When a mailbox will be full at its pace. It says nothing rather than something that a single day could turn over."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum
from statistics import median

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from panel.core.sizes import format_size

#: Days that a pace is of, and those without which there is none.
LOOKED_AT, AT_LEAST = 30, 7
#: What is further away is no forecast any more. Days.
FAR = 365


class State(Enum):
    """What can be said of a mailbox."""

    UNKNOWN = "unknown"  # known for too few days
    UNLIMITED = "unlimited"
    FULL = "full"
    STEADY = "steady"  # it does not grow
    FAR = "far"  # more than a year
    FILLING = "filling"


@dataclass(frozen=True)
class Outlook:
    """What is to be expected.

    Attributes:
        state: what can be said.
        pace: bytes a day, less than zero where it shrinks; None where it is not known.
        days: how many until it is full, where it is filling.
        full_on: the day on which it will be.
    """

    state: State
    pace: float | None = None
    days: int | None = None
    full_on: date | None = None

    @property
    def is_filling(self) -> bool:
        """Whether a day is known on which it will be full."""
        return self.state is State.FILLING


def pace_of(daily: Sequence[int]) -> float | None:
    """Return how many bytes more there are each day, or None for too few days.

    It is the middle one of the slopes between any two days (Theil and Sen): a day on which much came, or much was
    deleted, does not change it as it would a mean.

    Args:
        daily: what was held at the end of each day, the latest last.
    """
    lately = daily[-LOOKED_AT - 1 :]
    if len(lately) <= AT_LEAST:
        return None
    return median(
        (later - earlier) / (number - start)
        for start, earlier in enumerate(lately)
        for number, later in enumerate(lately[start + 1 :], start + 1)
    )


def outlook(daily: Sequence[int], quota_bytes: int | None, today: date) -> Outlook:
    """Return what is to be expected of a mailbox.

    Args:
        daily: what it held at the end of each day, the last of which is now.
        quota_bytes: what it may hold; None or 0 is no limit.
        today: the day of the last figure.
    """
    pace = pace_of(daily)
    if not quota_bytes:
        return Outlook(State.UNLIMITED, pace)
    if daily and daily[-1] >= quota_bytes:
        return Outlook(State.FULL, pace)
    if pace is None:
        return Outlook(State.UNKNOWN)
    if pace <= 0:
        return Outlook(State.STEADY, pace)
    days = math.ceil((quota_bytes - daily[-1]) / pace)
    if days > FAR:
        return Outlook(State.FAR, pace)
    return Outlook(State.FILLING, pace, days, today + timedelta(days=days))


def in_words(found: Outlook) -> str:
    """Return what is to be expected, as the end of a sentence that says what is held; empty where nothing can be."""
    if found.days is not None:
        return full_in(found.days)
    return {
        State.FULL: _("full"),
        State.STEADY: _("not growing at the moment"),
        State.FAR: _("full in more than a year at this pace"),
    }.get(found.state, "")


def full_in(days: int) -> str:
    """Return when something is full, as exactly as it can be known: `full in about 40 days at this pace`."""
    if days >= 90:
        months = round(days / 30.4)
        return ngettext(
            "full in about %(months)s month at this pace",
            "full in about %(months)s months at this pace",
            months,
        ) % {"months": months}
    about = days if days <= 14 else round(days / 5) * 5
    return ngettext(
        "full in about %(days)s day at this pace", "full in about %(days)s days at this pace", about
    ) % {"days": about}


def pace_in_words(pace: float | None) -> str:
    """Return how fast something grows, in the unit that fits; empty where it is not known."""
    if pace is None:
        return ""
    if abs(pace) * 30 < 1024:
        return _("It holds about as much as a month ago.")
    by_month = abs(pace) < 1024 * 1024
    words = {"size": format_size(round(abs(pace) * (30 if by_month else 1)))}
    if pace > 0:
        text = (
            _("It grows by about %(size)s a month.") if by_month else _("It grows by about %(size)s a day.")
        )
    else:
        text = (
            _("It shrinks by about %(size)s a month.")
            if by_month
            else _("It shrinks by about %(size)s a day.")
        )
    return text % words
