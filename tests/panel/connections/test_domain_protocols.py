"""What a domain switches off: for all its mailboxes, at once, and not before somebody was shown who uses it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from panel.accounts.models import User
from panel.addresses import services, sessions
from panel.addresses.models import Domain, Mailbox
from panel.connections import mailbox_selectors
from panel.connections.mailbox_selectors import users_of_protocol
from panel.core.errors import Conflict, Problem
from panel.core.models import AuditEntry, Job
from tests.cast import PASSWORD, Cast
from tests.panel.connections.rows import refusal, row

SignIn = Callable[[User], Client]


def url_of(cast: Cast) -> str:
    """Return where the protocols of the domain are."""
    return reverse("edit_domain_protocols", args=[cast.domain.name])


def dovecot_sees(cast: Cast) -> str:
    """Return which protocols the view lets in."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT protocols FROM mail_login WHERE address = %s", [cast.mailbox.address])
        return str(cursor.fetchone()[0])


def kicks() -> int:
    """Return how many jobs end sessions of a domain."""
    return Job.objects.filter(kind="kick_domain").count()


def test_what_is_off_is_off_for_every_mailbox_and_ends_sessions(cast: Cast) -> None:
    services.edit_domain_protocols(domain=cast.domain, imap=True, pop3=False)
    assert (dovecot_sees(cast), kicks()) == ("|imap|", 1)
    assert Mailbox.objects.get(pk=cast.mailbox.pk).protocols == ["imap"]
    services.edit_domain_protocols(domain=cast.domain, imap=True, pop3=True)
    assert (dovecot_sees(cast), kicks()) == ("|imap|pop3|", 1)
    services.edit_domain_protocols(domain=cast.domain, imap=True, pop3=True)
    assert AuditEntry.objects.filter(action="domain.protocols_set").count() == 2


def test_a_deleted_domain_and_a_stale_page_change_nothing(cast: Cast) -> None:
    with pytest.raises(Conflict):
        services.edit_domain_protocols(domain=cast.domain, imap=False, pop3=False, version=999)
    services.delete_domain(domain=cast.domain)
    with pytest.raises(Problem):
        services.edit_domain_protocols(domain=cast.domain, imap=False, pop3=False)
    assert Domain.objects.get(pk=cast.domain.pk).imap


def test_it_is_asked_first_and_told_how_many_use_it(cast: Cast, signed_in: SignIn) -> None:
    now = timezone.now()
    other = services.create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD)
    for mailbox in (cast.mailbox, cast.mailbox, other):
        row(mailbox, protocol="pop3", started_at=now - timedelta(days=3))
    refusal(services.create_mailbox(domain=cast.domain, local_part="eve", password=PASSWORD), protocol="pop3")
    row(cast.mailbox, protocol="imap", started_at=now - timedelta(days=31))
    client = signed_in(cast.manager)
    page = client.get(url_of(cast)).content.decode()
    assert "IMAP and POP on" in page
    version = str(cast.domain.version)
    page = client.post(url_of(cast), {"imap": "on", "version": version}).content.decode()
    assert "2 mailboxes used POP in the last 30 days." in page
    assert dovecot_sees(cast) == "|imap|pop3|"
    confirmed = {"imap": "on", "version": version, "confirmed": "yes"}
    answer = client.post(url_of(cast), confirmed, follow=True).content.decode()
    assert "Whoever was signed in on this domain is disconnected." in answer
    assert (dovecot_sees(cast), kicks()) == ("|imap|", 1)
    # A second click of the same button, from a page that is stale by now.
    again = client.post(url_of(cast), confirmed)
    assert (again.status_code, kicks()) == (422, 1)
    # Switching on is not asked about.
    Domain.objects.filter(pk=cast.domain.pk).update(version=50)
    on = client.post(url_of(cast), {"imap": "on", "pop3": "on", "version": "50"})
    assert (on.status_code, dovecot_sees(cast)) == (302, "|imap|pop3|")


def test_nobody_who_uses_it_and_more_than_can_be_counted(
    cast: Cast, signed_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = signed_in(cast.admin)
    page = client.post(url_of(cast), {"version": str(cast.domain.version)}).content.decode()
    assert "No mailbox of this domain used POP in the last 30 days." in page
    assert "No mailbox of this domain used IMAP in the last 30 days." in page
    row(cast.mailbox, started_at=timezone.now())
    row(cast.mailbox, started_at=timezone.now())
    monkeypatch.setattr(mailbox_selectors, "COUNTED_THROUGH", 1)
    users = users_of_protocol(cast.domain, "imap", since=timezone.now() - timedelta(days=1))
    assert (users.count, users.is_whole) == (1, False)
    page = client.post(url_of(cast), {"version": str(cast.domain.version)}).content.decode()
    assert "At least 1 mailbox used IMAP in the last 30 days." in page


def test_who_may(cast: Cast, signed_in: SignIn) -> None:
    confirmed = {"version": str(cast.domain.version), "confirmed": "yes"}
    for person, status in ((cast.reader, 403), (cast.stranger, 404)):
        client = signed_in(person)
        assert client.get(url_of(cast)).status_code == status
        assert client.post(url_of(cast), confirmed).status_code == status
    assert (
        "Switch on or off" not in signed_in(cast.reader).get(f"/domains/{cast.domain.name}/").content.decode()
    )
    assert dovecot_sees(cast) == "|imap|pop3|"


def test_a_mailbox_says_what_its_domain_switched_off(cast: Cast, signed_in: SignIn) -> None:
    services.edit_domain_protocols(domain=cast.domain, imap=True, pop3=False)
    client = signed_in(cast.owner)
    pages = {
        name: client.get(reverse(name, args=[cast.mailbox.pk])).content.decode()
        for name in ("show_mailbox", "show_mailbox_settings", "set_up_mailbox", "edit_mailbox")
    }
    assert "IMAP and POP" not in pages["show_mailbox"]
    assert "switched off by the domain" in pages["show_mailbox_settings"]
    assert "POP3" not in pages["set_up_mailbox"]
    assert "Switched off for the whole domain" in pages["edit_mailbox"]


def test_a_mailbox_s_own_switch_ends_its_sessions_and_says_so(cast: Cast, signed_in: SignIn) -> None:
    client, url = signed_in(cast.manager), reverse("edit_mailbox", args=[cast.mailbox.pk])
    form = {"display_name": "Anna", "quota_0": "none", "quota_preset": "none", "imap": "on"}
    page = client.post(url, {**form, "version": str(cast.mailbox.version)}, follow=True).content.decode()
    assert "Whoever was signed in to this mailbox is disconnected." in page
    assert Job.objects.filter(kind="kick_mailbox").count() == len(sessions.KICKS_AFTER)
