"""Pages of the schedule: what is done by the clock, when it runs next, run now and pause."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any

from celery.schedules import BaseSchedule, crontab
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.formats import time_format
from django.utils.text import get_text_list
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from panel.core import schedule
from panel.core.errors import Problem
from panel.core.models import Job, Scheduled
from panel.core.schedule import Entry
from panel.core.views import admins_only, outcome

#: The state of a look, for the colour of its badge.
_RUNNING, _FAILED, _DONE = Job.State.RUNNING, Job.State.FAILED, Job.State.DONE


@dataclass(frozen=True)
class Line:
    """An entry of the schedule as the page shows it.

    Attributes:
        name, label: of the entry.
        when: when it runs, in words.
        next_at: its next run; None while it is paused.
        ran_at: its last run, or None.
        job: that run's job, or None.
        state: a code of Job.State for the last run; empty where there was none.
        state_label: the same in a word.
        took: how long that took, or None.
        result: what came of it, in words.
        paused: since when and by whom it is paused, or None.
        busy: whether it is being done at this moment.
    """

    name: str
    label: str
    when: str
    next_at: datetime | None
    ran_at: datetime | None
    job: Job | None
    state: str
    state_label: str
    took: timedelta | None
    result: str
    paused: Scheduled | None
    busy: bool

    @property
    def soon(self) -> bool:
        """Whether the next run is less than a minute away."""
        return self.next_at is not None and self.next_at - timezone.now() < timedelta(minutes=1)


@login_required
@require_safe
def list_schedule(request: HttpRequest) -> HttpResponse:
    """What is done by the clock. It keeps itself up to date."""
    admins_only(request)
    entries = schedule.entries()
    rows = schedule.rows_of(entry.name for entry in entries)
    lines = [_line(entry, rows.get(entry.name)) for entry in entries]
    return render(request, "core/list_schedule.html", {"lines": lines, "paused": schedule.paused()})


@login_required
@require_POST
def run_now(request: HttpRequest, name: str) -> HttpResponse:
    """Do what an entry is for, now."""
    entry = _entry(request, name)

    def do() -> HttpResponse | None:
        job = schedule.run(name, by_hand=True)
        messages.success(request, _("Started: %(job)s.") % {"job": entry.label})
        return redirect("show_job", job.pk) if job else None

    return _done(request, do)


@login_required
@require_POST
def pause(request: HttpRequest, name: str) -> HttpResponse:
    """Have the clock not start an entry."""
    entry = _entry(request, name)

    def do() -> None:
        schedule.pause(name, by=str(request.user))
        messages.success(
            request, _("Paused: %(job)s. It does not run until you resume it.") % {"job": entry.label}
        )

    return _done(request, do)


@login_required
@require_POST
def resume(request: HttpRequest, name: str) -> HttpResponse:
    """Have the clock start an entry again."""
    entry = _entry(request, name)

    def do() -> None:
        schedule.resume(name)
        messages.success(request, _("Resumed: %(job)s.") % {"job": entry.label})

    return _done(request, do)


def _entry(request: HttpRequest, name: str) -> Entry:
    admins_only(request)
    entry = schedule.entry_named(name)
    if entry is None:
        raise Http404
    return entry


def _done(request: HttpRequest, do: Callable[[], HttpResponse | None]) -> HttpResponse:
    try:
        answer = do()
    except Problem as problem:
        messages.error(request, str(problem))
        answer = None
    return answer or redirect("list_scheduled_jobs")


def _line(entry: Entry, row: Scheduled | None) -> Line:
    job = row.job if row else None
    ran_at = row.ran_at if row else None
    shown: dict[str, Any]
    if entry.look is None:
        shown = {
            "state": job.state if job else "",
            "state_label": job.get_state_display() if job else "",
            "took": job.took if job else None,
            "result": outcome(job) if job else "",
            "busy": job is not None and job.state in (Job.State.QUEUED, Job.State.RUNNING),
        }
    else:
        state = _state_of_look(row)
        shown = {
            "state": state.value if state else "",
            "state_label": str(state.label) if state else "",
            "took": row.took if row else None,
            "result": row.error if row else "",
            "busy": state == _RUNNING,
        }
    is_paused = row is not None and row.paused_at is not None
    return Line(
        name=entry.name,
        label=entry.label,
        when=in_words(entry.when),
        next_at=None if is_paused else entry.next_run(ran_at),
        ran_at=ran_at,
        job=job,
        paused=row if is_paused else None,
        **shown,
    )


def _state_of_look(row: Scheduled | None) -> Job.State | None:
    if row is None or row.ran_at is None:
        return None
    if row.running_since is not None:
        return _RUNNING
    return _FAILED if row.error else _DONE


def in_words(when: BaseSchedule) -> str:
    """Say when an entry runs: every few seconds or minutes, every hour, or every day at a time."""
    if isinstance(when, crontab):
        hours, minutes = _fields(when)
        minute = min(minutes)
        if len(hours) == 24:
            return ngettext(
                "every hour, %(minutes)s minute past", "every hour, %(minutes)s minutes past", minute
            ) % {"minutes": minute}
        times = get_text_list([time_format(time(hour, minute)) for hour in sorted(hours)], _("and"))
        return _("every day at %(time)s") % {"time": times}
    seconds = int(when.remaining_estimate(when.now()).total_seconds() + 0.5)
    if seconds == 60:
        return _("every minute")
    if seconds % 60:
        return ngettext("every %(count)s second", "every %(count)s seconds", seconds) % {"count": seconds}
    whole = seconds // 60
    return ngettext("every %(count)s minute", "every %(count)s minutes", whole) % {"count": whole}


def _fields(when: Any) -> tuple[set[int], set[int]]:
    """Return the hours and minutes of a crontab: Celery has them, and its types do not say so."""
    return when.hour, when.minute
