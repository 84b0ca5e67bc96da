"""A mailbox's connections as its pages show them: in words, in days, alike ones told once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from panel.addresses.inherited import PopPolicy, what_counts
from panel.addresses.models import Mailbox
from panel.connections.models import Connection, LogGap
from panel.connections.words import advice, gap_in_words, in_words

_Refusal = Connection.Refusal
#: Refusals that are no fault of who tried, or happen every day.
_MILD = (_Refusal.GAVE_UP, _Refusal.TEMPORARY_FAILURE)


@dataclass(frozen=True)
class Entry:
    """A line of the list.

    Attributes:
        at: when it began.
        words: what happened.
        advice: what to do, or to know; empty where there is nothing.
        level: info, success or warning: the icon.
        is_open: whether it goes on.
        key: an id in the page; empty for a gap.
        ended_at: when it ended.
        first_at: when the first of alike refusals in a row was, or a gap began, if that was in another minute.
        count: how many alike refusals it stands for.
    """

    at: datetime
    words: str
    advice: str = ""
    level: str = "info"
    is_open: bool = False
    key: str = ""
    ended_at: datetime | None = None
    first_at: datetime | None = None
    count: int = 1


@dataclass
class Day:
    """A day of the list."""

    day: date
    label: str
    entries: list[Entry] = field(default_factory=list)


def entry_of(row: Connection, mailbox: Mailbox, pop: PopPolicy | None = None) -> Entry:
    """Return a connection as a line.

    Args:
        row: the connection, of this mailbox or one that meant it.
        mailbox: that the reader may see.
        pop: what POP deletes of it; asked for where it matters and is not given.
    """
    if pop is None and _deleted_by_pop(row):
        pop = what_counts(mailbox).pop
    return Entry(
        at=row.started_at,
        words=in_words(row, pop=pop),
        advice=advice(row, mailbox=mailbox, pop=pop),
        level=level_of(row),
        is_open=row.is_open,
        key=str(row.pk),
        ended_at=row.ended_at,
    )


def entries_of(rows: Iterable[Connection], mailbox: Mailbox) -> list[Entry]:
    """Return connections as lines, in their order; what POP deletes is asked for once at most."""
    found = list(rows)
    pop = what_counts(mailbox).pop if any(map(_deleted_by_pop, found)) else None
    return [entry_of(row, mailbox, pop) for row in found]


def _deleted_by_pop(row: Connection) -> bool:
    return row.protocol == Connection.Protocol.POP3 and bool(row.deleted)


def level_of(row: Connection) -> str:
    """Return how grave a connection is: success, info or warning."""
    if row.outcome == Connection.Outcome.ACCEPTED:
        return "success"
    return "info" if row.reason in _MILD else "warning"


def in_days(
    entries: Iterable[Entry], gaps: Iterable[LogGap], now: datetime, *, fold: bool = True
) -> list[Day]:
    """Return lines by day, newest first, with the gaps of the log among them.

    Args:
        entries: the lines, newest first.
        gaps: of the log.
        now: this moment.
        fold: whether alike refusals are told once.
    """
    days: list[Day] = []
    today = timezone.localdate(now)
    lines = [*(folded(entries) if fold else entries), *map(_gap, gaps)]
    for entry in sorted(lines, key=lambda entry: entry.at, reverse=True):
        day = timezone.localdate(entry.at)
        if not days or days[-1].day != day:
            days.append(Day(day, _label(day, today)))
        days[-1].entries.append(entry)
    return days


def folded(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Yield lines, newest first, with alike refusals of one day that follow each other as one."""
    last: Entry | None = None
    for entry in entries:
        if last is not None and _alike(last, entry):
            last = replace(last, first_at=_if_earlier(entry.at, last.at), count=last.count + 1)
            continue
        if last is not None:
            yield last
        last = entry
    if last is not None:
        yield last


def _alike(one: Entry, other: Entry) -> bool:
    if "success" in (one.level, other.level) or one.words != other.words:
        return False
    return timezone.localdate(one.at) == timezone.localdate(other.at)


def _gap(gap: LogGap) -> Entry:
    at = gap.ended_at or gap.began_at or timezone.now()
    first_at = _if_earlier(gap.began_at, at) if gap.began_at else None
    return Entry(at=at, words=gap_in_words(gap), level="gap", first_at=first_at, ended_at=gap.ended_at)


def _if_earlier(first: datetime, last: datetime) -> datetime | None:
    """Return a moment if it is of another minute than a later one: lists show no seconds."""
    return first if first.replace(second=0, microsecond=0) < last.replace(second=0, microsecond=0) else None


def _label(day: date, today: date) -> str:
    if day == today:
        return _("Today")
    if day == today - timedelta(days=1):
        return _("Yesterday")
    return date_format(day, "DATE_FORMAT")
