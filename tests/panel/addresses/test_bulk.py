"""Many mailboxes at once: all or none, and nothing is left half-made."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mailbackend import maildir
from mailbackend.passwords import hash_password, verify_password
from panel.accounts.models import Customer
from panel.addresses import bulk, services
from panel.addresses.bulk import BadRows, NewMailbox
from panel.addresses.models import Mailbox
from panel.addresses.views_for_dovecot import VIEWS
from panel.core.errors import Problem
from panel.core.models import Job
from tests.cast import PASSWORD, Cast

HASH = hash_password(PASSWORD)


def several(number: int) -> list[NewMailbox]:
    """Return mailboxes to create."""
    return [
        NewMailbox(f"b{index}", password_hash=HASH, display_name=f"B {index}", quota_bytes=1000)
        for index in range(number)
    ]


def statements(captured: CaptureQueriesContext) -> list[str]:
    """Return what was asked of the database, without the frames of transactions."""
    frames = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE")
    return [query["sql"] for query in captured.captured_queries if not query["sql"].startswith(frames)]


def homes(cast: Cast) -> set[str]:
    """Return what lies in the domain's folder, builds in progress included."""
    return {path.name for path in (settings.DATA_DIR.mail / cast.domain.name).iterdir()}


def test_rows_homes_and_logins_agree(cast: Cast) -> None:
    new = [NewMailbox(" Bob ", password=PASSWORD, display_name="Bob"), *several(3)]
    created = bulk.create_mailboxes(domain=cast.domain, mailboxes=new)
    assert [box.local_part for box in created] == ["bob", "b0", "b1", "b2"]
    saved = Mailbox.objects.in_bulk([box.pk for box in created])
    for box in created:
        row = saved[box.pk]
        assert row.state == Mailbox.State.ACTIVE
        assert row.home == box.home == f"{cast.domain.name}/{row.local_part}-{row.pk}"
        assert maildir.has_home(settings.DATA_DIR.mail, row.home_path, row.home_token)
        assert maildir.check_home(settings.DATA_DIR.mail, row.home_path) == []
        assert maildir.measure(settings.DATA_DIR.mail, row.home_path).messages == 1
        assert verify_password(PASSWORD, row.password)
    assert (saved[created[1].pk].display_name, saved[created[1].pk].quota_bytes) == ("B 0", 1000)
    with connection.cursor() as cursor:
        for view in VIEWS.keys() - {"mail_device"}:
            cursor.execute(f"SELECT count(*) FROM {view} WHERE address LIKE %s", [f"%@{cast.domain.name}"])  # noqa: S608
            assert cursor.fetchone() == (5,)
    assert not Job.objects.exists()


def test_every_bad_row_is_named_and_nothing_is_created(cast: Cast) -> None:
    new = [
        NewMailbox("good", password=PASSWORD),
        NewMailbox("../../etc", password=PASSWORD),
        NewMailbox("short", password="x"),
        NewMailbox("neither"),
        NewMailbox("both", password=PASSWORD, password_hash=HASH),
        NewMailbox("plain", password_hash="{PLAIN}open"),
        NewMailbox("dear", password_hash="{ARGON2ID}$argon2id$v=19$m=4194304,t=9,p=1$c2FsdHNhbHQ$aGFzaA"),
        NewMailbox("quota", password=PASSWORD, quota_bytes=0),
        NewMailbox("name", password=PASSWORD, display_name="a\nb"),
    ]
    before = homes(cast)
    with pytest.raises(BadRows) as problem:
        bulk.create_mailboxes(domain=cast.domain, mailboxes=new)
    assert [row.number for row in problem.value.rows] == [2, 3, 4, 5, 6, 7, 8, 9]
    assert {row.field for row in problem.value.rows} >= {"local_part", "password", "quota"}
    assert "2 (../../etc)" in str(problem.value)
    assert Mailbox.objects.count() == 1
    assert homes(cast) == before


def test_addresses_that_are_taken_or_given_twice_are_named(cast: Cast) -> None:
    with pytest.raises(BadRows) as problem:
        bulk.create_mailboxes(domain=cast.domain, mailboxes=[*several(3), *several(2)])
    assert [row.number for row in problem.value.rows] == [1, 2, 4, 5]
    bulk.create_mailboxes(domain=cast.domain, mailboxes=several(2))
    with pytest.raises(BadRows) as problem:
        bulk.create_mailboxes(domain=cast.domain, mailboxes=several(3))
    assert [(row.number, row.problem) for row in problem.value.rows] == [
        (1, f"b0@{cast.domain.name} exists already."),
        (2, f"b1@{cast.domain.name} exists already."),
    ]
    assert Mailbox.objects.count() == 3


