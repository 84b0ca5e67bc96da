"""How many sessions and refusals there were over a time, as bars."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from django.core.cache import cache
from django.db.models import Min, QuerySet, Sum
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import get_language, pgettext
from django.utils.translation import gettext as _

from panel.accounts.models import Customer, User
from panel.connections.filters import Filters
from panel.connections.models import Connection, HourlyCount
from panel.connections.selectors import Scope, scope_of

#: The time that is shown where none is chosen.
SHOWN = timedelta(days=7)
#: How wide a bar may be, in hours, and how many bars there are at most.
_STEPS, _BARS = (1, 3, 6, 24, 7 * 24, 28 * 24), 84
#: Rows of counts that are summed up at most: with very many customers the time that is shown is shorter.
_COUNTS = 200_000
#: How long sums are kept. Seconds.
_KEPT_FOR = 60
#: Units of the picture: the height of the highest bar, and the width of one with the space beside it.
HEIGHT, PITCH = 64, 10

_RECTANGLE = '<rect class="log-{kind}" x="{x}" y="{y}" width="8" height="{height}"/>'
_FIGURE = (
    '<tr role="row"><th scope="row" role="rowheader">{label}</th>'
    '<td role="cell" class="number" data-label="{accepted_label}">{accepted}</td>'
    '<td role="cell" class="number" data-label="{refused_label}">{refused}</td></tr>'
)

#: Counts by the beginning of an hour and the outcome.
_Counts = Counter[tuple[datetime, str]]


@dataclass(frozen=True)
class Bar:
    """What began within one step: the label of its time, and figures."""

    label: str
    accepted: int
    refused: int


@dataclass(frozen=True)
class Histogram:
    """Bars over a time, and their sums.

    Attributes:
        width, height: of the picture, in its units.
        rectangles: the bars as SVG.
        figures: those that have anything in them, as rows of a table.
    """

    begins_at: datetime
    ends_at: datetime
    accepted: int
    refused: int
    width: int
    height: int
    rectangles: SafeString
    figures: SafeString


def histogram_of_log(person: User, filters: Filters, now: datetime) -> Histogram | None:
    """Return how many connections there were that fit, or None where the counts of the hours cannot say it."""
    asked = (filters.address, filters.ip, filters.network, filters.domains, filters.reason, filters.device)
    if any(value not in ("", None) for value in asked) or filters.open_now or filters.problems:
        return None
    scope = scope_of(person)
    if filters.customer is not None:
        scope = Scope("customer", (filters.customer,))
    if scope is not None and scope.column != "customer":
        return None
    counts = HourlyCount.objects.order_by()
    if scope is not None:
        counts = counts.filter(customer__in=scope.numbers)
    customers = Customer.objects.count() if scope is None else len(scope.numbers)
    begins_at, ends_at = _period(filters, counts, now, max(customers, 1))
    if filters.protocol:
        counts = counts.filter(protocol=filters.protocol)
    if filters.outcome:
        counts = counts.filter(outcome=filters.outcome)
    counts = counts.filter(hour__gte=begins_at, hour__lt=ends_at)
    asked_for = (scope, begins_at, _hour(ends_at), filters.protocol, filters.outcome, get_language())
    key = f"log-bars:{sha256(repr(asked_for).encode()).hexdigest()}"
    kept: Histogram | None = cache.get(key)
    if kept is None:
        rows = counts.values_list("hour", "outcome").annotate(Sum("connections"))
        summed = Counter({(hour, outcome): number for hour, outcome, number in rows})
        kept = _drawn(summed, begins_at, ends_at)
        cache.set(key, kept, _KEPT_FOR)
    return kept


def histogram_of_rows(rows: Iterable[tuple[datetime, str]]) -> Histogram | None:
    """Return the same of rows that were gone through: when each began, and its outcome. None where there are none."""
    counts: _Counts = Counter((_hour(at), outcome) for at, outcome in rows)
    if not counts:
        return None
    hours = [hour for hour, _outcome in counts]
    return _drawn(counts, min(hours), max(hours) + timedelta(hours=1))


def _period(
    filters: Filters, counts: QuerySet[HourlyCount], now: datetime, customers: int
) -> tuple[datetime, datetime]:
    """Return the time that is shown: no longer than there are counts for, or than can be summed up at once."""
    ends_at = min(filters.ends_at or now, now)
    begins_at = filters.begins_at or ends_at - SHOWN
    first: datetime | None = counts.aggregate(at=Min("hour"))["at"]
    longest = timedelta(hours=_COUNTS // (4 * customers))
    begins_at = max(begins_at, first or ends_at - SHOWN, ends_at - longest)
    return _hour(min(begins_at, ends_at - timedelta(hours=1))), ends_at


def _drawn(counts: _Counts, begins_at: datetime, ends_at: datetime) -> Histogram:
    """Gather hours into bars."""
    hours = int((ends_at - begins_at) / timedelta(hours=1)) + 1
    step = next((step for step in _STEPS if hours / step <= _BARS), -(-hours // _BARS))
    edges = _edges(begins_at, ends_at, step)
    sums: Counter[tuple[int, str]] = Counter()
    for (hour, outcome), number in counts.items():
        sums[_bar_of(edges, hour), outcome] += number
    accepted, refused = Connection.Outcome.ACCEPTED, Connection.Outcome.REFUSED
    pairs = [(sums[index, accepted], sums[index, refused]) for index in range(len(edges))]
    bars = [Bar(_label(edge, step), *pair) for edge, pair in zip(edges, pairs, strict=True)]
    return Histogram(
        begins_at=begins_at,
        ends_at=ends_at,
        accepted=sum(bar.accepted for bar in bars),
        refused=sum(bar.refused for bar in bars),
        width=len(bars) * PITCH,
        height=HEIGHT,
        rectangles=format_html_join("", _RECTANGLE, _rectangles(bars)),
        figures=format_html_join("", _FIGURE, _figures(bars)),
    )


def _rectangles(bars: Sequence[Bar]) -> Iterator[dict[str, str | float]]:
    """Yield where bars are drawn: sessions stand below, refusals on top of them."""
    highest = max((bar.accepted + bar.refused for bar in bars), default=0) or 1
    for index, bar in enumerate(bars):
        tall, taller = (
            round(number * HEIGHT / highest, 2) for number in (bar.accepted, bar.accepted + bar.refused)
        )
        if bar.accepted:
            yield {"kind": "accepted", "x": index * PITCH, "y": round(HEIGHT - tall, 2), "height": tall}
        if bar.refused:
            height = round(taller - tall, 2)
            yield {"kind": "refused", "x": index * PITCH, "y": round(HEIGHT - taller, 2), "height": height}


def _figures(bars: Sequence[Bar]) -> Iterator[dict[str, str | int]]:
    words = {"accepted_label": _("Sessions"), "refused_label": pgettext("connections", "Refused")}
    for bar in bars:
        if bar.accepted or bar.refused:
            yield {"label": bar.label, "accepted": bar.accepted, "refused": bar.refused, **words}


def _label(edge: datetime, step: int) -> str:
    return date_format(edge, "SHORT_DATE_FORMAT" if step % 24 == 0 else "SHORT_DATETIME_FORMAT")


def _edges(begins_at: datetime, ends_at: datetime, step: int) -> list[datetime]:
    """Return where bars begin: whole days begin at midnight in the panel's time zone, whatever the clocks did."""
    first = timezone.localtime(begins_at).replace(minute=0, second=0, microsecond=0)
    if step >= 24:
        first = first.replace(hour=0)
    edges = []
    at = first
    while at < ends_at:
        edges.append(at)
        if step % 24:
            at = timezone.localtime(at + timedelta(hours=step))
        else:
            later = at.replace(tzinfo=None) + timedelta(hours=step)
            at = timezone.make_aware(later)
    return edges or [first]


def _bar_of(edges: Sequence[datetime], hour: datetime) -> int:
    return max(bisect_right(edges, hour) - 1, 0)


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)
