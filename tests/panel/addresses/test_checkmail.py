"""Rows, homes and logins are brought to agree, and nothing is lost on the way."""

from __future__ import annotations

import os
import shutil
import time
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mailbackend import maildir
from mailbackend.passwords import hash_password
from panel.addresses import bulk, checkmail, services
from panel.addresses import report as reports
from panel.addresses.checkmail import check_mail
from panel.addresses.models import Mailbox
from panel.addresses.views_for_dovecot import drop_views, missing_views
from panel.core.errors import Problem
from tests.cast import PASSWORD, Cast

HASH = hash_password(PASSWORD)


def problems(cast: Cast, *, repair: bool) -> list[tuple[str, bool]]:
    """Return what is said of the cast's domain: other tests leave homes in the same mail root."""
    report = check_mail(repair=repair)
    return [
        (failure.problem, failure.mended)
        for failure in report.failures
        if cast.domain.name in failure.subject or failure.subject.startswith("mail_")
    ]


def test_all_is_well(cast: Cast) -> None:
    report = check_mail(repair=False)
    assert problems(cast, repair=False) == []
    assert (report.mailboxes, report.messages) == (1, 1)
    assert report.bytes == maildir.measure(settings.DATA_DIR.mail, cast.mailbox.home_path).used_bytes


def test_creation_that_was_cut_off_before_its_home_is_completed(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PowerCut(BaseException):
        pass

    def cut(*_arguments: Any) -> None:
        raise PowerCut

    monkeypatch.setattr(maildir, "provision", cut)
    with pytest.raises(PowerCut):
        services.create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD)
    monkeypatch.undo()
    bob = Mailbox.objects.get(local_part="bob")
    assert bob.state == Mailbox.State.CREATING
    assert problems(cast, repair=False) == []  # it may still be going on
    Mailbox.objects.filter(pk=bob.pk).update(created_at=timezone.now() - timedelta(minutes=2))
    assert problems(cast, repair=False) == [("Its creation was cut off.", False)]
    assert problems(cast, repair=True) == [("Its creation was cut off.", True)]
    assert problems(cast, repair=False) == []
    assert Mailbox.objects.get(pk=bob.pk).state == Mailbox.State.ACTIVE


def test_creation_that_was_cut_off_after_its_home_is_completed(cast: Cast) -> None:
    Mailbox.objects.filter(pk=cast.mailbox.pk).update(provisioned_at=None)
    assert problems(cast, repair=True) == [("Its creation was cut off.", True)]
    assert maildir.measure(settings.DATA_DIR.mail, cast.mailbox.home_path).messages == 1


def test_lost_home_is_reported_and_never_made_again_empty(cast: Cast) -> None:
    shutil.rmtree(settings.DATA_DIR.mail / cast.mailbox.home)
    ((problem, mended),) = problems(cast, repair=True)
    assert "is gone: bring it back from a backup" in problem
    assert not mended
    assert not (settings.DATA_DIR.mail / cast.mailbox.home).exists()


def test_folder_of_somebody_else_is_not_taken(cast: Cast) -> None:
    place = settings.DATA_DIR.mail / cast.mailbox.home
    (place / maildir.OWNER_FILE).write_text("f" * 32)
    ((problem, mended),) = problems(cast, repair=True)
    assert "is not this mailbox's" in problem
    assert not mended


def test_stranger_is_reported_and_left(cast: Cast) -> None:
    stranger = settings.DATA_DIR.mail / cast.domain.name / "old-99"
    (stranger / "Maildir/cur").mkdir(parents=True)
    assert problems(cast, repair=True) == [("No mailbox owns this folder. It is left as it is.", False)]
    assert stranger.is_dir()


def test_broken_folders_are_mended(cast: Cast) -> None:
    (settings.DATA_DIR.mail / cast.mailbox.home / "Maildir/.Junk/new").rmdir()
    ((problem, mended),) = problems(cast, repair=True)
    assert problem.endswith("Maildir/.Junk/new is missing.")
    assert mended
    assert problems(cast, repair=False) == []


def test_abandoned_build_is_cleared(cast: Cast) -> None:
    build = settings.DATA_DIR.mail / cast.domain.name / ".new-x-1-abc"
    build.mkdir()
    old = time.time() - 7200
    os.utime(build, (old, old))
    assert problems(cast, repair=True) == [("Left by a creation that was cut off.", True)]
    assert not build.exists()


def test_missing_views_are_made_again(cast: Cast) -> None:
    drop_views()
    assert len(problems(cast, repair=False)) == 3
    assert all(mended for _problem, mended in problems(cast, repair=True))
    assert missing_views() == []


