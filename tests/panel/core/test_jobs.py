"""Jobs: run once, tried again, found again after a loss, and seen when they fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.module_loading import import_string

from panel.accounts.models import User
from panel.core import jobs
from panel.core.errors import Problem
from panel.core.models import Job
from tests.cast import Cast

pytestmark = pytest.mark.django_db


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """Register a kind of job that notes its arguments, and sends nothing."""
    calls: list[dict[str, Any]] = []

    @jobs.job_kind("A test's job")
    def noted(**arguments: Any) -> dict[str, Any]:
        calls.append(arguments)
        if arguments.get("fail"):
            raise Problem("It cannot be done today.")
        return {"mailboxes": 3, "failures": []}

    monkeypatch.setattr(jobs, "send", lambda _job: None)
    yield calls
    jobs._kinds.pop("noted")


def test_job_runs_once(ran: list[dict[str, Any]]) -> None:
    job = jobs.start_job("noted", number=7)
    jobs.run(job.pk)
    jobs.run(job.pk)
    job.refresh_from_db()
    assert ran == [{"number": 7}]
    assert (job.state, job.attempts, job.report) == (Job.State.DONE, 1, {"mailboxes": 3, "failures": []})


def test_job_that_is_not_due_waits(ran: list[dict[str, Any]]) -> None:
    job = jobs.start_job("noted", delay=timedelta(minutes=5))
    jobs.run(job.pk)
    assert ran == []


def test_failing_job_is_tried_again_then_stays_failed(ran: list[dict[str, Any]]) -> None:
    job = jobs.start_job("noted", fail=True)
    delays = []
    for _attempt in range(jobs.MAX_ATTEMPTS):
        Job.objects.filter(pk=job.pk).update(due_at=timezone.now())
        jobs.run(job.pk)
        job.refresh_from_db()
        delays.append(job.due_at - timezone.now())
    assert len(ran) == jobs.MAX_ATTEMPTS
    assert (job.state, job.error) == (Job.State.FAILED, "It cannot be done today.")
    assert delays[0] < delays[1] < delays[2]
    assert list(jobs.unresolved()) == [job]


def test_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="No such kind"):
        jobs.start_job("nonsense")


def test_lost_jobs_are_sent_again(ran: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    job = jobs.start_job("noted")
    monkeypatch.setattr(jobs, "send", lambda job: sent.append(job.pk))
    now = timezone.now()
    assert jobs.send_due(now) == 0
    assert jobs.send_due(now + timedelta(minutes=1)) == 1
    Job.objects.filter(pk=job.pk).update(state=Job.State.RUNNING, started_at=now)
    assert jobs.send_due(now + timedelta(hours=1)) == 0
    assert jobs.send_due(now + jobs.LOST_AFTER + timedelta(minutes=1)) == 0
    assert jobs.send_due(now + jobs.LOST_AFTER + timedelta(minutes=2)) == 1
    assert sent == [job.pk, job.pk]


def test_nothing_is_lost_without_redis() -> None:
    job = jobs.start_job("check_mail")
    jobs.send(job)
    job.refresh_from_db()
    assert job.state == Job.State.QUEUED


def test_old_jobs_are_forgotten(ran: list[dict[str, Any]]) -> None:
    job = jobs.start_job("noted")
    jobs.run(job.pk)
    assert jobs.forget_old(timezone.now()) == 0
    assert jobs.forget_old(timezone.now() + settings.JOBS_KEPT + timedelta(minutes=1)) == 1


def test_a_job_for_later_is_sent_when_it_is_due(
    ran: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    sent: list[int] = []
    monkeypatch.setattr(jobs, "send", lambda job: sent.append(job.pk))
    with django_capture_on_commit_callbacks(execute=True):
        soon = jobs.start_job("noted", delay=timedelta(seconds=3))
        later = jobs.start_job("noted", delay=timedelta(minutes=1))
    assert sent == [soon.pk]
    jobs.send_due(timezone.now() + timedelta(seconds=80))
    assert later.pk in sent


def test_a_job_that_is_not_needed_is_forgotten_unless_it_runs(ran: list[dict[str, Any]]) -> None:
    job, running = jobs.start_job("noted"), jobs.start_job("noted")
    Job.objects.filter(pk=running.pk).update(state=Job.State.RUNNING)
    jobs.cancel_job(job)
    jobs.cancel_job(running)
    assert list(Job.objects.all()) == [running]


def test_a_running_job_shows_how_far_it_is(
    cast: Cast, ran: list[dict[str, Any]], signed_in: Callable[[User], Client]
) -> None:
    pages: list[str] = []

    @jobs.job_kind("A long one")
    def noted(**_arguments: Any) -> dict[str, Any]:
        jobs.note_progress({"mailboxes": 4711, "failures": ["not shown"]})
        job = Job.objects.get(kind="noted", state=Job.State.RUNNING)
        pages.append(signed_in(cast.admin).get(reverse("show_job", args=[job.pk])).content.decode())
        return {"mailboxes": 4712}

    job = jobs.start_job("noted")
    jobs.run(job.pk)
    assert "4711" in pages[0]
    assert "data-poll" in pages[0]
    job.refresh_from_db()
    assert job.report == {"mailboxes": 4712}
    jobs.note_progress({"mailboxes": 1})  # nothing runs here now
    job.refresh_from_db()
    assert job.report == {"mailboxes": 4712}


def test_schedule_names_tasks_and_kinds_that_exist() -> None:
    schedule: dict[str, dict[str, Any]] = settings.CELERY_BEAT_SCHEDULE
    for entry in schedule.values():
        assert callable(import_string(entry["task"]))
        if entry["task"].endswith(".start_scheduled"):
            assert entry["args"][0] in jobs._kinds


def test_pages_show_what_failed(
    cast: Cast, ran: list[dict[str, Any]], signed_in: Callable[[User], Client]
) -> None:
    with pytest.raises(Problem):
        jobs.run_in_foreground("noted", fail=True)
    client = signed_in(cast.admin)
    page = client.get(reverse("list_jobs"))
    assert "It cannot be done today." in page.content.decode()
    since = page.context["cursor"]
    assert client.get(reverse("list_jobs"), {"since": since}).status_code == 204
    job = Job.objects.get(kind="noted")
    assert "It cannot be done today." in client.get(reverse("show_job", args=[job.pk])).content.decode()
    assert "It cannot be done today." in client.get(reverse("home")).content.decode()
    jobs.run_in_foreground("noted")
    assert client.get(reverse("list_jobs"), {"since": since}).status_code == 200
    assert "It cannot be done today." not in client.get(reverse("home")).content.decode()


def test_jobs_are_admins(cast: Cast, signed_in: Callable[[User], Client]) -> None:
    assert signed_in(cast.owner).get(reverse("list_jobs")).status_code == 403
    assert signed_in(cast.owner).get(reverse("show_job", args=[1])).status_code == 403
