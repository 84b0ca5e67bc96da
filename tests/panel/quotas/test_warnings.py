"""Warnings: one row per crossing whoever finds it, over when clearly below, told once to owner and customer."""

from __future__ import annotations

import dataclasses
import email
import email.policy
import mailbox as maildirs
import smtplib
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any

import pytest
from django.conf import settings
from django.core import mail as outbox
from django.utils import translation

from panel.accounts.models import User
from panel.addresses.models import Mailbox
from panel.addresses.services import create_mailbox
from panel.core.errors import Problem
from panel.core.jobs import run_in_foreground
from panel.core.models import Job
from panel.quotas import history, warning_mail, warnings
from panel.quotas.models import QuotaWarning, UsageSample
from tests.cast import PASSWORD, Cast

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
MB = 1024**2
QUOTA = 100 * MB


@pytest.fixture
def box(cast: Cast) -> Mailbox:
    """A mailbox with 100 MB."""
    Mailbox.objects.filter(pk=cast.mailbox.pk).update(quota_bytes=QUOTA, used_bytes=0)
    return Mailbox.objects.get(pk=cast.mailbox.pk)


@pytest.fixture
def sends_mail(settings: Any) -> None:
    """The host has a mail server."""
    settings.ENVIRONMENT = dataclasses.replace(settings.ENVIRONMENT, email_url="smtp://mail.test")


def fill(box: Mailbox, percent: float) -> None:
    """Have a mailbox hold so much of its quota, as the check saves it."""
    used = int(QUOTA * percent / 100)
    before = Mailbox.objects.get(pk=box.pk)
    Mailbox.objects.filter(pk=box.pk).update(used_bytes=used)
    warnings.note_changes([(Mailbox.objects.get(pk=box.pk), before.used_bytes, used)])


def open_lines(box: Mailbox) -> list[int]:
    rows = box.quota_warnings.filter(over_at=None, kind="percent").order_by("percent")
    return list(rows.values_list("percent", flat=True))


def to_tell(box: Mailbox) -> list[int]:
    rows = box.quota_warnings.filter(over_at=None, owner_told_at=None).order_by("percent")
    return list(rows.values_list("percent", flat=True))


def received(box: Mailbox) -> list[EmailMessage]:
    """Return what the service wrote into an inbox, without the welcome, the oldest first."""
    place = settings.DATA_DIR.mail / box.home / "Maildir"
    found = maildirs.Maildir(place, create=False)
    read = [
        email.message_from_bytes(found.get_bytes(key), policy=email.policy.default)
        for key in sorted(found.keys())
    ]
    return [
        message
        for message in read
        if isinstance(message, EmailMessage) and "elcome" not in message["Subject"]
    ]


def test_each_line_is_a_crossing(box: Mailbox) -> None:
    fill(box, 79.9)
    assert open_lines(box) == []
    fill(box, 80)
    assert open_lines(box) == to_tell(box) == [80]
    fill(box, 96)
    assert open_lines(box) == to_tell(box) == [80, 95]
    fill(box, 100)
    assert open_lines(box) == [80, 95, 100]


def test_rising_past_several_lines_is_told_once(box: Mailbox) -> None:
    fill(box, 96)
    assert open_lines(box) == [80, 95]
    assert to_tell(box) == [95]
    # Falling back between them is no crossing.
    fill(box, 85)
    assert open_lines(box) == [80]
    assert to_tell(box) == []


def test_a_mailbox_is_full_where_hardly_anything_fits(box: Mailbox) -> None:
    fill(box, 99.9)
    assert open_lines(box) == [80, 95]
    fill(box, 99.95)  # 51 KB are left
    assert open_lines(box) == [80, 95, 100]


def test_a_little_below_is_not_over_and_above_again_no_crossing(box: Mailbox) -> None:
    for percent in (81, 79, 80, 76, 82):
        fill(box, percent)
    assert box.quota_warnings.count() == 1
    fill(box, 74)
    assert open_lines(box) == []
    fill(box, 81)
    assert box.quota_warnings.count() == 2
    assert open_lines(box) == [80]


