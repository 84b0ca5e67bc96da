"""Runs of the rules: what is due, that just that is purged, once, and what becomes of a run that is cut off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.utils import timezone

from mailbackend.dovecot.doveadm import DoveadmError, NobodyListens, UnknownMailbox
from panel.addresses import holding, services
from panel.addresses.models import Mailbox
from panel.addresses.services import create_mailbox
from panel.core import jobs
from panel.core.models import AuditEntry, Job
from panel.retention import changing, due, orders, purging, runs, tasks
from panel.retention.changing import propose
from panel.retention.models import PurgeItem, PurgeRun, RetentionRule, RuleChange
from panel.retention.rules import said_at
from tests.cast import PASSWORD, Cast
from tests.panel.retention.folders import FolderDovecot
from tests.panel.retention.rule_rows import DAY, confirmed, rule

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


class Lost(BaseException):
    """A process that is killed."""


@pytest.fixture(autouse=True)
def nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave jobs as rows."""
    monkeypatch.setattr(jobs, "send", lambda _job: None)


def counted(now: datetime = NOW, kind: PurgeRun.Kind = PurgeRun.Kind.ASKED) -> PurgeRun:
    run = runs.start_run(kind, now)
    assert runs.count(run)
    run.refresh_from_db()
    return run


def purged(run: PurgeRun) -> PurgeRun:
    assert runs.begin(run)
    assert runs.purge(run)
    run.refresh_from_db()
    return run


def figures(run: PurgeRun) -> tuple[int, int, int]:
    return run.purged_mailboxes, run.purged_messages, run.purged_bytes


def waiting_jobs(kind: str, run: PurgeRun) -> int:
    return Job.objects.filter(kind=kind, state=Job.State.QUEUED, arguments__run=run.pk).count()


@pytest.mark.parametrize(
    ("days", "words"), [(1, "Trash: 1 day (the platform)"), (2, "Trash: 2 days (the platform)")]
)
def test_a_rule_is_kept_in_words(cast: Cast, days: int, words: str) -> None:
    rule(None, "Trash", days)
    (effective,) = said_at(None)
    assert runs.in_words(effective) == words


def test_what_is_older_than_its_days_is_due_and_goes_and_nothing_else(
    cast: Cast, folders: FolderDovecot
) -> None:
    rule(None, "Trash", 30)
    folders.save(cast.mailbox, "Trash", NOW - 31 * DAY, 3)
    folders.save(cast.mailbox, "Trash", NOW - 29 * DAY, 2)
    folders.save(cast.mailbox, "INBOX", NOW - 400 * DAY, 2)
    run = counted()
    assert (run.state, run.mailboxes, run.messages, run.bytes) == (PurgeRun.State.COUNTED, 1, 3, 300)
    assert (run.oldest, run.newest) == (NOW - 31 * DAY, NOW - 31 * DAY)
    assert folders.uids(cast.mailbox, "Trash") == [1, 2, 3, 4, 5]
    run = purged(run)
    assert (run.state, figures(run)) == (PurgeRun.State.DONE, (1, 3, 300))
    assert folders.uids(cast.mailbox, "Trash") == [4, 5]
    assert folders.uids(cast.mailbox, "INBOX") == [1, 2]
    entry = AuditEntry.objects.get(action=orders.PURGED)
    assert entry.after == {
        "purged_messages": 3,
        "rule_folder": "Trash",
        "rule": "Trash: 30 days (the platform)",
    }


def test_a_message_is_due_the_second_after_its_days(cast: Cast, folders: FolderDovecot) -> None:
    rule(None, "Trash", 30)
    folders.save(cast.mailbox, "Trash", NOW)
    second = timedelta(seconds=1)
    assert counted(NOW + 30 * DAY).messages == 0
    assert counted(NOW + 30 * DAY + second).messages == 1


