"""What owners of mailboxes are told once: found by a job, shown on the overview, gone when dismissed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from panel.accounts.models import User
from panel.addresses.models import DevicePassword, Mailbox
from panel.addresses.services import create_mailbox, set_pop_policy
from panel.connections import notices
from panel.connections.models import Connection, MailboxNotice
from panel.core.jobs import run_in_foreground
from panel.core.models import Job
from tests.cast import PASSWORD, Cast
from tests.panel.connections.mailbox_rows import a_refusal, a_session
from tests.panel.connections.test_mailbox_connections import text_of
from tests.panel.connections.test_recover_pages import owner_client

SignIn = Callable[[User], Client]
NOW = timezone.now()
HOME, OFFICE, HOME6 = "192.0.2.0/24", "198.51.100.0/24", "2001:db8::/48"


@pytest.fixture
def old(cast: Cast) -> Mailbox:
    """A mailbox that is used for half a year."""
    Mailbox.objects.filter(pk=cast.mailbox.pk).update(created_at=NOW - timedelta(days=180))
    a_session(cast.mailbox, started_at=NOW - timedelta(days=60), remote_net=HOME, protocol="pop3")
    cast.mailbox.refresh_from_db()
    return cast.mailbox


def a_use(mailbox: Mailbox, net: str, *, days: float = 0, **values: Any) -> Connection:
    """Save a session of some days ago."""
    at = NOW - timedelta(days=days, minutes=1)
    return a_session(mailbox, started_at=at, ended_at=at, remote_net=net, **values)


def pop(mailbox: Mailbox, net: str, **values: Any) -> Connection:
    """Save one over POP that deleted a message."""
    return a_use(mailbox, net, **{"protocol": "pop3", "retrieved": 1, "deleted": 1, **values})


def found() -> list[str]:
    """Look, and return which notices there are."""
    notices.find(now=timezone.now())
    return sorted(str(row) for row in MailboxNotice.objects.filter(dismissed_at=None))


def test_two_pop_devices_with_one_password(old: Mailbox, cast: Cast) -> None:
    pop(old, HOME)
    pop(old, HOME6)
    pop(old, OFFICE, days=31)
    pop(old, OFFICE, deleted=0, days=2)
    device = DevicePassword.objects.create(mailbox=old, label="PC", secret_hash="a")
    pop(old, OFFICE, device=device, credential="device", days=2)
    assert "shared_pop" not in found()
    pop(old, OFFICE, days=3)
    assert "shared_pop" in found()
    text = text_of(owner_client(old), reverse("show_mailbox", args=[old.pk]))
    assert "POP programs in different places deleted mail" in text
    Mailbox.objects.filter(pk=old.pk).update(device_required=True)
    text = text_of(owner_client(old), reverse("show_mailbox", args=[old.pk]))
    assert "POP programs in different places deleted mail" not in text


def test_pop_that_deletes_beside_imap(old: Mailbox, signed_in: SignIn, cast: Cast) -> None:
    a_use(old, HOME)
    assert found() == []
    pop(old, HOME)
    assert found() == ["pop_and_imap"]
    client, url = signed_in(cast.reader), reverse("show_mailbox", args=[old.pk])
    assert "is shown over IMAP for 30 days more" in text_of(client, url)
    set_pop_policy(mailbox=old, policy="delete")
    assert "What POP deletes is gone from every device" in text_of(client, url)
    set_pop_policy(mailbox=old, policy="keep")
    assert "and IMAP is used too" not in text_of(client, url)


def test_a_new_network_is_told_once(old: Mailbox) -> None:
    a_use(old, HOME)
    assert found() == []
    a_use(old, OFFICE, remote_ip="198.51.100.9", client_name="<script>x")
    a_refusal(old, remote_net="203.0.113.0/24")
    assert found() == [f"new_network {OFFICE}"]
    assert found() == [f"new_network {OFFICE}"]
    page = owner_client(old).get(reverse("show_mailbox", args=[old.pk])).content.decode()
    assert "198.51.100.9 (&lt;script&gt;x)" in page


def test_in_the_first_week_every_network_is_new(cast: Cast) -> None:
    a_use(cast.mailbox, HOME)
    Mailbox.objects.update(created_at=NOW - timedelta(days=100))
    a_use(cast.mailbox, OFFICE)
    assert found() == []
    Connection.objects.update(started_at=NOW - timedelta(days=8))
    a_use(cast.mailbox, HOME)
    a_use(cast.mailbox, HOME6)
    assert found() == [f"new_network {HOME6}"]


def test_many_networks_are_one_notice_and_not_for_ever(old: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "KEPT", 5)
    for number in range(9):
        a_use(old, f"203.0.{number}.0/24", remote_ip=f"203.0.{number}.7")
    assert len(found()) == 5
    text = text_of(owner_client(old), reverse("show_mailbox", args=[old.pk]))
    assert "networks that were not seen before" in text
    assert "and 2 more." in text


def test_dismissed_is_gone_for_all_and_what_came_later_is_not(
    old: Mailbox, cast: Cast, signed_in: SignIn
) -> None:
    a_use(old, OFFICE)
    found()
    client, url = owner_client(old), reverse("dismiss_mailbox_notice", args=[old.pk, "new_network"])
    last = str(MailboxNotice.objects.get().pk)
    a_use(old, HOME6)
    found()
    assert signed_in(cast.reader).post(url, {"last": last}).status_code == 403
    assert signed_in(cast.stranger).post(url, {"last": last}).status_code == 404
    other = create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD)
    owner_client(other).post(
        reverse("dismiss_mailbox_notice", args=[other.pk, "new_network"]), {"last": last}
    )
    for odd in ("", "x", "9" * 30):
        client.post(url, {"last": odd})
    assert len(found()) == 2
    for _twice in range(2):
        assert client.post(url, {"last": last}).status_code == 302
    assert found() == [f"new_network {HOME6}"]
    row = MailboxNotice.objects.get(pk=last)
    assert (row.dismissed_by, row.dismissed_at is not None) == (old.user or row.dismissed_by, True)
    Connection.objects.all().delete()
    assert HOME6 in text_of(client, reverse("show_mailbox", args=[old.pk]))


def test_the_job_goes_on_where_the_last_one_was(old: Mailbox, django_assert_max_num_queries: Any) -> None:
    a_use(old, OFFICE, days=0.4)
    assert run_in_foreground("find_mailbox_notices").report == {"found": 0}
    Job.objects.filter(kind="find_mailbox_notices").update(created_at=NOW - timedelta(days=3))
    a_use(old, HOME6, days=2)
    assert run_in_foreground("find_mailbox_notices").report == {"found": 1}
    for _more in range(30):
        a_use(old, HOME)
    with django_assert_max_num_queries(12):
        notices.find(now=timezone.now())
    MailboxNotice.objects.update(happened_at=NOW - timedelta(days=91))
    assert run_in_foreground("forget_connections").report["notices"] == 1
