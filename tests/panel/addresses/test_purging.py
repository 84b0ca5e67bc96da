"""The final purge: what is over ends for good, nothing else does, and a cut at any step is completed."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction
from django.utils import timezone

from mailbackend import maildir, retired
from panel.addresses import apps, bulk, purging, services
from panel.addresses.checkmail import check_mail
from panel.addresses.models import Domain, Mailbox, PurgedMailbox
from panel.addresses.report import Report
from panel.core.clock import TEST_CLOCK
from panel.core.errors import Conflict, Problem
from panel.core.models import Job
from tests.cast import PASSWORD, Cast, make_cast


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """No delivery is on its way in these tests."""
    monkeypatch.setattr(purging, "LOOK_AGAIN_AFTER", 0)


@pytest.fixture
def deleted(cast: Cast) -> Mailbox:
    """A mailbox that was deleted when its time is over."""
    services.delete_mailbox(mailbox=cast.mailbox)
    return cast.mailbox


LATER = timedelta(days=14, minutes=1)


def run(**options: Any) -> Report:
    """Purge, two weeks and a minute from now."""
    return purging.purge(now=timezone.now() + LATER, **options)


def left_on_disk(box: Mailbox) -> list[str]:
    """Return what is left of a mailbox, in the mail root or retired."""
    folders = (settings.DATA_DIR.mail, settings.DATA_DIR.retired)
    return [
        str(path) for folder in folders for path in (folder / box.home).parent.glob(f"{box.home_path.name}*")
    ]


def test_what_is_over_ends_for_good(cast: Cast, deleted: Mailbox) -> None:
    report = run()
    assert (report.mailboxes, report.messages, report.failures) == (1, 1, [])
    assert report.bytes > 0
    assert not Mailbox.objects.filter(pk=deleted.pk).exists()
    assert left_on_disk(deleted) == []
    assert PurgedMailbox.objects.get().home == deleted.home
    assert Domain.objects.filter(pk=cast.domain.pk).exists()
    assert run().mailboxes == 0


def test_what_can_still_be_restored_stays(cast: Cast, deleted: Mailbox) -> None:
    living = services.create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD)
    report = purging.purge(now=timezone.now() + settings.DELETION_WINDOW - timedelta(minutes=1))
    assert (report.mailboxes, report.failures) == (0, [])
    assert purging.purge_mailbox(mailbox=living, now=timezone.now() + LATER).mailboxes == 0
    services.restore_mailbox(mailbox=deleted)
    assert run().mailboxes == 0
    assert Mailbox.objects.count() == 2
    assert maildir.measure(settings.DATA_DIR.mail, deleted.home_path).messages == 1


def test_dry_run_changes_nothing(cast: Cast, deleted: Mailbox) -> None:
    report = run(dry_run=True)
    assert (report.mailboxes, report.messages) == (1, 1)
    services.restore_mailbox(mailbox=deleted)
    assert maildir.has_home(settings.DATA_DIR.mail, deleted.home_path, deleted.home_token)


def test_one_mailbox_is_purged_alone(cast: Cast, deleted: Mailbox) -> None:
    other = services.create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD)
    services.delete_mailbox(mailbox=other)
    report = purging.purge_mailbox(mailbox=deleted, now=timezone.now() + LATER)
    assert report.mailboxes == 1
    assert list(Mailbox.objects.all()) == [other]
    assert set(Job.objects.values_list("kind", flat=True)) >= {"erase_retired_homes", "retire_late_homes"}


def test_domain_goes_with_its_mailboxes(cast: Cast) -> None:
    bulk.create_mailboxes(
        domain=cast.domain, mailboxes=[bulk.NewMailbox(f"b{index}", password=PASSWORD) for index in range(3)]
    )
    services.delete_domain(domain=cast.domain)
    assert run().mailboxes == 4
    assert not Domain.objects.filter(pk=cast.domain.pk).exists()
    assert not Mailbox.objects.exists()


def test_successor_keeps_everything(cast: Cast, deleted: Mailbox) -> None:
    successor = services.create_mailbox(domain=cast.domain, local_part="anna", password=PASSWORD)
    run()
    assert list(Mailbox.objects.all()) == [successor]
    assert maildir.measure(settings.DATA_DIR.mail, successor.home_path).messages == 1


@pytest.mark.parametrize(
    "step", ["_end_sessions", "_retire", "_forget", "erase_retired", "forget_empty_domains"]
)
def test_killed_at_any_step_the_next_run_completes_it(
    cast: Cast, deleted: Mailbox, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    class Killed(BaseException):
        pass

    def kill(*_arguments: Any, **_named: Any) -> None:
        raise Killed

    monkeypatch.setattr(purging if hasattr(purging, step) else retired, step, kill)
    with pytest.raises(Killed):
        run()
    monkeypatch.undo()
    monkeypatch.setattr(purging, "LOOK_AGAIN_AFTER", 0)
    row = Mailbox.objects.filter(pk=deleted.pk).first()
    if row is not None:
        with pytest.raises(Problem, match="is being removed for good"):
            services.restore_mailbox(mailbox=row)
        with pytest.raises(Conflict):
            services.restore_mailbox(mailbox=deleted)
    # Not two weeks from now: what was begun is completed, whatever the clock says.
    report = purging.purge(now=timezone.now())
    assert report.failures == []
    assert not Mailbox.objects.filter(pk=deleted.pk).exists()
    assert left_on_disk(deleted) == []


def test_domain_whose_purge_began_is_not_restored(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    services.delete_domain(domain=cast.domain)
    with monkeypatch.context() as patch:
        patch.setattr(purging, "_end_sessions", lambda marked: {box.address for box in marked})
        report = run()
    assert [failure.problem for failure in report.failures] == [
        "It still has open sessions, although they were ended. The next purge tries again."
    ]
    cast.domain.refresh_from_db()
    with pytest.raises(Problem, match="is being removed for good"):
        services.restore_domain(domain=cast.domain)
    assert (settings.DATA_DIR.mail / cast.mailbox.home).is_dir()
    run()
    assert not Domain.objects.filter(pk=cast.domain.pk).exists()


def test_nothing_is_purged_without_the_mail_root(deleted: Mailbox) -> None:
    marker = settings.DATA_DIR.mail / maildir.MARKER
    kept = marker.read_text()
    marker.unlink()
    try:
        with pytest.raises(Problem, match="is its disk mounted"):
            run()
        with pytest.raises(Problem, match="is its disk mounted"):
            purging.purge_mailbox(mailbox=deleted, now=timezone.now() + LATER)
    finally:
        marker.write_text(kept)
    deleted.refresh_from_db()
    assert deleted.purging_at is None


def test_a_mail_root_that_is_a_disk_of_its_own_has_its_retired_homes_on_it(
    deleted: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = settings.DATA_DIR.mail / retired.HIDDEN
    hidden.mkdir()
    monkeypatch.setattr(retired, "folders", lambda _root, away: [hidden, away])
    with monkeypatch.context() as patch:
        patch.setattr(purging, "erase_retired", lambda _report: True)
        assert run().mailboxes == 1
    assert [path.name for path in hidden.glob("*/*")] == [f"{deleted.home_path.name}.1"]
    purging.erase_retired(Report())
    assert list(hidden.iterdir()) == []
    hidden.rmdir()


def test_home_with_another_token_is_left_and_said(deleted: Mailbox) -> None:
    (settings.DATA_DIR.mail / deleted.home / maildir.OWNER_FILE).write_text("f" * 32)
    report = run()
    assert [failure.subject for failure in report.failures] == [deleted.address]
    assert "another mailbox's token" in report.failures[0].problem
    assert Mailbox.objects.filter(pk=deleted.pk).exists()
    assert (settings.DATA_DIR.mail / deleted.home).is_dir()
    (settings.DATA_DIR.mail / deleted.home / maildir.OWNER_FILE).write_text(deleted.home_token)
    assert run().failures == []


def come_back(box: Mailbox) -> None:
    """Do what a delivery does that was on its way: make the home again, without a token."""
    new = settings.DATA_DIR.mail / box.home / "Maildir" / "new"
    new.mkdir(parents=True)
    (new / "1.late").write_text("late")


def test_home_that_comes_back_at_once_is_retired_too(
    deleted: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _seconds: come_back(deleted))
    report = run()
    assert (report.mailboxes, report.messages) == (1, 2)
    assert left_on_disk(deleted) == []


def test_home_that_comes_back_later_is_found_and_never_adopted(cast: Cast, deleted: Mailbox) -> None:
    run()
    successor = services.create_mailbox(domain=cast.domain, local_part="anna", password=PASSWORD)
    come_back(deleted)
    found = [failure for failure in check_mail(repair=False).failures if failure.subject == deleted.home]
    assert [(failure.mended, failure.mendable) for failure in found] == [(False, True)]
    assert (settings.DATA_DIR.mail / deleted.home).is_dir()
    found = [failure for failure in check_mail(repair=True).failures if failure.subject == deleted.home]
    assert [(failure.problem, failure.mended) for failure in found] == [(purging.LATE, True)]
    assert not (settings.DATA_DIR.mail / deleted.home).exists()
    purging.erase_retired(Report())
    assert left_on_disk(deleted) == []
    assert maildir.measure(settings.DATA_DIR.mail, successor.home_path).messages == 1


def test_a_job_looks_for_late_homes(deleted: Mailbox) -> None:
    run()
    job = Job.objects.get(kind="retire_late_homes")
    assert job.due_at - timezone.now() > timedelta(minutes=10)
    come_back(deleted)
    report = purging.retire_late_homes(since=timezone.now() - timedelta(hours=1))
    assert [failure.problem for failure in report.failures] == [purging.LATE]
    assert left_on_disk(deleted) == []


def test_ids_are_never_given_again(cast: Cast, deleted: Mailbox) -> None:
    run()
    again = services.create_mailbox(domain=cast.domain, local_part="anna", password=PASSWORD)
    assert again.pk > deleted.pk
    assert again.home != deleted.home


def test_ids_are_not_given_again_after_a_table_was_rebuilt(cast: Cast) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("Only SQLite forgets the largest id when a table is rebuilt.")
    PurgedMailbox.objects.create(mailbox_id=500, home="x/y-500", home_token="", purged_at=timezone.now())
    apps._after_migration(plan=["something"])
    again = services.create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD)
    assert again.pk == 501


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("turn", range(4))
def test_restore_and_purge_race_and_one_wins_whole(turn: int) -> None:
    cast = make_cast()
    services.delete_mailbox(mailbox=cast.mailbox)
    both = threading.Barrier(2)
    outcome: list[str] = []

    def act(work: Callable[[], Any], name: str) -> None:
        try:
            both.wait()
            work()
            outcome.append(name)
        except (Problem, Mailbox.DoesNotExist):
            outcome.append(f"no {name}")
        finally:
            connections.close_all()

    mailbox = Mailbox.objects.get(pk=cast.mailbox.pk)
    threads = [
        threading.Thread(target=act, args=(lambda: services.restore_mailbox(mailbox=mailbox), "restore")),
        threading.Thread(target=act, args=(run, "purge")),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    row = Mailbox.objects.filter(pk=cast.mailbox.pk).first()
    home = settings.DATA_DIR.mail / cast.mailbox.home
    if row is None:
        assert "no restore" in outcome
        assert not home.exists()
    else:
        assert "restore" in outcome
        assert (row.deleted_at, row.purging_at) == (None, None)
        assert maildir.has_home(settings.DATA_DIR.mail, row.home_path, row.home_token)


@pytest.mark.django_db(transaction=True)
def test_restore_that_the_purge_had_to_wait_for_wins() -> None:
    cast = make_cast()
    services.delete_mailbox(mailbox=cast.mailbox)
    mailbox = Mailbox.objects.get(pk=cast.mailbox.pk)

    def purge_elsewhere() -> None:
        try:
            run()
        finally:
            connections.close_all()

    purging_thread = threading.Thread(target=purge_elsewhere)
    with transaction.atomic():
        services.restore_mailbox(mailbox=mailbox)
        purging_thread.start()
        time.sleep(1)  # It has seen the row as it was, and waits for this transaction.
    purging_thread.join()
    mailbox.refresh_from_db()
    assert (mailbox.deleted_at, mailbox.purging_at) == (None, None)
    assert maildir.has_home(settings.DATA_DIR.mail, mailbox.home_path, mailbox.home_token)


def command(*arguments: str) -> dict[str, Any]:
    """Return what the command answers."""
    out = StringIO()
    call_command("purge", "--json", *arguments, stdout=out)
    return dict(json.loads(out.getvalue()))


def test_command_answers_as_the_contract_says(cast: Cast, deleted: Mailbox) -> None:
    at = (timezone.now() + LATER).isoformat()
    answer = command()
    assert (answer["mailboxes"], answer["messages"], answer["bytes"], answer["failures"]) == (0, 0, 0, [])
    assert command("--dry-run", "--at", at)["mailboxes"] == 1
    with pytest.raises(CommandError, match="needs --dry-run"):
        command("--at", at)
    for text in ("soon", "0001-01-01T00:00"):
        with pytest.raises(CommandError, match="is not a time"):
            command("--dry-run", "--at", text)
    assert Mailbox.objects.filter(pk=deleted.pk).exists()
    clock = settings.DATA_DIR.root / TEST_CLOCK
    clock.touch()
    try:
        assert command("--at", at)["mailboxes"] == 1
    finally:
        clock.unlink()
    assert not Mailbox.objects.filter(pk=deleted.pk).exists()
    assert not Job.objects.exclude(state=Job.State.DONE).filter(kind="purge").exists()