@pytest.mark.parametrize(
    "saved",
    [
        datetime(2026, 3, 28, 2, 30, tzinfo=UTC),  # the night before clocks go forward in Europe
        datetime(2026, 10, 24, 2, 30, tzinfo=UTC),  # and back
        datetime(2028, 2, 28, 23, 59, 59, tzinfo=UTC),  # before a leap day
        datetime(2027, 12, 31, 23, 59, 59, tzinfo=UTC),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Europe/Paris", "Pacific/Apia"])
def test_days_are_of_24_hours_whatever_the_calendar_says(
    cast: Cast, folders: FolderDovecot, settings: LazySettings, saved: datetime, zone: str
) -> None:
    settings.TIME_ZONE = zone
    with timezone.override(zone):
        rule(None, "Trash", 2)
        folders.save(cast.mailbox, "Trash", saved)
        assert counted(saved + timedelta(hours=48)).messages == 0
        assert counted(saved + timedelta(hours=48, seconds=1)).messages == 1


def test_the_nearest_rule_counts_and_holds_below_its_folder(cast: Cast, folders: FolderDovecot) -> None:
    other = create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD)
    rule(None, "Trash", 30)
    rule(cast.domain, "Trash", 60)
    rule(other, "Trash", None)
    rule(None, "INBOX", 90)
    for box in (cast.mailbox, other):
        for folder in ("Trash", "Trash/old", "INBOX", "INBOX/sub", "Trashy"):
            folders.save(box, folder, NOW - 100 * DAY)
            folders.save(box, folder, NOW - 40 * DAY)
    run = purged(counted())
    assert {(item.mailbox_id, item.folder, item.messages) for item in run.items.all()} == {
        (cast.mailbox.pk, "Trash", 1),
        (cast.mailbox.pk, "Trash/old", 1),
        (cast.mailbox.pk, "INBOX", 1),
        (other.pk, "INBOX", 1),
    }
    assert figures(run) == (2, 4, 400)


def test_a_folder_whose_name_has_wildcards_is_left_alone_and_told(cast: Cast, folders: FolderDovecot) -> None:
    rule(None, "Trash", 30)
    folders.save(cast.mailbox, "Trash/100%", NOW - 40 * DAY)
    run = purged(counted())
    assert folders.uids(cast.mailbox, "Trash/100%") == [1]
    assert run.failures == 1
    assert "stand for any letters" in runs.report_of(run).failures[0].problem


@pytest.mark.parametrize("kept", ["held", "deleted", "longer", "never"])
def test_what_is_kept_by_the_time_of_the_purge_is_left_alone(
    cast: Cast, folders: FolderDovecot, kept: str
) -> None:
    rule(None, "Trash", 30)
    folders.save(cast.mailbox, "Trash", NOW - 40 * DAY)
    run = counted()
    if kept == "held":
        holding.hold(mailbox=cast.mailbox, reason="case 7")
    elif kept == "deleted":
        services.delete_mailbox(mailbox=cast.mailbox)
    else:
        rule(cast.mailbox, "Trash", 60 if kept == "longer" else None)
    run = purged(run)
    assert folders.uids(cast.mailbox, "Trash") == [1]
    item = run.items.get()
    assert (item.state, item.busy, run.state) == (PurgeItem.State.LEFT, False, PurgeRun.State.DONE)
    assert item.error


def test_a_held_mailbox_is_not_counted(cast: Cast, folders: FolderDovecot) -> None:
    rule(None, "Trash", 30)
    folders.save(cast.mailbox, "Trash", NOW - 40 * DAY)
    holding.hold(mailbox=cast.mailbox, reason="case 7")
    assert counted().messages == 0


def test_one_mailbox_that_fails_keeps_nobody_waiting_and_is_tried_again(
    cast: Cast, folders: FolderDovecot
) -> None:
    other = create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD)
    rule(None, "Trash", 30)
    for box in (cast.mailbox, other):
        folders.save(box, "Trash", NOW - 40 * DAY)
    run = counted()
    folders.trouble[cast.mailbox.address] = DoveadmError("It is broken.")
    assert runs.begin(run)
    assert runs.purge(run)
    run.refresh_from_db()
    assert (run.state, run.purged_messages) == (PurgeRun.State.PURGING, 1)
    item = run.items.get(mailbox=cast.mailbox)
    assert (item.state, item.attempts, item.error) == (PurgeItem.State.WAITING, 1, "It is broken.")
    assert item.next_at is not None
    assert runs.to_be_resumed(timezone.now()) == []
    assert runs.to_be_resumed(item.next_at) == [(run, runs.PURGING)]
    for _attempt in orders.RETRY_AFTER:
        PurgeItem.objects.update(next_at=None)
        runs.purge(run)
    run.refresh_from_db()
    item.refresh_from_db()
    assert (item.state, run.failures, run.state) == (PurgeItem.State.FAILED, 1, PurgeRun.State.DONE)
    assert runs.report_of(run).failures[0].problem == "It is broken."