def test_the_poll_finds_what_nobody_noted(box: Mailbox) -> None:
    Mailbox.objects.filter(pk=box.pk).update(used_bytes=90 * MB)
    assert warnings.find_crossings(NOW) == 1
    assert warnings.find_crossings(NOW) == 0
    # A lowered quota is a crossing, and a raised one is the end of it, even a little below the line.
    Mailbox.objects.filter(pk=box.pk).update(quota_bytes=50 * MB)
    assert warnings.find_crossings(NOW) == 1
    assert open_lines(box) == [80, 95, 100]
    Mailbox.objects.filter(pk=box.pk).update(quota_bytes=115 * MB)
    assert warnings.find_crossings(NOW) == 0
    assert open_lines(box) == []


def test_a_full_mailbox_that_is_given_next_to_nothing_is_told_once(box: Mailbox) -> None:
    fill(box, 99.99)
    assert to_tell(box) == [100]
    Mailbox.objects.filter(pk=box.pk).update(quota_bytes=QUOTA + 1024)
    assert warnings.find_crossings(NOW) == 0
    assert open_lines(box) == [80, 95, 100]
    Mailbox.objects.filter(pk=box.pk).update(quota_bytes=QUOTA + MB)
    assert warnings.find_crossings(NOW) == 0
    assert open_lines(box) == [80, 95]
    Mailbox.objects.filter(pk=box.pk).update(quota_bytes=QUOTA)
    assert warnings.find_crossings(NOW) == 1
    Mailbox.objects.filter(pk=box.pk).update(deleted_at=NOW)
    warnings.find_crossings(NOW)
    assert open_lines(box) == []


@pytest.mark.parametrize("change", [{"quota_bytes": None}, {"quota_bytes": 0}, {"deleted_at": NOW}])
def test_it_is_over_without_a_limit_or_a_mailbox(box: Mailbox, change: dict[str, Any]) -> None:
    fill(box, 96)
    QuotaWarning.objects.create(
        mailbox=box, kind="soon", crossed_at=NOW, used_bytes=1, quota_bytes=2, full_on=NOW.date()
    )
    Mailbox.objects.filter(pk=box.pk).update(**change)
    assert warnings.find_crossings(NOW) == 0
    assert not QuotaWarning.objects.filter(over_at=None).exists()
    assert not warnings.is_anything_to_tell()


def test_what_has_no_limit_is_not_known_or_not_there_crosses_nothing(cast: Cast) -> None:
    Mailbox.objects.filter(pk=cast.mailbox.pk).update(quota_bytes=None, used_bytes=10**12)
    assert warnings.note_changes([(Mailbox.objects.get(pk=cast.mailbox.pk), 0, 10**12)]) == 0
    Mailbox.objects.filter(pk=cast.mailbox.pk).update(quota_bytes=QUOTA, used_bytes=None)
    assert warnings.find_crossings(NOW) == 0
    Mailbox.objects.filter(pk=cast.mailbox.pk).update(used_bytes=QUOTA, provisioned_at=None)
    assert warnings.find_crossings(NOW) == 0


def test_nothing_is_asked_where_no_line_was_crossed(box: Mailbox, django_assert_num_queries: Any) -> None:
    Mailbox.objects.filter(pk=box.pk).update(used_bytes=50 * MB)
    changes = [(Mailbox.objects.get(pk=box.pk), 10 * MB, 50 * MB)] * 100
    with django_assert_num_queries(0):
        assert warnings.note_changes(changes) == 0


def test_one_job_tells_however_many_crossings(box: Mailbox, cast: Cast) -> None:
    fill(box, 81)
    fill(box, 96)
    other = create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD, quota_bytes=QUOTA)
    fill(other, 100)
    assert Job.objects.filter(kind=warnings.TELLING).count() == 1


# -- the owner ------------------------------------------------------------------------------------------------------