def test_nothing_is_touched_without_the_mail_root(cast: Cast) -> None:
    marker = settings.DATA_DIR.mail / maildir.MARKER
    kept = marker.read_text()
    marker.unlink()
    Mailbox.objects.filter(pk=cast.mailbox.pk).update(provisioned_at=None)
    try:
        with pytest.raises(Problem, match="is its disk mounted"):
            check_mail(repair=True)
    finally:
        marker.write_text(kept)
    cast.mailbox.refresh_from_db()
    assert cast.mailbox.provisioned_at is None


def test_odd_folders_do_not_stop_the_check(cast: Cast) -> None:
    odd = os.fsencode(settings.DATA_DIR.mail / cast.domain.name) + b"/\xff\xfe"
    os.mkdir(odd)  # noqa: PTH102 - a name that is not UTF-8
    lost = settings.DATA_DIR.mail / "lost+found"
    lost.mkdir(mode=0o000, exist_ok=True)
    try:
        ((problem, _mended),) = problems(cast, repair=True)
        assert problem.startswith("No mailbox owns this folder")
    finally:
        lost.rmdir()
        os.rmdir(odd)  # noqa: PTH106


@pytest.fixture
def many(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> list[Mailbox]:
    """More mailboxes than are all gone through, on several pages."""
    monkeypatch.setattr(checkmail, "ALL_UP_TO", 5)
    monkeypatch.setattr(checkmail, "NIGHTS", 3)
    monkeypatch.setattr(checkmail, "PAGE", 4)
    new = [bulk.NewMailbox(f"b{number}", password_hash=HASH) for number in range(12)]
    return bulk.create_mailboxes(domain=cast.domain, mailboxes=new)


def break_home(box: Mailbox) -> None:
    """Take a folder from a home, which only going through it shows."""
    (settings.DATA_DIR.mail / box.home / "Maildir/.Junk/new").rmdir()


def test_each_mailbox_is_gone_through_within_so_many_nights(
    cast: Cast, many: list[Mailbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    for box in many:
        break_home(box)
    tonight = timezone.now()
    seen = []
    for night in range(3):
        monkeypatch.setattr(timezone, "now", lambda night=night: tonight + timedelta(days=night))
        report = check_mail(repair=True)
        seen.append(report.thorough)
        assert report.mailboxes == 13
        assert report.found >= report.thorough - 1
    assert sum(seen) == 13
    assert max(seen) <= 5
    assert problems(cast, repair=False) == []
    assert check_mail(repair=False, thorough=True).thorough == 13


def test_a_lost_home_is_seen_every_night(cast: Cast, many: list[Mailbox]) -> None:
    for box in many:
        shutil.rmtree(settings.DATA_DIR.mail / box.home)
    found = problems(cast, repair=True)
    assert len(found) == 12
    assert all("is gone" in problem and not mended for problem, mended in found)


def test_few_queries_however_many_mailboxes(cast: Cast, many: list[Mailbox]) -> None:
    (settings.DATA_DIR.mail / cast.domain.name / "stranger-9999999").mkdir()
    with CaptureQueriesContext(connection) as captured:
        check_mail(repair=False)
    pages = 13 // 4 + 1
    on_disk = sum(1 for _home in maildir.homes_on_disk(settings.DATA_DIR.mail)) // 4 + 1
    # Of each page: its rows and the mail root's id; of each page on disk: its owners, and what was purged.
    assert len(captured) <= 5 + 2 * pages + 2 * on_disk


def test_mail_root_that_vanishes_meanwhile_stops_the_check(
    cast: Cast, many: list[Mailbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = settings.DATA_DIR.mail
    away = root.with_name("mail-away")
    look = maildir.seems_there

    def vanish(*arguments: Any) -> bool:
        if root.exists():
            root.rename(away)
        return look(*arguments)

    try:
        with monkeypatch.context() as patch:
            patch.setattr(maildir, "seems_there", vanish)
            with pytest.raises(Problem, match="is its disk mounted"):
                check_mail(repair=True)
    finally:
        away.rename(root)
    assert problems(cast, repair=False) == []


def test_stored_report_is_bounded_and_counts_the_rest(
    cast: Cast, many: list[Mailbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "FAILURES_KEPT", 5)
    for box in many:
        shutil.rmtree(settings.DATA_DIR.mail / box.home)
    answer = check_mail(repair=True).as_json()
    assert len(answer["failures"]) == 5
    assert answer["found"] >= 12
    assert reports.failed(answer).startswith(f"{answer['found'] - answer['mended']} problems, the first: ")


def test_mailbox_that_is_being_purged_is_not_called_lost(cast: Cast) -> None:
    services.delete_mailbox(mailbox=cast.mailbox)
    Mailbox.objects.filter(pk=cast.mailbox.pk).update(purging_at=timezone.now())
    shutil.rmtree(settings.DATA_DIR.mail / cast.mailbox.home)
    assert problems(cast, repair=True) == []