def boxes(cast: Cast, number: int) -> list[Mailbox]:
    names = [f"box{each}" for each in range(number)]
    return [create_mailbox(domain=cast.domain, local_part=name, password=PASSWORD) for name in names]


def test_several_mailboxes_go_in_one_order_of_a_bounded_number_of_messages(
    cast: Cast, folders: FolderDovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders, "AT_ONCE", 5)
    rule(None, "Trash", 30)
    rule(None, "Junk", 30)
    several = boxes(cast, 3)
    for box in several:
        folders.save(box, "Trash", NOW - 40 * DAY, 3)
    folders.save(several[0], "Junk", NOW - 40 * DAY, 12)
    run = purged(counted())
    assert (run.state, figures(run)) == (PurgeRun.State.DONE, (3, 21, 2100))
    assert sum(folders.orders) == 21
    assert max(folders.orders) <= 2 * 5
    assert len(folders.orders) < 7
    entries = AuditEntry.objects.filter(action=orders.PURGED).values_list("after__purged_messages", flat=True)
    assert max(entries) == 5
    assert AuditEntry.objects.filter(action=orders.PURGED, after__rule_folder="Junk").count() == 3


def test_a_mailbox_refused_in_an_order_of_several_keeps_its_messages_and_they_are_not_counted(
    cast: Cast, folders: FolderDovecot
) -> None:
    rule(None, "Trash", 30)
    first, second, third = boxes(cast, 3)
    for box in (first, second, third):
        folders.save(box, "Trash", NOW - 40 * DAY, 2)
    folders.refused = {
        first.address: DoveadmError("It is broken."),
        third.address: UnknownMailbox(third.address),
    }
    run = purged(counted())
    assert figures(run) == (1, 2, 200)
    states = dict(run.items.values_list("mailbox__local_part", "state"))
    assert states == {"box0": "waiting", "box1": "done", "box2": "left"}
    assert run.items.get(mailbox=first).busy  # It is not known yet what went.
    folders.refused = {}
    PurgeItem.objects.update(next_at=None)
    assert figures(purged(run)) == (2, 4, 400)


def test_where_a_request_fails_as_a_whole_its_mailboxes_are_tried_alone(
    cast: Cast, folders: FolderDovecot
) -> None:
    rule(None, "Trash", 30)
    for box in boxes(cast, 3):
        folders.save(box, "Trash", NOW - 40 * DAY, 2)
    run = counted()

    folders.ends_without_an_answer = lambda asked: len(asked) > 1
    run = purged(run)
    # Of three, two were in the one request and the third in the other.
    assert figures(run) == (1, 2, 200)
    assert sorted(run.items.values_list("state", "attempts")) == [("done", 0), ("waiting", 1), ("waiting", 1)]
    PurgeItem.objects.update(next_at=None)
    assert figures(purged(run)) == (3, 6, 600)
    assert folders.orders == [2, 2, 2]