def test_a_long_list_of_bad_rows_is_cut_in_the_message_alone(cast: Cast) -> None:
    with pytest.raises(BadRows, match="And 30 more") as problem:
        bulk.create_mailboxes(domain=cast.domain, mailboxes=[NewMailbox("", password=PASSWORD)] * 50)
    assert len(problem.value.rows) == 50


def test_limits_count_all_of_them(cast: Cast) -> None:
    Customer.objects.filter(pk=cast.customer.pk).update(max_mailboxes=3)
    with pytest.raises(Problem, match="may have 3 mailboxes"):
        bulk.create_mailboxes(domain=cast.domain, mailboxes=several(3))
    Customer.objects.filter(pk=cast.customer.pk).update(max_mailboxes=None, max_storage_bytes=2999)
    with pytest.raises(Problem, match="choose a smaller one"):
        bulk.create_mailboxes(domain=cast.domain, mailboxes=several(3))
    with pytest.raises(Problem, match="give the mailbox a quota"):
        bulk.create_mailboxes(domain=cast.domain, mailboxes=[NewMailbox("x", password_hash=HASH)])
    assert len(bulk.create_mailboxes(domain=cast.domain, mailboxes=several(2))) == 2


def test_deleted_domain_takes_nothing(cast: Cast) -> None:
    services.delete_domain(domain=cast.domain)
    with pytest.raises(Problem, match="is deleted"):
        bulk.create_mailboxes(domain=cast.domain, mailboxes=several(1))


def test_nothing_to_create_is_nothing(cast: Cast) -> None:
    assert bulk.create_mailboxes(domain=cast.domain, mailboxes=[]) == []


def test_disk_that_refuses_halfway_leaves_nothing(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    before = homes(cast)
    moved: list[Any] = []
    move_in = maildir._move_in

    def full(*places: Any) -> None:
        if len(moved) == 3:
            raise OSError(28, "No space left on device")
        moved.append(places)
        move_in(*places)

    monkeypatch.setattr(maildir, "_move_in", full)
    with pytest.raises(Problem, match="No space left on device"):
        bulk.create_mailboxes(domain=cast.domain, mailboxes=several(5))
    assert homes(cast) == before
    assert Mailbox.objects.count() == 1


@pytest.mark.parametrize("moved_before", [0, 2, 5])
def test_a_job_completes_what_was_cut_off(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, moved_before: int
) -> None:
    class PowerCut(BaseException):
        pass

    moved: list[Any] = []
    move_in = maildir._move_in

    def cut(*places: Any) -> None:
        if len(moved) == moved_before:
            raise PowerCut
        moved.append(places)
        move_in(*places)

    monkeypatch.setattr(maildir, "_move_in", cut)
    if moved_before == 5:
        monkeypatch.setattr(maildir, "sync_folder", cut)
    with pytest.raises(PowerCut):
        bulk.create_mailboxes(domain=cast.domain, mailboxes=several(5))
    monkeypatch.undo()
    assert Mailbox.objects.filter(provisioned_at=None).count() == 5
    job = Job.objects.get(kind="complete_creation")
    assert job.arguments == {"domain_id": cast.domain.pk}
    assert bulk.complete_creations(cast.domain.pk) == 0  # it may still be going on
    Mailbox.objects.update(created_at=timezone.now() - timedelta(minutes=1))
    assert bulk.complete_creations(cast.domain.pk) == 5
    for box in Mailbox.objects.filter(domain=cast.domain):
        assert box.state == Mailbox.State.ACTIVE
        assert maildir.measure(settings.DATA_DIR.mail, box.home_path).messages == 1
    assert homes(cast) == {box.home_path.name for box in Mailbox.objects.filter(domain=cast.domain)}


def test_few_queries(cast: Cast) -> None:
    with CaptureQueriesContext(connection) as captured:
        bulk.create_mailboxes(domain=cast.domain, mailboxes=several(100))
    # SQLite takes so many values in a statement: the rows' width makes it four.
    assert len(statements(captured)) <= 15
    Customer.objects.filter(pk=cast.customer.pk).update(max_mailboxes=1000, max_storage_bytes=10**12)
    with CaptureQueriesContext(connection) as captured:
        services.create_mailbox(domain=cast.domain, local_part="one", password=PASSWORD, quota_bytes=1000)
    assert len(statements(captured)) <= 12
