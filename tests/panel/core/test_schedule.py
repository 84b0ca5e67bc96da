"""The schedule: started once at a time, paused, run by hand, expired, and found again after its worker died."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from celery.schedules import crontab
from django.conf import LazySettings, settings
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from panel.accounts.models import User
from panel.core import jobs, schedule, tasks
from panel.core.errors import Problem
from panel.core.models import AuditEntry, Job, Scheduled
from panel.core.processes import is_gone, process_named, this_process
from panel.core.schedule_views import in_words
from tests.cast import Cast

pytestmark = pytest.mark.django_db


@pytest.fixture
def looked(settings: LazySettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Put a job and a look into the schedule, alone; return what the look saw, or raises of it."""
    seen: list[str] = []

    @jobs.job_kind("A nightly thing")
    def nightly(**_arguments: Any) -> dict[str, Any]:
        return {}

    @schedule.look("A look")
    def glance() -> None:
        seen.append("looked")
        if "fail" in seen:
            raise Problem("Nothing can be seen.")

    monkeypatch.setattr(jobs, "send", lambda _job: None)
    settings.CELERY_BEAT_SCHEDULE = {
        "night": {
            "task": schedule.STARTS,
            "args": ["nightly", {"repair": True}],
            "schedule": crontab(hour=3, minute=17),
        },
        "glance": {"task": schedule.LOOKS, "args": ["glance"], "schedule": 30.0},
    }
    yield seen
    jobs._kinds.pop("nightly")
    schedule._looks.pop("glance")


def test_the_clock_starts_a_job_with_its_arguments_until_its_next_run(looked: list[str]) -> None:
    tasks.start_scheduled("nightly", {})
    job = Job.objects.get(kind="nightly")
    assert job.arguments == {"repair": True}
    entry = schedule.entry_named("nightly")
    assert entry is not None
    assert job.expires_at is not None
    assert abs(job.expires_at - entry.next_run(None)) < timedelta(minutes=1)
    assert Scheduled.objects.get(name="nightly").job == job


def test_nothing_of_the_schedule_overlaps(looked: list[str]) -> None:
    tasks.start_scheduled("nightly")
    tasks.start_scheduled("nightly")
    assert Job.objects.filter(kind="nightly").count() == 1
    Job.objects.update(state=Job.State.RUNNING)
    tasks.start_scheduled("nightly")
    assert Job.objects.filter(kind="nightly").count() == 1
    Job.objects.update(state=Job.State.DONE)
    tasks.start_scheduled("nightly")
    assert Job.objects.filter(kind="nightly").count() == 2


def test_a_look_that_runs_is_not_started_again_unless_it_was_lost(looked: list[str]) -> None:
    Scheduled.objects.create(name="glance", running_since=timezone.now())
    tasks.run_look("glance")
    assert looked == []
    Scheduled.objects.update(running_since=timezone.now() - schedule.LOST_AFTER - timedelta(seconds=1))
    tasks.run_look("glance")
    assert looked == ["looked"]
    row = Scheduled.objects.get(name="glance")
    assert row.running_since is None
    assert row.took is not None


def test_a_look_that_fails_says_why_and_looks_again(
    looked: list[str], cast: Cast, signed_in: Callable[[User], Client]
) -> None:
    looked.append("fail")
    tasks.run_look("glance")
    page = signed_in(cast.admin).get(reverse("list_scheduled_jobs")).content.decode()
    assert "Nothing can be seen." in page
    looked.clear()
    tasks.run_look("glance")
    assert Scheduled.objects.get(name="glance").error == ""


def test_what_nobody_began_in_time_makes_way(looked: list[str]) -> None:
    tasks.start_scheduled("nightly")
    first = Job.objects.get(kind="nightly")
    assert first.expires_at is not None
    jobs.send_due(first.expires_at - timedelta(seconds=1))
    first.refresh_from_db()
    assert first.state == Job.State.QUEUED
    jobs.send_due(first.expires_at)
    first.refresh_from_db()
    assert first.state == Job.State.EXPIRED
    assert not jobs.unresolved().exists()
    jobs.run(first.pk)
    first.refresh_from_db()
    assert first.attempts == 0


def test_a_late_job_that_failed_before_has_failed(looked: list[str]) -> None:
    job = jobs.start_job("nightly", expires_at=timezone.now() - timedelta(seconds=1))
    Job.objects.update(attempts=2, error="It cannot be done today.")
    jobs.run(job.pk)
    jobs.send_due(timezone.now())
    job.refresh_from_db()
    assert (job.state, job.error, job.attempts) == (Job.State.FAILED, "It cannot be done today.", 2)