def test_without_the_mail_service_the_job_fails_and_the_run_goes_on_later(
    cast: Cast, folders: FolderDovecot
) -> None:
    rule(None, "Trash", 30)
    folders.save(cast.mailbox, "Trash", NOW - 40 * DAY)
    run = counted()
    folders.down = NobodyListens("Nobody.")
    assert runs.begin(run)
    with pytest.raises(NobodyListens):
        runs.purge(run)
    folders.down = None
    assert (run, runs.PURGING) in runs.to_be_resumed(timezone.now())
    assert figures(purged(run)) == (1, 1, 100)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_process_killed_around_an_order_leaves_true_figures(
    cast: Cast, folders: FolderDovecot, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders, "AT_ONCE", 2)
    rule(None, "Trash", 30)
    folders.save(cast.mailbox, "Trash", NOW - 40 * DAY, 5)
    run = counted()
    assert runs.begin(run)
    killed: list[int] = []

    def kill() -> None:
        if len(folders.orders) == 1 + (when == "after") and not killed:
            killed.append(1)
            raise Lost

    setattr(folders, f"{when}_end", kill)
    with pytest.raises(Lost):
        runs.purge(run)
    item = run.items.get()
    assert item.busy
    assert len(item.in_flight) == 2
    assert item.purged_messages == 2
    assert runs.to_be_resumed(timezone.now()) == [(run, runs.PURGING)]
    run = purged(run)
    assert folders.uids(cast.mailbox, "Trash") == []
    assert (run.state, figures(run)) == (PurgeRun.State.DONE, (1, 5, 500))
    item.refresh_from_db()
    assert (item.purged_messages, item.busy, item.in_flight) == (5, False, [])


def test_two_runs_are_never_at_work_in_one_mailbox_and_count_each_message_once(
    cast: Cast, folders: FolderDovecot
) -> None:
    rule(None, "Trash", 30)
    folders.save(cast.mailbox, "Trash", NOW - 40 * DAY, 3)
    first, second = counted(), counted()
    for run in (first, second):
        assert runs.begin(run)
    PurgeItem.objects.filter(run=first).update(busy=True)
    assert runs.purge(second)
    assert folders.uids(cast.mailbox, "Trash") == [1, 2, 3]
    item = second.items.get()
    assert (item.state, item.attempts, item.busy) == (PurgeItem.State.WAITING, 0, False)
    assert figures(purged(first)) == (1, 3, 300)
    PurgeItem.objects.update(next_at=None)
    assert figures(purged(second)) == (0, 0, 0)
    assert second.state == PurgeRun.State.DONE


def test_a_run_that_was_cancelled_while_it_was_at_work_does_not_block_the_mailbox(
    cast: Cast, folders: FolderDovecot
) -> None:
    rule(None, "Trash", 30)
    folders.save(cast.mailbox, "Trash", NOW - 40 * DAY, 3)
    first = counted()
    assert runs.begin(first)
    # Killed after the order for two of them, before it was counted.
    PurgeItem.objects.update(busy=True, in_flight=[[1, 100], [2, 100], [3, 100]])
    del folders.folders[cast.mailbox.address]["Trash"][1]
    del folders.folders[cast.mailbox.address]["Trash"][2]
    runs.cancel(first)
    assert figures(purged(counted())) == (1, 1, 100)
    first.refresh_from_db()
    assert figures(first) == (1, 2, 200)


def test_a_cancelled_run_purges_nothing_more(
    cast: Cast, folders: FolderDovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders, "AT_ONCE", 2)
    rule(None, "Trash", 30)
    folders.save(cast.mailbox, "Trash", NOW - 40 * DAY, 5)
    run = counted()
    assert runs.begin(run)
    asked: list[int] = []
    real = orders._count

    def count_then_cancel(*arguments: Any) -> None:
        real(*arguments)
        asked.append(1)
        runs.cancel(run)

    monkeypatch.setattr(orders, "_count", count_then_cancel)
    assert runs.purge(run)
    run.refresh_from_db()
    assert (run.state, run.purged_messages) == (PurgeRun.State.CANCELLED, 2)
    assert folders.uids(cast.mailbox, "Trash") == [3, 4, 5]
    assert not run.items.get().busy


