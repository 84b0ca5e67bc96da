"""Samples: where something changed, once a day, thinned with age; and what is made of them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest

from panel.addresses.models import Mailbox
from panel.addresses.services import create_mailbox
from panel.core.jobs import run_in_foreground
from panel.quotas import history
from panel.quotas.history import Held
from panel.quotas.models import UsageSample, UsageTotal
from tests.cast import PASSWORD, Cast

pytestmark = pytest.mark.django_db

DAY = date(2026, 11, 28)


def hold(mailbox: Mailbox, used: int | None) -> None:
    Mailbox.objects.filter(pk=mailbox.pk).update(used_bytes=used)


def samples(mailbox: Mailbox) -> list[tuple[date, int]]:
    return list(mailbox.usage_samples.order_by("day").values_list("day", "used_bytes"))


def on(offset: int) -> date:
    return DAY + timedelta(days=offset)


def test_a_sample_is_written_where_something_changed(cast: Cast) -> None:
    assert history.take_samples(on(0)) == 0  # nothing is known yet
    hold(cast.mailbox, 100)
    assert history.take_samples(on(0)) == 1
    assert history.take_samples(on(0)) == 0
    assert history.take_samples(on(1)) == 0
    hold(cast.mailbox, 300)
    assert history.take_samples(on(2)) == 1
    assert samples(cast.mailbox) == [(on(0), 100), (on(2), 300)]


def test_the_last_word_of_a_day_counts(cast: Cast) -> None:
    hold(cast.mailbox, 100)
    history.take_samples(on(0))
    hold(cast.mailbox, 500)
    history.take_samples(on(1))
    # Back to what it was the day before: the day's sample must not stay.
    hold(cast.mailbox, 100)
    history.take_samples(on(1))
    assert samples(cast.mailbox)[-1] == (on(1), 100)


def test_a_deleted_mailbox_is_left_out_and_forgotten_with_its_row(cast: Cast) -> None:
    hold(cast.mailbox, 100)
    history.take_samples(on(0))
    Mailbox.objects.filter(pk=cast.mailbox.pk).update(
        deleted_at=datetime(2026, 11, 28, tzinfo=UTC), used_bytes=7
    )
    assert history.take_samples(on(1)) == 0
    Mailbox.objects.filter(pk=cast.mailbox.pk).delete()
    assert not UsageSample.objects.exists()


def test_many_mailboxes_go_in_pieces(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "TOGETHER", 2)
    for number in range(5):
        hold(create_mailbox(domain=cast.domain, local_part=f"m{number}", password=PASSWORD), 10 + number)
    assert history.take_samples(on(0)) == 5
    assert sorted(UsageSample.objects.values_list("used_bytes", flat=True)) == [10, 11, 12, 13, 14]


def test_totals_are_of_each_customer_and_of_all(cast: Cast) -> None:
    other = create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD, quota_bytes=1000)
    Mailbox.objects.filter(pk=cast.mailbox.pk).update(quota_bytes=500, used_bytes=100)
    hold(other, 50)
    for used in (50, 60):
        hold(other, used)
        history.take_totals(on(0))
    rows = {row.customer_id: row for row in UsageTotal.objects.all()}
    assert len(rows) == UsageTotal.objects.count() == 3
    of_customer, whole = rows[cast.customer.pk], rows[None]
    assert (of_customer.mailboxes, of_customer.used_bytes, of_customer.given_bytes) == (2, 160, 1500)
    assert (whole.mailboxes, whole.used_bytes, whole.given_bytes) == (2, 160, 1500)
    assert rows[cast.other_customer.pk].mailboxes == 0


def test_old_samples_are_thinned_to_weeks_and_months(cast: Cast) -> None:
    first = on(-600)
    UsageSample.objects.bulk_create(
        UsageSample(mailbox=cast.mailbox, day=first + timedelta(days=number), used_bytes=number)
        for number in range(601)
    )
    UsageTotal.objects.bulk_create(
        UsageTotal(
            customer=customer,
            day=first + timedelta(days=number),
            mailboxes=1,
            used_bytes=number,
            given_bytes=0,
        )
        for number in range(601)
        for customer in (None, cast.customer)
    )
    # Often enough that no week and no month is missed.
    for number in range(0, 601, 25):
        history.thin(first + timedelta(days=number))
    days = [day for day, _used in samples(cast.mailbox)]
    lately = [day for day in days if day >= on(-90)]
    assert len(lately) == 91
    middle = [day for day in days if on(-360) <= day < on(-100)]
    assert {day.weekday() for day in middle} == {6}
    assert {later - earlier for earlier, later in pairwise(middle)} == {timedelta(days=7)}
    old = [day for day in days if day < on(-400)]
    assert len(old) == len({(day.year, day.month) for day in old}) == 6
    for customer in (None, cast.customer):
        rows = UsageTotal.objects.filter(customer=customer).order_by("day")
        assert list(rows.values_list("day", flat=True)) == days
    # Once more changes nothing.
    assert history.thin(DAY) == 0


def test_a_day_without_a_sample_is_as_the_one_before(cast: Cast) -> None:
    rows = [Held(on(0), 5), Held(on(3), 9)]
    assert [held.used_bytes for held in history.filled(rows, on(5))] == [5, 5, 5, 9, 9, 9]
    assert history.filled([], on(5)) == []
    for day, used in ((on(-40), 1), (on(-20), 2), (on(-2), 3)):
        UsageSample.objects.create(mailbox=cast.mailbox, day=day, used_bytes=used)
    assert history.history_of(cast.mailbox, on(-10)) == [Held(on(-10), 2), Held(on(-2), 3)]
    assert history.history_of(cast.mailbox, on(-60))[0] == Held(on(-40), 1)
    now = history.with_now(history.history_of(cast.mailbox, on(-10)), on(-2), 8)
    assert now == [Held(on(-10), 2), Held(on(-2), 8)]


def test_the_day_is_that_of_the_installation(settings: object) -> None:
    settings.TIME_ZONE = "Pacific/Auckland"  # type: ignore[attr-defined]
    assert history.day_of(datetime(2026, 11, 27, 23, 49, tzinfo=UTC)) == date(2026, 11, 28)
    # The clocks are set on a night of its own: both evenings are of their day.
    settings.TIME_ZONE = "Europe/Paris"  # type: ignore[attr-defined]
    assert history.day_of(datetime(2026, 10, 25, 22, 49, tzinfo=UTC)) == date(2026, 10, 25)
    assert history.day_of(datetime(2028, 2, 28, 23, 30, tzinfo=UTC)) == date(2028, 2, 29)


def test_the_job_does_all_of_it_twice_the_same(cast: Cast) -> None:
    hold(cast.mailbox, 100)
    first, second = run_in_foreground("sample_usage").report, run_in_foreground("sample_usage").report
    assert (first["samples"], second["samples"]) == (1, 0)
    assert UsageSample.objects.count() == 1
    assert UsageTotal.objects.filter(customer=None).count() == 1
