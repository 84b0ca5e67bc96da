"""What is done by the clock: jobs that are started, and looks whether there is something to do.

The schedule stands in the settings (CELERY_BEAT_SCHEDULE); what it did last, and what an administrator paused, are
rows. No entry runs twice at once, and what no worker began in time makes way for the next run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from celery.schedules import BaseSchedule, crontab
from celery.schedules import schedule as interval
from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from panel.core import audit, jobs
from panel.core.audit import Actor, acting
from panel.core.errors import Problem
from panel.core.models import Job, Scheduled

logger = logging.getLogger(__name__)

#: The tasks by which the schedule does things; what else stands in it keeps the machine itself going.
STARTS, LOOKS = "panel.core.tasks.start_scheduled", "panel.core.tasks.look"
#: A look that has run this long was lost with its worker.
LOST_AFTER = timedelta(minutes=10)

_looks: dict[str, _Look] = {}


@dataclass(frozen=True)
class _Look:
    label: str | Promise
    handler: Callable[[], object]


@dataclass(frozen=True)
class Entry:
    """An entry of the schedule.

    Attributes:
        name: of the kind of job, or of the look.
        label: what people call it.
        when: when it runs.
        arguments: what the job gets.
        look: what looks, or None where a job is started.
    """

    name: str
    label: str
    when: BaseSchedule
    arguments: dict[str, Any]
    look: Callable[[], object] | None

    def next_run(self, last: datetime | None) -> datetime:
        """Return when it runs next.

        Args:
            last: when it ran last, or None.
        """
        now = timezone.now()
        # What runs at an hour waits for that hour, whenever it ran last; what runs every few seconds counts from then.
        since = now if last is None or isinstance(self.when, crontab) else last
        return now + max(self.when.remaining_estimate(since), timedelta(0))


def look(label: str | Promise) -> Callable[[Callable[[], object]], Callable[[], object]]:
    """Register the decorated function as the look that bears its name: it starts jobs where there is something to do.

    Args:
        label: what people call it.
    """

    def register(handler: Callable[[], object]) -> Callable[[], object]:
        _looks[handler.__name__] = _Look(label, handler)
        return handler

    return register


def entries() -> list[Entry]:
    """Return what is done by the clock, in the order of the settings."""
    said: dict[str, dict[str, Any]] = settings.CELERY_BEAT_SCHEDULE
    return [_entry(each) for each in said.values() if each["task"] in (STARTS, LOOKS)]


def entry_named(name: str) -> Entry | None:
    """Return an entry, or None if there is none of this name."""
    return next((entry for entry in entries() if entry.name == name), None)


def run(name: str, *, by_hand: bool = False) -> Job | None:
    """Do what an entry is for, unless it is paused or still being done.

    Args:
        name: the entry's.
        by_hand: whether a person asks for it: then it is done although it is paused, and recorded.

    Returns:
        the job that was started; None if there is none.

    Raises:
        Problem: if a person asks, and it is being done already.
    """
    entry = entry_named(name)
    if entry is None:
        raise ValueError(f"Nothing of this name is in the schedule: {name!r}.")
    if entry.look is not None:
        _run_look(entry, entry.look, by_hand=by_hand)
        return None
    return _start(entry, by_hand=by_hand)


def pause(name: str, *, by: str) -> None:
    """Have the clock not start an entry until it is resumed. What runs goes on.

    Args:
        name: the entry's.
        by: who pauses it, for the page.

    Raises:
        Problem: if it is paused already.
    """
    with transaction.atomic():
        row = _locked(name)
        if row.paused_at:
            raise Problem(_("It is paused already."))
        row.paused_at, row.paused_by = timezone.now(), by[:254]
        row.save(update_fields=["paused_at", "paused_by"])
        audit.record("scheduled.paused", target=row)


def resume(name: str) -> None:
    """Have the clock start an entry again.

    Raises:
        Problem: if it is not paused.
    """
    with transaction.atomic():
        row = _locked(name)
        if not row.paused_at:
            raise Problem(_("It is not paused."))
        row.paused_at, row.paused_by = None, ""
        row.save(update_fields=["paused_at", "paused_by"])
        audit.record("scheduled.resumed", target=row)


def paused() -> list[Scheduled]:
    """Return what is paused, the longest first."""
    names = [entry.name for entry in entries()]
    return list(Scheduled.objects.filter(paused_at__isnull=False, name__in=names).order_by("paused_at"))


def rows_of(names: Iterable[str]) -> dict[str, Scheduled]:
    """Return what entries did last, by name; one that never ran has no row."""
    found = Scheduled.objects.filter(name__in=list(names)).select_related("job")
    return {row.name: row for row in found}


def _entry(said: dict[str, Any]) -> Entry:
    name: str = said["args"][0]
    found = _looks[name] if said["task"] == LOOKS else None
    return Entry(
        name=name,
        label=str(found.label if found else jobs.kind_label(name)),
        when=_schedule(said["schedule"]),
        arguments=said["args"][1] if len(said["args"]) > 1 else {},
        look=found.handler if found else None,
    )


def _start(entry: Entry, *, by_hand: bool) -> Job | None:
    now = timezone.now()
    with transaction.atomic():
        row = _locked(entry.name)
        if row.paused_at and not by_hand:
            return None
        if jobs.unfinished(entry.name).exists():
            if by_hand:
                raise Problem(_("It is being done already, or waits for a worker."))
            return None
        expires_at = None if by_hand else entry.next_run(now)
        row.job = jobs.start_job(entry.name, expires_at=expires_at, **entry.arguments)
        row.ran_at = now
        row.save(update_fields=["job", "ran_at"])
        if by_hand:
            audit.record("scheduled.run", target=row)
        return row.job


def _run_look(entry: Entry, handler: Callable[[], object], *, by_hand: bool) -> None:
    """Look; what goes wrong is kept for the page, and the next look is soon."""
    now = timezone.now()
    with transaction.atomic():
        row = _locked(entry.name)
        if row.paused_at and not by_hand:
            return
        if by_hand:
            audit.record("scheduled.run", target=row)
    free = Q(running_since=None) | Q(running_since__lt=now - LOST_AFTER)
    if not Scheduled.objects.filter(free, pk=row.pk).update(running_since=now, ran_at=now):
        if by_hand:
            raise Problem(_("It is being done already, or waits for a worker."))
        return
    error = ""
    try:
        with acting(Actor(kind="job", label=entry.name)):
            handler()
    except Exception as err:
        # The clock goes on: whatever it was, the next look comes, and the page says what happened.
        logger.exception("The look %s failed", entry.name)
        error = jobs.reason_of(err)
    Scheduled.objects.filter(pk=row.pk, running_since=now).update(
        running_since=None, took=timezone.now() - now, error=error
    )
    if error and by_hand:
        raise Problem(error)


def _locked(name: str) -> Scheduled:
    Scheduled.objects.get_or_create(name=name)
    return Scheduled.objects.select_for_update().get(name=name)


def _schedule(said: Any) -> BaseSchedule:
    return said if isinstance(said, BaseSchedule) else interval(timedelta(seconds=said))