def test_what_is_paused_is_not_started_by_the_clock(
    looked: list[str], cast: Cast, signed_in: Callable[[User], Client]
) -> None:
    client = signed_in(cast.admin)
    client.post(reverse("pause_scheduled_job", args=["nightly"]))
    tasks.start_scheduled("nightly")
    assert not Job.objects.filter(kind="nightly").exists()
    page = client.get(reverse("list_scheduled_jobs")).content.decode()
    assert "1 job is paused" in page
    assert str(cast.admin) in page
    assert "A nightly thing" in client.get(reverse("home")).content.decode()
    again = client.post(reverse("pause_scheduled_job", args=["nightly"]), follow=True)
    assert "It is paused already." in again.content.decode()
    answer = client.post(reverse("run_scheduled_job", args=["nightly"]))
    job = Job.objects.get(kind="nightly")
    assert answer.headers["Location"] == reverse("show_job", args=[job.pk])
    assert job.expires_at is None
    client.post(reverse("resume_scheduled_job", args=["nightly"]))
    Job.objects.update(state=Job.State.DONE)
    tasks.start_scheduled("nightly")
    assert Job.objects.filter(kind="nightly").count() == 2
    actions = AuditEntry.objects.filter(target="nightly").order_by("pk").values_list("action", "actor")
    assert list(actions) == [
        ("scheduled.paused", str(cast.admin)),
        ("scheduled.run", str(cast.admin)),
        ("scheduled.resumed", str(cast.admin)),
    ]


def test_run_now_while_it_runs_says_so(
    looked: list[str], cast: Cast, signed_in: Callable[[User], Client]
) -> None:
    client = signed_in(cast.admin)
    jobs.start_job("nightly")
    page = client.post(reverse("run_scheduled_job", args=["nightly"]), follow=True).content.decode()
    assert "It is being done already" in page
    Scheduled.objects.update_or_create(name="glance", defaults={"running_since": timezone.now()})
    page = client.post(reverse("run_scheduled_job", args=["glance"]), follow=True).content.decode()
    assert "It is being done already" in page
    assert looked == []


def test_the_schedule_is_the_administrators(
    looked: list[str], cast: Cast, signed_in: Callable[[User], Client]
) -> None:
    owner, admin = signed_in(cast.owner), signed_in(cast.admin)
    assert owner.get(reverse("list_scheduled_jobs")).status_code == 403
    for verb in ("run", "pause", "resume"):
        assert owner.post(reverse(f"{verb}_scheduled_job", args=["nightly"])).status_code == 403
        assert admin.get(reverse(f"{verb}_scheduled_job", args=["nightly"])).status_code == 405
        assert admin.post(reverse(f"{verb}_scheduled_job", args=["nothing"])).status_code == 404
    assert not Job.objects.filter(kind="nightly").exists()


def test_every_entry_is_shown_with_its_next_run(cast: Cast, signed_in: Callable[[User], Client]) -> None:
    page = signed_in(cast.admin).get(reverse("list_scheduled_jobs"))
    lines = page.context["lines"]
    assert len(lines) == len(settings.CELERY_BEAT_SCHEDULE) - 2
    assert all(line.next_at >= timezone.now() - timedelta(minutes=1) for line in lines)
    assert all(line.label != line.name for line in lines)


def test_times_are_told_in_words() -> None:
    said = [in_words(schedule._schedule(each)) for each in (30.0, 60.0, 300.0, crontab(minute=23))]
    assert said == ["every 30 seconds", "every minute", "every 5 minutes", "every hour, 23 minutes past"]
    assert in_words(crontab(hour=2, minute=37)) == "every day at 2:37 a.m."


def test_a_job_whose_process_died_is_queued_again_at_once(looked: list[str]) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    name = process_named(process.pid)
    lost, kept = jobs.start_job("nightly"), jobs.start_job("nightly")
    now = timezone.now()
    Job.objects.update(state=Job.State.RUNNING, started_at=now, attempts=1)
    Job.objects.filter(pk=lost.pk).update(worker=name)
    Job.objects.filter(pk=kept.pk).update(worker=this_process())
    jobs.send_due(now)
    assert not is_gone(name)
    assert Job.objects.filter(state=Job.State.RUNNING).count() == 2
    process.kill()
    process.wait()
    jobs.send_due(now)
    lost.refresh_from_db()
    kept.refresh_from_db()
    assert (lost.state, kept.state) == (Job.State.QUEUED, Job.State.RUNNING)


def test_a_command_whose_process_died_has_failed(looked: list[str]) -> None:
    job = jobs.run_in_foreground("nightly")
    assert job.worker == this_process()
    machine = this_process().partition(" ")[0]
    Job.objects.update(state=Job.State.RUNNING, finished_at=None, worker=f"{machine} 4194305 1")
    jobs.send_due(timezone.now())
    job.refresh_from_db()
    assert (job.state, job.error) == (Job.State.FAILED, jobs.LOST)


def test_what_is_not_known_of_a_process_is_not_taken_for_its_end() -> None:
    pid_and_start = this_process().partition(" ")[2]
    assert not is_gone(f"elsewhere/1234 {pid_and_start}")
    assert not is_gone("")
    host = this_process().partition("/")[0]
    assert is_gone(f"{host}/of-before-the-restart {pid_and_start}")