def test_counting_goes_on_where_it_was_cut_off(
    cast: Cast, folders: FolderDovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due, "PAGE", 1)
    rule(None, "Trash", 30)
    boxes = [cast.mailbox, create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD)]
    for box in boxes:
        folders.save(box, "Trash", NOW - 40 * DAY)
    run = runs.start_run(PurgeRun.Kind.ASKED, NOW)
    monkeypatch.setattr(runs, "AT_A_TIME", -1.0)
    assert not runs.count(run)
    run.refresh_from_db()
    assert (run.looked_at, run.messages, run.state) == (1, 1, PurgeRun.State.COUNTING)
    assert runs.to_be_resumed(timezone.now()) == [(run, runs.COUNTING)]
    assert not runs.count(run)
    assert runs.count(run)
    run.refresh_from_db()
    assert (run.looked_at, run.mailboxes, run.messages, run.state) == (2, 2, 2, PurgeRun.State.COUNTED)


def test_a_night_that_would_purge_far_more_than_those_before_stops_and_asks(
    cast: Cast, folders: FolderDovecot, settings: LazySettings
) -> None:
    settings.PURGE_STOPS_FROM = 10
    rule(None, "Trash", 30)
    folders.save(cast.mailbox, "Trash", NOW - 40 * DAY, 9)
    night = purged(counted(kind=PurgeRun.Kind.NIGHTLY))
    assert night.purged_messages == 9
    folders.save(cast.mailbox, "Trash", NOW - 40 * DAY, 28)
    run = counted(kind=PurgeRun.Kind.NIGHTLY)
    assert not runs.begin(run)
    assert run.state == PurgeRun.State.STOPPED
    assert "28 messages" in run.stopped_because
    tasks.purge_by_rules(run=run.pk)
    assert len(folders.uids(cast.mailbox, "Trash")) == 28
    runs.allow(run, by=cast.admin)
    tasks.purge_by_rules(run=run.pk)
    run.refresh_from_db()
    assert (run.state, run.purged_messages) == (PurgeRun.State.DONE, 28)
    assert folders.uids(cast.mailbox, "Trash") == []


def test_a_run_that_finds_far_more_than_it_counted_stops(
    cast: Cast, folders: FolderDovecot, settings: LazySettings
) -> None:
    settings.PURGE_STOPS_FROM = 10
    rule(None, "Trash", 30)
    folders.save(cast.mailbox, "Trash", NOW - 40 * DAY, 2)
    run = counted()
    folders.save(cast.mailbox, "Trash", NOW - 40 * DAY, 20)
    assert runs.begin(run)
    assert runs.purge(run)
    run.refresh_from_db()
    assert (run.state, run.purged_messages) == (PurgeRun.State.STOPPED, 0)
    assert not run.items.get().busy
    assert len(folders.uids(cast.mailbox, "Trash")) == 22


def test_a_change_is_counted_and_purged_for_the_moment_at_which_it_starts(
    cast: Cast, folders: FolderDovecot
) -> None:
    rule(cast.domain, "Trash", 60)
    folders.save(cast.mailbox, "Trash", timezone.now() - timedelta(days=29, hours=12))
    folders.save(cast.mailbox, "Trash", timezone.now() - 70 * DAY)
    folders.save(cast.mailbox, "Trash", timezone.now() - 20 * DAY)
    change = propose(cast.domain, "Trash", 30, by=cast.admin)
    assert change is not None
    run = runs.preview_of(change)
    assert run is not None
    assert waiting_jobs(runs.COUNTING, run) == 1
    tasks.count_purge(run=run.pk)
    shown = changing.figures_of(change)
    assert shown is not None
    assert (shown.messages, waiting_jobs(runs.PURGING, run)) == (2, 0)
    changing.confirm(change, shown)
    purging.start_changes(now=change.starts_at - timedelta(seconds=1))
    assert waiting_jobs(runs.PURGING, run) == 0
    purging.start_changes(now=change.starts_at)
    purging.start_changes(now=change.starts_at)
    assert waiting_jobs(runs.PURGING, run) == 1
    tasks.purge_by_rules(run=run.pk)
    run.refresh_from_db()
    assert (run.state, run.purged_messages) == (PurgeRun.State.DONE, 2)
    assert folders.uids(cast.mailbox, "Trash") == [3]


