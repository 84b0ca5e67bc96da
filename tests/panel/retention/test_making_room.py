"""From nine tenths of the quota on the oldest copies end early, no more than is needed, and it is told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from panel.accounts.models import User
from panel.addresses.models import Mailbox
from panel.addresses.owners import owner_of
from panel.core import jobs
from panel.core.models import AuditEntry, Job
from panel.core.processes import process_named, this_process
from panel.retention import kept_copies, making_room, tasks
from panel.retention.models import KeptCopy
from tests.cast import Cast
from tests.panel.retention.dovecot import HidingDovecot

KB = 1024
HOUR = timedelta(hours=1)


@pytest.fixture
def full(cast: Cast, dovecot: HidingDovecot) -> Mailbox:
    """A mailbox of 100 KB that uses 95 KB: four copies, the newest with the lowest UID."""
    for uid in range(1, 5):
        dovecot.hide(cast.mailbox, uid, timezone.now() - uid * HOUR, size=4 * KB)
    kept_copies.end_due(now=timezone.now())
    for copy in KeptCopy.objects.all():
        at = timezone.now() - int(copy.guid.removeprefix("guid")) * HOUR
        KeptCopy.objects.filter(pk=copy.pk).update(first_seen_at=at, ends_from=at)
    Mailbox.objects.update(quota_bytes=100 * KB)
    dovecot.used[cast.mailbox.address] = 95 * KB
    dovecot.asked.clear()
    return Mailbox.objects.select_related("domain__customer").get()


def make_room() -> dict[str, Any] | None:
    """Run the job, if one is started."""
    tasks.start_making_room()
    job = Job.objects.filter(kind="make_room", state=Job.State.QUEUED).first()
    if job is None:
        return None
    Job.objects.update(state=Job.State.DONE)
    return tasks.make_room(**job.arguments)


def test_the_oldest_end_and_no_more_than_is_needed(full: Mailbox, dovecot: HidingDovecot) -> None:
    report = make_room()
    assert report is not None
    assert (report["mailboxes"], report["messages"], report["bytes"]) == (1, 2, 8 * KB)
    assert dovecot.ended == [4, 3]
    entry = AuditEntry.objects.get(action=kept_copies.ENDED_EARLY)
    assert (entry.target, entry.after) == (full.address, {"ended_messages": 2})


@pytest.mark.parametrize(("used", "ended"), [(89, 0), (90, 1), (94, 2), (100, 3), (120, 4)])
def test_from_nine_tenths_on(full: Mailbox, dovecot: HidingDovecot, used: int, ended: int) -> None:
    dovecot.used[full.address] = used * KB
    make_room()
    assert len(dovecot.ended) == ended


def test_without_a_quota_or_copies_nobody_is_asked(full: Mailbox, dovecot: HidingDovecot) -> None:
    Mailbox.objects.update(quota_bytes=None)
    assert make_room() is None
    Mailbox.objects.update(quota_bytes=100 * KB)
    KeptCopy.objects.all().delete()
    assert make_room() is None
    assert dovecot.asked == []


def test_only_what_changed_is_asked_about(full: Mailbox, dovecot: HidingDovecot) -> None:
    dovecot.used[full.address] = 10 * KB
    file = settings.DATA_DIR.mail / full.home / "Maildir" / "dovecot.list.index.log"
    file.write_bytes(b"1")
    for _twice in range(2):
        assert make_room() is None
    assert dovecot.asked == [full.address]
    file.write_bytes(b"12")
    dovecot.used[full.address] = 95 * KB
    assert make_room() is not None
    # A smaller quota is a change too.
    file.write_bytes(b"123")
    dovecot.used[full.address] = 50 * KB
    assert make_room() is None
    Mailbox.objects.update(quota_bytes=52 * KB)
    assert make_room() is not None


def test_a_job_that_waits_is_not_started_twice(full: Mailbox) -> None:
    for _twice in range(2):
        tasks.start_making_room()
    assert Job.objects.filter(kind="make_room").count() == 1


def test_a_job_that_was_lost_with_its_worker_is_sent_again_and_one_that_runs_long_is_waited_for(
    full: Mailbox,
) -> None:
    now = timezone.now()
    lost = Job.objects.create(
        kind="make_room",
        state=Job.State.RUNNING,
        due_at=now,
        started_at=now - timedelta(minutes=20),
        attempts=1,
        worker=this_process(),
    )
    assert making_room.start_where_needed() is None
    Job.objects.filter(pk=lost.pk).update(worker=f"{process_named(1)}0")  # the number was another process's
    jobs.send_due(now)
    lost.refresh_from_db()
    assert lost.state == Job.State.QUEUED
    assert making_room.start_where_needed() is None


def test_it_is_told_to_who_looks_after_it_and_to_its_owner(
    cast: Cast, full: Mailbox, signed_in: Callable[[User], Client]
) -> None:
    make_room()
    url = reverse("show_mailbox", args=[full.pk])
    owner = owner_of(full)
    assert owner is not None
    mailbox_owner = Client()
    mailbox_owner.force_login(owner, settings.AUTHENTICATION_BACKENDS[-1])
    for client in (signed_in(cast.reader), mailbox_owner):
        page = client.get(url).content.decode()
        assert "ended early" in page
        assert reverse("list_removed_mail", args=[full.pk]) in page
    home = signed_in(cast.owner).get(reverse("home")).content.decode()
    assert "1 mailbox was almost full" in home
    assert "almost full" not in signed_in(cast.stranger).get(reverse("home")).content.decode()
    later = timezone.now() + making_room.TOLD_FOR + HOUR
    assert making_room.last_ended_early(full, later) is None