def test_an_owner_is_told_in_the_inbox_once(box: Mailbox, cast: Cast) -> None:
    fill(box, 81)
    fill(box, 96)
    assert run_in_foreground("tell_quota_warnings").report["owners"] == 1
    assert run_in_foreground("tell_quota_warnings").report["owners"] == 0
    (message,) = received(box)
    assert message["Subject"] == "Your mailbox is 95% full"
    assert message["To"] == box.address
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"]
    assert message["Date"]
    text = message.get_content()
    assert f"/mailboxes/{box.pk}/storage/" in text
    assert text.count("96\xa0MB") == 1  # what it holds: 96 MB of 100 MB
    assert to_tell(box) == []
    # Above the next line, a second message; and below and above again a third.
    fill(box, 100)
    run_in_foreground("tell_quota_warnings")
    fill(box, 50)
    fill(box, 82)
    run_in_foreground("tell_quota_warnings")
    subjects = [message["Subject"] for message in received(box)]
    assert sorted(subjects) == [
        "Your mailbox is 80% full",
        "Your mailbox is 95% full",
        "Your mailbox is full",
    ]


def test_the_message_is_in_the_owners_language_or_their_customers(box: Mailbox, cast: Cast) -> None:
    assert warning_mail._language_of(box) == "en"
    User.objects.filter(pk=cast.owner.pk).update(language="fr")
    assert warning_mail._language_of(box) == "fr"
    box.user = User.objects.create(kind="mailbox", email=None, name="anna", language="en")
    assert warning_mail._language_of(box) == "en"


def test_a_message_in_another_script_is_well_formed(box: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(box, 96)
    monkeypatch.setattr(warning_mail, "_subject", lambda _row: "Boîte pleine à 95 % – 日本")
    with translation.override("fr"):
        raw = warning_mail.warning_message(box, box.quota_warnings.get(percent=95))
    assert raw.partition(b"\n\n")[0].isascii()
    read = email.message_from_bytes(raw, policy=email.policy.default)
    assert read["Subject"] == "Boîte pleine à 95 % – 日本"
    assert not read.defects
    assert max(len(line) for line in raw.splitlines()) <= 998


def test_a_delivery_that_fails_is_tried_again_and_others_arrive(
    box: Mailbox, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD, quota_bytes=QUOTA)
    fill(box, 96)
    fill(other, 100)
    home = settings.DATA_DIR.mail / box.home
    away = home.with_name("away")
    home.rename(away)
    with pytest.raises(Problem, match="1 warnings could not be delivered"):
        run_in_foreground("tell_quota_warnings")
    assert Job.objects.filter(kind="tell_quota_warnings", state="failed").exists()
    assert to_tell(box) == [95]
    assert to_tell(other) == []
    away.rename(home)
    run_in_foreground("find_quota_warnings")
    assert Job.objects.filter(kind="tell_quota_warnings", state="queued").exists()
    assert run_in_foreground("tell_quota_warnings").report["owners"] == 1
    assert len(received(box)) == len(received(other)) == 1


def test_what_was_delivered_and_not_saved_is_not_delivered_twice(box: Mailbox) -> None:
    fill(box, 96)
    run_in_foreground("tell_quota_warnings")
    box.quota_warnings.update(owner_told_at=None)
    run_in_foreground("tell_quota_warnings")
    assert len(received(box)) == 1


# -- the customer ---------------------------------------------------------------------------------------------------


def test_a_customers_people_get_one_mail_for_all(box: Mailbox, cast: Cast, sends_mail: None) -> None:
    other = create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD, quota_bytes=QUOTA)
    fill(box, 96)
    fill(other, 85)
    User.objects.filter(pk=cast.manager.pk).update(language="fr")
    run_in_foreground("tell_quota_warnings")
    run_in_foreground("tell_quota_warnings")
    assert sorted(each.to[0] for each in outbox.outbox) == [cast.manager.email, cast.owner.email]
    text = next(each for each in outbox.outbox if each.to == [cast.owner.email])
    assert text.subject == "Mailboxes of Martin SA are filling up"
    assert f"{box.address}: more than 95% full" in text.body
    assert f"{other.address}: more than 80% full" in text.body
    assert f"/customers/{cast.customer.pk}/storage/" in text.body


def test_without_a_mail_server_nothing_is_mailed_and_nothing_waits(box: Mailbox) -> None:
    fill(box, 96)
    run_in_foreground("tell_quota_warnings")
    assert outbox.outbox == []
    assert not warnings.is_anything_to_tell()