def previewed(change: RuleChange | None) -> tuple[RuleChange, PurgeRun, changing.Figures]:
    """Count what a change would end."""
    assert change is not None
    run = runs.preview_of(change)
    assert run is not None
    assert runs.count(run)
    figures = changing.figures_of(change)
    assert figures is not None
    return change, run, figures


def test_a_preview_counts_with_what_starts_before_it(cast: Cast, folders: FolderDovecot) -> None:
    """Otherwise nobody is told: what is given up first inherits more days when it is counted."""
    folders.save(cast.mailbox, "Trash", timezone.now() - 20 * DAY, 4)
    rule(None, "Trash", 90)
    rule(cast.mailbox, "Trash", None)
    first, _run, found = previewed(propose(cast.mailbox, "Trash", None, inherit=True))
    changing.confirm(first, found)
    second, run, found = previewed(propose(cast.domain, "Trash", 7))
    assert found.messages == 4
    changing.cancel(first)
    changing.confirm(second, found)
    changing.start_due(second.starts_at)
    run = purged(run)
    assert (run.state, run.purged_messages, run.items.get().state) == ("done", 0, PurgeItem.State.LEFT)


def test_a_cancelled_change_purges_nothing(cast: Cast, folders: FolderDovecot) -> None:
    folders.save(cast.mailbox, "Trash", timezone.now() - 70 * DAY)
    change = confirmed(None, "Trash", 30)
    run = runs.preview_of(change)
    assert run is not None
    changing.cancel(change)
    purging.start_changes(now=change.starts_at + DAY)
    assert waiting_jobs(runs.PURGING, run) == 0
    assert not RetentionRule.objects.exists()
    assert counted(change.starts_at + DAY).messages == 0


def test_what_a_dry_run_says_is_what_the_purge_does(cast: Cast, folders: FolderDovecot) -> None:
    at = timezone.now() + 2 * DAY
    folders.save(cast.mailbox, "Trash", at - 31 * DAY, 3)
    folders.save(cast.mailbox, "Trash", at - 29 * DAY, 2)
    folders.save(cast.mailbox, "Junk", at - 8 * DAY, 4)
    rule(cast.customer, "Junk", 7)
    confirmed(None, "Trash", 30)  # waits still, and starts until then
    said = purging.count_by_rules(now=at)
    assert (said.mailboxes, said.messages, said.bytes) == (1, 7, 700)
    assert not PurgeItem.objects.exists()
    done = purging.purge_by_rules(now=at)
    assert (done.messages, done.bytes, done.failures) == (7, 700, [])
    assert purging.count_by_rules(now=at).messages == 0


def test_each_night_jobs_of_their_own_count_and_purge(cast: Cast, folders: FolderDovecot) -> None:
    rule(None, "Trash", 30)
    folders.save(cast.mailbox, "Trash", NOW - 400 * DAY)
    run = purging.start_nightly(now=NOW)
    for kind, task in ((runs.COUNTING, tasks.count_purge), (runs.PURGING, tasks.purge_by_rules)):
        job = Job.objects.get(kind=kind, arguments__run=run.pk)
        task(**job.arguments)
    run.refresh_from_db()
    assert (run.kind, run.state, run.purged_messages) == (PurgeRun.Kind.NIGHTLY, PurgeRun.State.DONE, 1)
    assert Mailbox.objects.filter(pk=cast.mailbox.pk).exists()
