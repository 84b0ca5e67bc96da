"""Jobs: start one, run one, send again those that Redis lost. A part registers its kinds in its tasks.py."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Max, Q, QuerySet
from django.utils import timezone
from django.utils.functional import Promise
from kombu.exceptions import OperationalError as BrokerDown
from redis.exceptions import RedisError

from panel.core.audit import Actor, acting
from panel.core.errors import Problem
from panel.core.models import Job
from panel.core.processes import is_gone, this_process

logger = logging.getLogger(__name__)

#: A job that has run this long was lost with its worker, wherever that ran: on this machine it is known at once.
#: Longer than any task may take (CELERY_TASK_TIME_LIMIT).
LOST_AFTER = timedelta(hours=3)
#: After this many attempts a failing job is left for the administrator to see.
MAX_ATTEMPTS = 5
#: A job is sent again when it has been due for this long: a worker normally has it within a second.
SEND_AGAIN_AFTER = timedelta(seconds=15)
#: A job that may run only after this long is not sent now: beat sends it when it is due, without Redis keeping it.
SENT_LATER = timedelta(seconds=30)
#: States that nothing follows after.
ENDED = (Job.State.DONE, Job.State.FAILED, Job.State.EXPIRED)
#: What is said of a job whose process ended first. In words by panel.core.said.
LOST = "Its worker ended before it did."
#: How often a running job notes how far it is. Seconds.
NOTED_EVERY = 1.0

#: What does a kind of job: takes its arguments by name, returns a report (JSON).
Handler = Callable[..., dict[str, Any]]


@dataclass(frozen=True)
class Kind:
    """A kind of job, with the name that people see."""

    name: str
    label: str | Promise
    handler: Handler
    hidden: bool


@dataclass
class _Running:
    job_id: int
    next_note: float = 0.0


_kinds: dict[str, Kind] = {}
#: The job that this thread is doing.
_running: ContextVar[_Running | None] = ContextVar("running", default=None)


def job_kind(label: str | Promise, *, hidden: bool = False) -> Callable[[Handler], Handler]:
    """Register the decorated function as the kind of job that bears its name.

    Args:
        label: what people call it.
        hidden: whether the list of jobs leaves it out while it goes well.
    """

    def register(handler: Handler) -> Handler:
        name = handler.__name__
        _kinds[name] = Kind(name, label, handler, hidden)
        return handler

    return register


def kind_label(name: str) -> str | Promise:
    """Return what people call a kind."""
    return _kinds[name].label if name in _kinds else name


def kinds_named(text: str) -> list[str]:
    """Return the kinds whose name, or what people call them in their language, holds `text`."""
    text = text.casefold()
    return [kind.name for kind in _kinds.values() if text in kind.name or text in str(kind.label).casefold()]


def shown() -> QuerySet[Job]:
    """Return the jobs that people are shown, newest first: hidden ones only where they failed."""
    return Job.objects.filter(~Q(kind__in=hidden_kinds()) | Q(state=Job.State.FAILED))


def hidden_kinds() -> list[str]:
    """Return the kinds that the list of jobs leaves out while they go well."""
    return [kind.name for kind in _kinds.values() if kind.hidden]


def start_job(
    kind: str, *, delay: timedelta = timedelta(0), expires_at: datetime | None = None, **arguments: Any
) -> Job:
    """Save a job in the current transaction, and send it to a worker once that commits and it is nearly due.

    Args:
        kind: a registered name.
        delay: how long to wait before it may run.
        expires_at: when it is too late for it to begin, or None for never.
        arguments: JSON values; ids, not objects.
    """
    if kind not in _kinds:
        raise ValueError(f"No such kind of job: {kind!r}.")
    job = Job.objects.create(
        kind=kind, arguments=arguments, due_at=timezone.now() + delay, expires_at=expires_at
    )
    if delay < SENT_LATER:
        transaction.on_commit(lambda: send(job))
    return job


def unfinished(kind: str) -> QuerySet[Job]:
    """Return the jobs of a kind that run, or wait for a worker; not those that are for later."""
    due = Q(state=Job.State.RUNNING) | Q(state=Job.State.QUEUED, due_at__lte=timezone.now())
    return Job.objects.filter(due, kind=kind)


def start_alone(kind: str, **arguments: Any) -> Job | None:
    """Start a job, unless one of its kind runs or waits for a worker; return it."""
    return None if unfinished(kind).exists() else start_job(kind, **arguments)


def cancel_job(job: Job) -> None:
    """Forget a job that is not needed any more, unless somebody has taken it."""
    Job.objects.filter(pk=job.pk, state=Job.State.QUEUED).delete()


def wait_for(job: Job, *, seconds: float) -> None:
    """Wait until a saved job has ended, whatever came of it, but not for long: without a worker it stays a row.

    Args:
        job: committed already, or no worker sees it.
        seconds: at most.
    """
    waiting = Job.objects.filter(pk=job.pk, state__in=[Job.State.QUEUED, Job.State.RUNNING])
    until = time.monotonic() + seconds
    while waiting.exists() and time.monotonic() < until:
        time.sleep(0.1)


def note_progress(report: dict[str, Any]) -> None:
    """Show on the page of the job that runs here how far it is. Saved once a second at most.

    Args:
        report: what is known so far (JSON); its lists are left out.
    """
    running = _running.get()
    if running is None or time.monotonic() < running.next_note:
        return
    running.next_note = time.monotonic() + NOTED_EVERY
    so_far = {name: value for name, value in report.items() if not isinstance(value, list | dict)}
    Job.objects.filter(pk=running.job_id).update(report=so_far, changed_at=timezone.now())


def send(job: Job) -> None:
    """Hand a saved job to Celery. Without Redis it stays a row, and beat sends it again."""
    from panel.core.tasks import run_job

    wait = max((job.due_at - timezone.now()).total_seconds(), 0)
    try:
        run_job.apply_async(args=(job.pk,), countdown=wait, retry=False)
    except (BrokerDown, RedisError, OSError) as err:
        logger.warning("Job %s waits for Redis: %s", job, err)


def run(job_id: int) -> None:
    """Run a job that is due and that nobody else has taken, and save what came of it.

    A job that raises is tried again with growing delays, then stays failed, its reason on the page of jobs.
    """
    now = timezone.now()
    in_time = Q(expires_at=None) | Q(expires_at__gt=now)
    taken = Job.objects.filter(
        in_time, pk=job_id, state=Job.State.QUEUED, due_at__lte=now + timedelta(seconds=1)
    ).update(
        state=Job.State.RUNNING,
        started_at=now,
        changed_at=now,
        attempts=F("attempts") + 1,
        worker=this_process(),
    )
    if not taken:
        return
    job = Job.objects.get(pk=job_id)
    try:
        with acting(Actor(kind="job", label=job.kind)):
            report = _do(job)
        with transaction.atomic():
            _finish(job, Job.State.DONE, report=report, error="")
    except Exception as err:
        logger.exception("Job %s failed", job)
        _note_failure(job, err)


def run_in_foreground(kind: str, **arguments: Any) -> Job:
    """Run a job of `kind` here and now, as a row like any other, and return it finished.

    Raises:
        Exception: whatever the handler raises, once the row says so.
    """
    now = timezone.now()
    job = Job.objects.create(
        kind=kind,
        arguments=arguments,
        due_at=now,
        started_at=now,
        state=Job.State.RUNNING,
        attempts=1,
        worker=this_process(),
        in_foreground=True,
    )
    try:
        report = _do(job)
    except BaseException as err:  # Ctrl-C too: the row must not say that it runs
        _finish(job, Job.State.FAILED, error=reason_of(err))
        raise
    _finish(job, Job.State.DONE, report=report, error="")
    return job


def send_due(now: datetime) -> int:
    """Send again what is due and was not taken, and queue again what was lost with its worker.

    Returns:
        how many jobs were sent.
    """
    _queue_lost(now)
    _end_expired(now)
    due = Job.objects.filter(state=Job.State.QUEUED, due_at__lt=now - SEND_AGAIN_AFTER).order_by("due_at")[
        :500
    ]
    for job in due:
        send(job)
    return len(due)


def forget_old(now: datetime) -> int:
    """Delete finished jobs older than settings.JOBS_KEPT. Returns how many."""
    finished = Job.objects.filter(state__in=ENDED, finished_at__lt=now - settings.JOBS_KEPT)
    return finished.delete()[0]


def unresolved() -> QuerySet[Job]:
    """Return the jobs that failed and that nobody has run again successfully since."""
    done = Job.objects.filter(state=Job.State.DONE).values("kind").annotate(last=Max("id"))
    last_done = {row["kind"]: row["last"] for row in done}
    failed = Job.objects.filter(state=Job.State.FAILED).order_by("-id")[:100]
    current = [job.pk for job in failed if job.pk > last_done.get(job.kind, 0)]
    return Job.objects.filter(pk__in=current)


def reason_of(err: BaseException) -> str:
    """Return what an error says; its kind too, where it was not made to be read by people."""
    return str(err) if isinstance(err, Problem | OSError) else f"{type(err).__name__}: {err}"


def _do(job: Job) -> dict[str, Any]:
    token = _running.set(_Running(job.pk))
    try:
        return _kinds[job.kind].handler(**job.arguments)
    finally:
        _running.reset(token)


def _queue_lost(now: datetime) -> None:
    """Queue again what runs no more: its process is gone, or it took longer than any may."""
    running = Job.objects.filter(state=Job.State.RUNNING)
    gone = [pk for pk, worker in running.values_list("pk", "worker") if is_gone(worker)]
    lost = running.filter(Q(pk__in=gone) | Q(started_at__lt=now - LOST_AFTER))
    lost.filter(Q(attempts__gte=MAX_ATTEMPTS) | Q(in_foreground=True)).update(
        state=Job.State.FAILED, finished_at=now, changed_at=now, error=LOST
    )
    lost.update(state=Job.State.QUEUED, due_at=now, changed_at=now)


def _end_expired(now: datetime) -> None:
    """End what the schedule started and no worker began in time; what failed until then has failed."""
    late = Job.objects.filter(state=Job.State.QUEUED, expires_at__lte=now)
    late.filter(attempts=0).update(state=Job.State.EXPIRED, finished_at=now, changed_at=now)
    late.update(state=Job.State.FAILED, finished_at=now, changed_at=now)


def _note_failure(job: Job, err: Exception) -> None:
    if job.attempts >= MAX_ATTEMPTS:
        _finish(job, Job.State.FAILED, error=reason_of(err))
        return
    job.state = Job.State.QUEUED
    job.due_at = timezone.now() + timedelta(seconds=5 * 4**job.attempts)
    job.error = reason_of(err)
    job.save(update_fields=["state", "due_at", "error", "changed_at"])
    send(job)


def _finish(job: Job, state: Job.State, *, error: str, report: dict[str, Any] | None = None) -> None:
    job.state = state
    job.finished_at = timezone.now()
    job.error = error
    job.report = report or {}
    job.save(update_fields=["state", "finished_at", "error", "report", "changed_at"])
