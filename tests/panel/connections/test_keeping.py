"""The log is kept as long as the platform says, and no longer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.conf import settings
from django.test import Client

from panel.accounts.models import User
from panel.connections import keeping
from panel.connections.keeping import forget_connections
from panel.connections.models import Connection, HourlyCount, LogGap
from panel.core.models import AuditEntry, Installation
from tests.cast import Cast
from tests.panel.connections.rows import NOON, row

SignIn = Callable[[User], Client]
DAY = 24 * 60
SETTINGS = {
    "default_quota_preset": "",
    "default_quota_other": "",
    "pop_deletes": "inherit",
    "days": "",
    "connection_days": "90",
}


def test_what_is_older_ends_and_open_sessions_stay(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "PIECE", 3)
    Installation.objects.update(connection_days=10)
    for day in range(9):
        row(cast.mailbox, minutes=-(11 + day) * DAY)
    kept = [row(cast.mailbox, minutes=-9 * DAY), row(cast.mailbox, minutes=-50 * DAY, ended_at=None)]
    for days in (5, 15):
        at = NOON - timedelta(days=days)
        HourlyCount.objects.create(hour=at, protocol="imap", outcome="accepted", connections=1)
        LogGap.objects.create(node="mail1", cause="log_killed", began_at=at, ended_at=at)
    assert forget_connections(now=NOON) == {"connections": 9, "hours": 1, "gaps": 1}
    assert set(Connection.objects.all()) == set(kept)
    assert (HourlyCount.objects.count(), LogGap.objects.count()) == (1, 1)
    assert forget_connections(now=NOON) == {"connections": 0, "hours": 0, "gaps": 0}


def test_it_happens_every_night() -> None:
    assert ["forget_connections"] in [entry.get("args") for entry in settings.CELERY_BEAT_SCHEDULE.values()]


def test_the_host_says_how_long(cast: Cast, signed_in: SignIn) -> None:
    client = signed_in(cast.admin)
    version = Installation.objects.get().version
    answer = client.post("/settings/", {**SETTINGS, "connection_days": "30", "version": version})
    assert answer.status_code == 302
    assert Installation.objects.get().connection_days == 30
    entry = AuditEntry.objects.latest("pk")
    assert (entry.action, entry.before, entry.after) == (
        "platform.settings_changed",
        {"connection_days": 90},
        {"connection_days": 30},
    )
    assert "Kept for 30 days" in client.get("/settings/").content.decode()


@pytest.mark.parametrize("days", ["", "0", "-1", "3651", "1.5", "many", "9" * 30])
def test_no_other_number_of_days(cast: Cast, signed_in: SignIn, days: str) -> None:
    version = Installation.objects.get().version
    answer = signed_in(cast.admin).post(
        "/settings/", {**SETTINGS, "connection_days": days, "version": version}
    )
    assert answer.status_code == 422
    assert Installation.objects.get().connection_days == 90


def test_how_long_deleted_messages_can_be_recovered_is_not_shortened_here(
    cast: Cast, signed_in: SignIn
) -> None:
    # It ends mail: the pages of retention ask first.
    client, version = signed_in(cast.admin), Installation.objects.get().version
    client.post("/settings/", {**SETTINGS, "recovery_days": "1", "version": version})
    assert Installation.objects.get().recovery_days == 14
    assert "Can be recovered for 14 days" in client.get("/settings/").content.decode()


def test_customers_have_no_say(cast: Cast, signed_in: SignIn) -> None:
    assert (
        b"connection_days"
        not in signed_in(cast.owner).get(f"/customers/{cast.customer.pk}/settings/").content
    )