def test_a_mail_server_that_refuses_all_is_asked_again(
    box: Mailbox, sends_mail: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(box, 96)

    def refuse(*_: Any, **__: Any) -> None:
        raise smtplib.SMTPServerDisconnected("not now")

    with monkeypatch.context() as patched:
        patched.setattr(warning_mail, "send_to", refuse)
        with pytest.raises(Problem, match="not now"):
            run_in_foreground("tell_quota_warnings")
    # The owner was told all the same.
    assert len(received(box)) == 1
    assert run_in_foreground("tell_quota_warnings").report == {"owners": 0, "people": 2}
    assert len(outbox.outbox) == 2


def test_what_another_job_is_telling_is_left_to_it(box: Mailbox, cast: Cast, sends_mail: None) -> None:
    fill(box, 96)
    assert len(warning_mail._claim(cast.customer)) == 1
    assert warning_mail._claim(cast.customer) == []
    run_in_foreground("tell_quota_warnings")
    assert outbox.outbox == []
    # Unless that job died long ago.
    QuotaWarning.objects.filter(customer_claimed_at__isnull=False).update(
        customer_claimed_at=datetime.now(UTC) - timedelta(hours=4)
    )
    assert run_in_foreground("tell_quota_warnings").report["people"] == 2


def test_a_suspended_customers_people_are_not_mailed(box: Mailbox, cast: Cast, sends_mail: None) -> None:
    cast.customer.suspended_at = NOW
    cast.customer.save()
    fill(box, 96)
    assert run_in_foreground("tell_quota_warnings").report == {"owners": 1, "people": 0}


# -- full soon --------------------------------------------------------------------------------------------------------


def grow(box: Mailbox, *, from_mb: int, to_mb: int, days: int = 20) -> None:
    """Have a mailbox grow day by day until now."""
    UsageSample.objects.filter(mailbox=box).delete()
    today = history.day_of(NOW)
    UsageSample.objects.bulk_create(
        UsageSample(
            mailbox=box,
            day=today - timedelta(days=days - number),
            used_bytes=(from_mb + (to_mb - from_mb) * number // days) * MB,
        )
        for number in range(days)
    )
    Mailbox.objects.filter(pk=box.pk).update(used_bytes=to_mb * MB)


def test_what_will_be_full_soon_is_told_once(box: Mailbox, cast: Cast, sends_mail: None) -> None:
    grow(box, from_mb=10, to_mb=70)  # 3 MB a day: 30 MB are left, ten days
    assert warnings.find_soon(NOW) == 0
    grow(box, from_mb=30, to_mb=90)  # and now four, rounded up
    assert warnings.find_soon(NOW) == 1
    assert warnings.find_soon(NOW) == 0
    row = box.quota_warnings.get(kind="soon")
    assert row.full_on is not None
    assert (row.full_on - history.day_of(NOW)).days == 4
    run_in_foreground("tell_quota_warnings")
    (message,) = received(box)
    assert message["Subject"] == "Your mailbox will soon be full"
    assert "Dec. 2, 2026" in message.get_content()
    assert "full on about Dec. 2, 2026 at this pace" in outbox.outbox[0].body
    # It is over when it is far again, not at the first day of a little less.
    grow(box, from_mb=65, to_mb=90)  # eight days
    warnings.find_soon(NOW)
    assert box.quota_warnings.filter(kind="soon", over_at=None).exists()
    grow(box, from_mb=90, to_mb=90)
    warnings.find_soon(NOW)
    assert not box.quota_warnings.filter(kind="soon", over_at=None).exists()


def test_what_is_almost_full_half_empty_or_hardly_known_is_not_told(box: Mailbox) -> None:
    for from_mb, to_mb, days in ((40, 96, 20), (0, 45, 20), (60, 90, 5)):
        grow(box, from_mb=from_mb, to_mb=to_mb, days=days)
        assert warnings.find_soon(NOW) == 0


def test_old_crossings_are_forgotten(box: Mailbox) -> None:
    fill(box, 96)
    box.quota_warnings.filter(percent=95).update(over_at=NOW - timedelta(days=500))
    assert warnings.forget_old(NOW) == 1
    assert open_lines(box) == [80]
