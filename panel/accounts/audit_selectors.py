"""Reads: the audit trail, each for the person who asks. Paged by key: its newest entries are as quick as its oldest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from django.db.models import Q, QuerySet
from django.utils import timezone

from panel.accounts.models import User
from panel.accounts.selectors import customers_read_by
from panel.core.models import AuditEntry

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


def entries_for(person: User) -> QuerySet[AuditEntry]:
    """Return the entries that a person may read, newest first: their customers', and what they did to themselves."""
    if person.sees_all:
        return AuditEntry.objects.order_by("-pk")
    theirs = Q(customer_id__in=customers_read_by(person).values("pk"))
    if person.acting_for is None:
        theirs |= Q(actor_id=person.pk, target_kind="user", target_id=person.pk)
    return AuditEntry.objects.filter(theirs).order_by("-pk")


def filtered(entries: QuerySet[AuditEntry], filters: Filters) -> QuerySet[AuditEntry]:
    """Return the entries that fit."""
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


def page_before(entries: QuerySet[AuditEntry], before: int | None) -> tuple[list[AuditEntry], int | None]:
    """Return a page of entries older than the one with the id `before`, and the id to go on from, if there is more."""
    rows = list((entries.filter(pk__lt=before) if before else entries)[: PAGE + 1])
    return rows[:PAGE], rows[PAGE - 1].pk if len(rows) > PAGE else None


def all_pages(entries: QuerySet[AuditEntry]) -> Iterator[AuditEntry]:
    """Yield all entries, read in pieces: no transaction stays open, and no memory fills up."""
    before: int | None = None
    while rows := list((entries.filter(pk__lt=before) if before else entries)[:EXPORT_PAGE]):
        yield from rows
        before = rows[-1].pk


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))
