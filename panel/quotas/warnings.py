"""Warnings that mailboxes fill up: which lines they crossed, and which of those crossings are over again.

A crossing is a row, and there is one row of a line at a time: whoever finds it, and however many find it at once, it is
told once. It is over when the mailbox is clearly below the line, or has another quota and is below it; crossing it
again is another row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta

from django.conf import settings
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from panel.addresses.models import Mailbox
from panel.addresses.selectors import ALMOST_FULL
from panel.core.jobs import start_job
from panel.core.keyset import pages_by_key
from panel.core.models import Job
from panel.quotas import forecast, history
from panel.quotas.models import QuotaWarning, UsageSample

#: How far below a line a mailbox must be before that is over: at the line, each message in and out would be a crossing.
#: Points of percent.
CLEARLY_BELOW = 5
#: With less room than this a mailbox is full, as most messages do not fit in any more, and one that is large would
#: hardly ever get nearer. Bytes; nothing below 99 % is full.
FULL_BELOW, FULL_FROM = 64 * 1024, 99
#: Which mailboxes are looked at for whether they will be full soon, up to those that are almost: of others it is too
#: early to say. Percent.
SOON_FROM = 50
#: How long the rows of crossings that are over are kept.
KEPT = timedelta(days=400)
#: Mailboxes of one statement.
_TOGETHER = 500
#: The job that tells what was found.
TELLING = "tell_quota_warnings"

_PERCENT, _SOON = QuotaWarning.Kind.PERCENT, QuotaWarning.Kind.SOON


def lines() -> tuple[int, ...]:
    """Return the lines that are told, in percent, the lowest first."""
    return tuple(sorted(settings.QUOTA_WARNINGS))


def note_changes(changes: Sequence[tuple[Mailbox, int | None, int]]) -> int:
    """Note which lines mailboxes crossed whose use has changed, once that is saved.

    Args:
        changes: each mailbox with the bytes that it held before, None for not known, and those that it holds now.

    Returns:
        how many crossings are to be told.
    """
    moved = [
        mailbox.pk
        for mailbox, before, now in changes
        if mailbox.quota_bytes and _place(mailbox, before or 0) != _place(mailbox, now)
    ]
    found = 0
    for start in range(0, len(moved), _TOGETHER):
        found += _settle(Mailbox.objects.filter(pk__in=moved[start : start + _TOGETHER]), timezone.now())
    if found:
        tell_soon()
    return found


def find_crossings(now: datetime) -> int:
    """Note which lines any mailbox crossed that nobody noted, as after its quota was lowered. Returns how many."""
    return _settle(Mailbox.objects.all(), now)


def find_soon(now: datetime) -> int:
    """Note which mailboxes will be full within some days at their pace, and of which that is not so any more.

    Returns:
        how many are to be told.
    """
    found = 0
    today = history.day_of(now)
    waiting = set(QuotaWarning.objects.filter(kind=_SOON, over_at=None).values_list("mailbox", flat=True))
    for page in pages_by_key(_maybe_soon(waiting, today), _TOGETHER):
        full_on = _full_on(page, today)
        over = [
            pk for pk in waiting.intersection(row.pk for row in page) if not _is_near(full_on[pk], today, 2)
        ]
        QuotaWarning.objects.filter(kind=_SOON, over_at=None, mailbox__in=over).update(over_at=now)
        rows = [
            _crossing(row, _SOON, now, full_on=full_on[row.pk])
            for row in page
            if row.pk not in waiting and _is_near(full_on[row.pk], today, 1)
        ]
        QuotaWarning.objects.bulk_create(rows, ignore_conflicts=True)
        found += len(rows)
    return found


def tell_soon() -> None:
    """Have a job tell what is to be told, unless one waits for its turn."""
    if not Job.objects.filter(kind=TELLING, state=Job.State.QUEUED).exists():
        start_job(TELLING)


def is_anything_to_tell() -> bool:
    """Say whether something was found that somebody was not told yet."""
    waiting = QuotaWarning.objects.filter(over_at=None)
    return waiting.filter(owner_told_at=None).exists() or waiting.filter(customer_told_at=None).exists()


def forget_old(now: datetime) -> int:
    """Delete crossings that have been over for long. Returns how many."""
    return QuotaWarning.objects.filter(over_at__lt=now - KEPT).delete()[0]


def _settle(mailboxes: QuerySet[Mailbox], now: datetime) -> int:
    """End the crossings of mailboxes that are over, and note the new ones. Returns how many are to be told."""
    _end(mailboxes, now)
    found = 0
    for page in pages_by_key(_living(mailboxes).filter(_missing()), _TOGETHER):
        found += _note(page, now)
    return found


def _living(mailboxes: QuerySet[Mailbox]) -> QuerySet[Mailbox]:
    return mailboxes.filter(provisioned_at__isnull=False, deleted_at=None, domain__deleted_at=None)


def _is_beyond(line: int) -> Q:
    """Mailboxes that have crossed a line."""
    beyond = Q(fullness__gte=line)
    if line == 100:
        beyond |= Q(fullness__gte=FULL_FROM, used_bytes__gt=F("quota_bytes") - FULL_BELOW)
    return beyond


def _missing() -> Q:
    """Mailboxes that have crossed a line of which there is no row."""
    missing = Q(pk__in=[])
    for line in lines():
        known = QuotaWarning.objects.filter(mailbox=OuterRef("pk"), kind=_PERCENT, percent=line, over_at=None)
        missing |= _is_beyond(line) & Q(~Exists(known))
    return missing


def _end(mailboxes: QuerySet[Mailbox], now: datetime) -> None:
    """End what is over: below the line, without a limit, or deleted."""
    clearly = Q(fullness__lt=OuterRef("percent") - CLEARLY_BELOW)
    given_more = Q(fullness__lt=OuterRef("percent")) & ~Q(quota_bytes=OuterRef("quota_bytes"))
    unlimited = Q(quota_bytes=None) | Q(quota_bytes=0)
    gone = Q(deleted_at__isnull=False) | Q(domain__deleted_at__isnull=False)
    below = mailboxes.filter(clearly | given_more | unlimited | gone, pk=OuterRef("mailbox"))
    # With a little more it is as full as before: that is told once.
    still_full = mailboxes.filter(_is_beyond(100), pk=OuterRef("mailbox"))
    rows = QuotaWarning.objects.filter(over_at=None)
    over = rows.filter(Exists(below), kind=_PERCENT)
    over.exclude(Exists(_living(still_full)), percent=100).update(over_at=now)
    # What will be full soon has its own end; nothing is told of what is deleted or has no limit.
    rows.filter(Exists(mailboxes.filter(unlimited | gone, pk=OuterRef("mailbox"))), kind=_SOON).update(
        over_at=now
    )


def _note(page: Sequence[Mailbox], now: datetime) -> int:
    """Note what some mailboxes crossed. Of several lines the highest is told, the others are with it."""
    open_rows = QuotaWarning.objects.filter(mailbox__in=page, kind=_PERCENT, over_at=None)
    known = set(open_rows.values_list("mailbox", "percent"))
    rows = []
    for mailbox in page:
        crossed = [line for line in lines() if _has_crossed(mailbox, line)]
        for line in crossed:
            if (mailbox.pk, line) not in known:
                told = None if line == crossed[-1] else now
                rows.append(_crossing(mailbox, _PERCENT, now, percent=line, told=told))
    QuotaWarning.objects.bulk_create(rows, ignore_conflicts=True)
    return sum(row.owner_told_at is None for row in rows)


def _crossing(
    mailbox: Mailbox,
    kind: QuotaWarning.Kind,
    now: datetime,
    *,
    percent: int = 0,
    full_on: date | None = None,
    told: datetime | None = None,
) -> QuotaWarning:
    return QuotaWarning(
        mailbox=mailbox,
        kind=kind,
        percent=percent,
        crossed_at=now,
        used_bytes=mailbox.used_bytes or 0,
        quota_bytes=mailbox.quota_bytes or 0,
        full_on=full_on,
        owner_told_at=told,
        customer_told_at=told,
    )


def _has_crossed(mailbox: Mailbox, line: int) -> bool:
    """The same as `_is_beyond`, of a row that was read."""
    return _is_over(mailbox.used_bytes or 0, mailbox.quota_bytes or 0, line)


def _is_over(used: int, quota: int, line: int) -> bool:
    percent = used * 100 // quota if quota else 0
    return percent >= line or (line == 100 and percent >= FULL_FROM and used > quota - FULL_BELOW)


def _place(mailbox: Mailbox, used: int) -> tuple[bool, ...]:
    """Return between which lines a use is, those included below which a crossing is over."""
    quota = mailbox.quota_bytes or 0
    below = (used * 100 // quota < line - CLEARLY_BELOW for line in lines())
    return (*(_is_over(used, quota, line) for line in lines()), *below)


def _maybe_soon(waiting: set[int], today: date) -> QuerySet[Mailbox]:
    """Return the mailboxes that may be full soon: those that changed lately; and those of which that was told."""
    lately = UsageSample.objects.filter(
        mailbox=OuterRef("pk"), day__gt=today - timedelta(days=forecast.LOOKED_AT)
    )
    growing = Q(Exists(lately), fullness__gte=SOON_FROM, fullness__lt=ALMOST_FULL)
    return _living(Mailbox.objects.all()).filter(growing | Q(pk__in=waiting))


def _full_on(page: Sequence[Mailbox], today: date) -> dict[int, date | None]:
    """Return on which day mailboxes will be full; None where that cannot be said, or they are."""
    first = today - timedelta(days=forecast.LOOKED_AT)
    rows: dict[int, list[history.Held]] = {mailbox.pk: [] for mailbox in page}
    known = UsageSample.objects.filter(mailbox__in=page).order_by("mailbox", "day")
    for pk, day, used in known.values_list("mailbox", "day", "used_bytes"):
        # What was held when the time begins that is looked at counts from there.
        if day <= first:
            rows[pk] = [history.Held(first, used)]
        else:
            rows[pk].append(history.Held(day, used))
    found = {}
    for mailbox in page:
        daily = history.filled(history.with_now(rows[mailbox.pk], today, mailbox.used_bytes), today)
        found[mailbox.pk] = forecast.outlook(
            [held.used_bytes for held in daily], mailbox.quota_bytes, today
        ).full_on
    return found


def _is_near(day: date | None, today: date, times: int) -> bool:
    """Say whether a day is within those that are told, or so many times them: what was told once is over later."""
    return day is not None and (day - today).days <= settings.FULL_WITHIN_DAYS * times


def worst_of(rows: Iterable[QuotaWarning]) -> QuotaWarning:
    """Return which of a mailbox's crossings says most: the highest line, or that it will be full where none is high."""
    return max(rows, key=lambda row: (row.percent >= ALMOST_FULL, row.kind == _SOON, row.percent))
