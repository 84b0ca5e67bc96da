"""Celery's side of jobs: thin."""

from __future__ import annotations

import time
from typing import Any

from celery import shared_task
from celery.signals import worker_ready
from django.core.cache import cache
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from panel.core import jobs, schedule
from panel.core.schedule import look

#: Where the worker notes that it lives, and for how long that counts. Seconds.
WORKER_SEEN, WORKER_SEEN_FOR = "worker-seen", 60


@shared_task
def run_job(job_id: int) -> None:
    """Run one job."""
    jobs.run(job_id)


@shared_task
def start_scheduled(kind: str, _arguments: dict[str, Any] | None = None) -> None:
    """Start a job of the schedule, as a row like any other."""
    schedule.run(kind)


@shared_task(name=schedule.LOOKS)
def run_look(name: str) -> None:
    """Look whether there is something to do."""
    schedule.run(name)


@shared_task
def send_due_jobs() -> None:
    """Send again what Redis lost."""
    jobs.send_due(timezone.now())


@look(_("Forgetting old jobs"))
def forget_old_jobs() -> None:
    """Keep the list of jobs short."""
    jobs.forget_old(timezone.now())


@shared_task
def note_worker() -> None:
    """Note that a worker takes tasks."""
    cache.set(WORKER_SEEN, time.time(), WORKER_SEEN_FOR)


@worker_ready.connect
def _note_started_worker(**_kwargs: Any) -> None:
    note_worker()
