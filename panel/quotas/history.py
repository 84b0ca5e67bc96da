"""What mailboxes held, day by day: samples of each, totals of customers and of the platform, thinned as they age."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Count, Exists, Max, OuterRef, QuerySet, Sum
from django.utils import timezone

from panel.accounts.models import Customer
from panel.addresses.models import Mailbox
from panel.core import jobs
from panel.quotas.models import UsageSample, UsageTotal

#: Samples of each day are kept for so long, then those of each week's last day, then those of each month's.
DAILY, WEEKLY = timedelta(days=90), timedelta(days=365)
#: Numbers of mailboxes that one statement goes through, so that whoever writes meanwhile waits a moment only.
TOGETHER = 5_000
#: How far back weeks and months are thinned again, where the job did not run for some nights.
_WEEKS_AGAIN, _MONTHS_AGAIN = 8, 3

# A mailbox that holds what it held has no row. The last one up to this day counts, one of this day too: what was noted
# earlier in the day is replaced by what is true now.
_SAMPLE = """
    INSERT INTO {samples} (mailbox_id, day, used_bytes)
    SELECT m.id, %s, m.used_bytes FROM {mailboxes} m
    WHERE m.id > %s AND m.id <= %s AND m.deleted_at IS NULL AND m.used_bytes IS NOT NULL
      AND m.used_bytes <> COALESCE(
        (SELECT s.used_bytes FROM {samples} s WHERE s.mailbox_id = m.id AND s.day <= %s ORDER BY s.day DESC LIMIT 1),
        -1)
    ON CONFLICT (mailbox_id, day) DO UPDATE SET used_bytes = excluded.used_bytes
"""


@dataclass(frozen=True)
class Held:
    """What was held at the end of a day, in bytes."""

    day: date
    used_bytes: int


def day_of(now: datetime) -> date:
    """Return the day of a moment, in the installation's time zone."""
    return timezone.localdate(now, timezone.get_default_timezone())


def take_samples(day: date) -> int:
    """Note what each mailbox holds at the end of a day, where it is not what it held before.

    Doing it again replaces what was noted of the day.

    Returns:
        how many samples were written.
    """
    # Of these tables, and of nothing that anybody typed.
    statement = _SAMPLE.format(samples=UsageSample._meta.db_table, mailboxes=Mailbox._meta.db_table)
    last: int = Mailbox.objects.aggregate(last=Max("pk"))["last"] or 0
    on = connection.ops.adapt_datefield_value(day)
    written = 0
    for after in range(0, last, TOGETHER):
        with connection.cursor() as cursor:
            cursor.execute(statement, [on, after, after + TOGETHER, on])
            written += cursor.rowcount
        jobs.note_progress({"samples": written})
    return written


def take_totals(day: date) -> int:
    """Note what the mailboxes of each customer hold together at the end of a day, and those of the platform.

    Returns:
        of how many customers.
    """
    living = Mailbox.objects.filter(deleted_at=None, domain__deleted_at=None).order_by()
    sums = {"mailboxes": Count("pk"), "used": Sum("used_bytes"), "given": Sum("quota_bytes")}
    found: list[Any] = list(living.values("domain__customer").annotate(**sums))
    rows = [_total(day, row, customer_id=row["domain__customer"]) for row in found]
    # A customer without a mailbox has a total too: nothing is what it holds from then on.
    known = [row["domain__customer"] for row in found]
    none: dict[str, Any] = {"mailboxes": 0, "used": 0, "given": 0}
    others = Customer.objects.exclude(pk__in=known).values_list("pk", flat=True)
    rows += [_total(day, none, customer_id=pk) for pk in others]
    figures = ["mailboxes", "used_bytes", "given_bytes"]
    with transaction.atomic():
        UsageTotal.objects.bulk_create(
            rows,
            batch_size=500,
            update_conflicts=True,
            unique_fields=["customer", "day"],
            update_fields=figures,
        )
        whole = {name: sum(getattr(row, name) for row in rows) for name in figures}
        UsageTotal.objects.update_or_create(customer=None, day=day, defaults=whole)
    return len(rows)


def _total(day: date, row: dict[str, Any], *, customer_id: int) -> UsageTotal:
    return UsageTotal(
        customer_id=customer_id,
        day=day,
        mailboxes=row["mailboxes"],
        used_bytes=row["used"] or 0,
        given_bytes=row["given"] or 0,
    )


def thin(day: date) -> int:
    """Delete what is too old to be kept of each day: the last row of a week or of a month stays. Returns how many.

    A row says what was held until the next one, so that the days that go are as the row before them says.
    """
    of_customers = UsageTotal.objects.filter(customer__isnull=False)
    of_platform = UsageTotal.objects.filter(customer=None)
    return sum(
        _thin(UsageSample.objects.all(), first, last, mailbox=OuterRef("mailbox"))
        + _thin(of_customers, first, last, customer=OuterRef("customer"))
        + _thin(of_platform, first, last)
        for first, last in _spans(day)
    )


def _thin(rows: QuerySet[Any], first: date, last: date, **same: OuterRef) -> int:
    """Delete the rows of some days but for the last one of each that is the `same`."""
    inside = rows.filter(day__gte=first, day__lte=last)
    later = rows.filter(day__gt=OuterRef("day"), day__lte=last, **same)
    return inside.filter(Exists(later)).delete()[0]


def _spans(day: date) -> Iterator[tuple[date, date]]:
    """Yield the first and last day of the weeks and months of which one row is left, those that became so lately."""
    monday = day - DAILY
    monday -= timedelta(days=monday.weekday())
    for week in range(1, _WEEKS_AGAIN + 1):
        first = monday - timedelta(weeks=week)
        yield first, first + timedelta(days=6)
    first = (day - WEEKLY).replace(day=1)
    for _month in range(_MONTHS_AGAIN):
        last = first - timedelta(days=1)
        first = last.replace(day=1)
        yield first, last


def history_of(mailbox: Mailbox, first: date) -> list[Held]:
    """Return what a mailbox held, from a day on: a row for each day on which that changed, the oldest first.

    What it held before is the first row, on the first day that is asked about.
    """
    return _since(mailbox.usage_samples.order_by("day").values_list("day", "used_bytes"), first)


def history_of_total(customer: Customer | None, first: date) -> list[Held]:
    """Return the same of a customer, or of the platform for None."""
    rows = UsageTotal.objects.filter(customer=customer).order_by("day")
    return _since(rows.values_list("day", "used_bytes"), first)


def _since(rows: QuerySet[Any, Any], first: date) -> list[Held]:
    before = rows.filter(day__lte=first).last()
    found = [Held(first, before[1])] if before else []
    return found + [Held(day, used) for day, used in rows.filter(day__gt=first)]


def filled(rows: Sequence[Held], last: date) -> list[Held]:
    """Return what was held on each day, from the first that is known to `last`: a day without a row is as the one
    before."""
    by_day = {row.day: row.used_bytes for row in rows}
    if not rows or rows[0].day > last:
        return []
    used = rows[0].used_bytes
    found = []
    for number in range((last - rows[0].day).days + 1):
        day = rows[0].day + timedelta(days=number)
        used = by_day.get(day, used)
        found.append(Held(day, used))
    return found


def with_now(rows: Iterable[Held], day: date, used_bytes: int | None) -> list[Held]:
    """Return rows with what is held at this moment as that of today."""
    found = [row for row in rows if row.day < day or used_bytes is None]
    return found if used_bytes is None else [*found, Held(day, used_bytes)]
