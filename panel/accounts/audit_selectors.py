"""Reads: the audit trail, each for the person who asks. Paged by key: its newest entries are as quick as its oldest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from heapq import merge
from itertools import islice

from django.db.models import Q, QuerySet
from django.utils import timezone

from panel.accounts.models import User
from panel.accounts.selectors import customers_read_by
from panel.core.models import AuditEntry

#: Entries newest first, in parts that have none in common: each is read by an index of its own, and they are merged.
Trail = list[QuerySet[AuditEntry]]

PAGE = 50
EXPORT_PAGE = 1000


@dataclass(frozen=True)
class Filters:
    """What is looked for; empty values look for everything.

    Attributes:
        action: a code.
        person: a part of who did it, or for whom.
        target: a part of the name of what was changed.
        kind, target_id: exactly one thing, such as a mailbox by its id.
        since, until: days, both included, in the panel's time zone.
    """

    action: str = ""
    person: str = ""
    target: str = ""
    kind: str = ""
    target_id: int | None = None
    since: date | None = None
    until: date | None = None


def entries_for(person: User) -> Trail:
    """Return the entries that a person may read: their customers', and what they did to their own account."""
    if person.sees_all:
        return [AuditEntry.objects.order_by("-pk")]
    # Their numbers and not a subquery: with those the index of a customer's entries is used, whatever others did.
    customers = list(customers_read_by(person).values_list("pk", flat=True))
    trail = [AuditEntry.objects.filter(customer_id__in=customers).order_by("-pk")]
    if person.acting_for is None:
        own = AuditEntry.objects.filter(
            customer_id=None, actor_id=person.pk, target_kind="user", target_id=person.pk
        )
        trail.append(own.order_by("-pk"))
    return trail


def filtered(trail: Trail, filters: Filters) -> Trail:
    """Return the entries that fit."""
    return [_filtered(entries, filters) for entries in trail]


def page_before(trail: Trail, before: int | None) -> tuple[list[AuditEntry], int | None]:
    """Return a page of entries older than the one with the id `before`, and the id to go on from, if there is more."""
    rows = _newest(trail, before, PAGE + 1)
    return rows[:PAGE], rows[PAGE - 1].pk if len(rows) > PAGE else None


def all_pages(trail: Trail) -> Iterator[AuditEntry]:
    """Yield all entries, read in pieces: no transaction stays open, and no memory fills up."""
    before: int | None = None
    while rows := _newest(trail, before, EXPORT_PAGE):
        yield from rows
        before = rows[-1].pk


def _newest(trail: Trail, before: int | None, number: int) -> list[AuditEntry]:
    parts = [(entries.filter(pk__lt=before) if before else entries)[:number] for entries in trail]
    return list(islice(merge(*parts, key=lambda entry: -entry.pk), number))


def _filtered(entries: QuerySet[AuditEntry], filters: Filters) -> QuerySet[AuditEntry]:
    if filters.action:
        entries = entries.filter(action=filters.action)
    if filters.person:
        by, behalf = Q(actor__icontains=filters.person), Q(on_behalf_of__icontains=filters.person)
        entries = entries.filter(by | behalf)
    if filters.target:
        entries = entries.filter(target__icontains=filters.target)
    if filters.kind and filters.target_id is not None:
        entries = entries.filter(target_kind=filters.kind, target_id=filters.target_id)
    if filters.since:
        entries = entries.filter(at__gte=_midnight(filters.since))
    if filters.until:
        entries = entries.filter(at__lt=_midnight(filters.until + timedelta(days=1)))
    return entries


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))
