"""An administrator acts for a customer: sees it alone, the host's pages are closed meanwhile, all is recorded."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from panel.accounts import customers
from panel.accounts.middleware import ACTING_FOR
from panel.accounts.models import User
from panel.addresses import services
from panel.core.models import AuditEntry
from tests.cast import Cast

SignedIn = Callable[[User], Client]

HOSTS = ["list_customers", "create_customer", "list_jobs", "show_service", "stop_service", "create_domain"]


@pytest.fixture
def acting(cast: Cast, signed_in: SignedIn) -> Client:
    """An administrator who acts for the customer."""
    client = signed_in(cast.admin)
    assert client.post(reverse("act_for_customer", args=[cast.customer.pk])).status_code == 302
    return client


def test_every_page_says_so_and_offers_to_stop(cast: Cast, acting: Client) -> None:
    for name in ("home", "list_mailboxes", "list_domains", "list_audit"):
        page = acting.get(reverse(name)).content.decode()
        assert "You act for <strong>Martin SA</strong>" in page
        assert reverse("end_acting") in page
    assert "You act for" in acting.get(reverse("list_jobs")).content.decode()


@pytest.mark.parametrize("name", HOSTS)
def test_the_hosts_pages_are_closed_meanwhile(cast: Cast, acting: Client, name: str) -> None:
    assert acting.get(reverse(name)).status_code == 403
    acting.post(reverse("end_acting"))
    assert acting.get(reverse(name)).status_code == 200


def test_others_do_not_exist_meanwhile(cast: Cast, acting: Client) -> None:
    theirs = services.create_domain(name="theirs.test", customer=cast.other_customer)
    assert acting.get(reverse("show_domain", args=[theirs.name])).status_code == 404
    assert acting.get(reverse("show_customer", args=[cast.other_customer.pk])).status_code == 404
    assert acting.post(reverse("act_for_customer", args=[cast.other_customer.pk])).status_code == 404
    assert acting.post(reverse("act_for_customer", args=[cast.customer.pk])).status_code == 403
    assert acting.get(reverse("show_mailbox", args=[cast.mailbox.pk])).status_code == 200
    page = acting.get(reverse("list_audit")).content.decode()
    assert "theirs.test" not in page
    assert cast.mailbox.address in page


def test_what_is_done_bears_for_whom(cast: Cast, acting: Client) -> None:
    acting.post(reverse("suspend_mailbox", args=[cast.mailbox.pk]), {"reason": "asked by telephone"})
    acting.post(reverse("end_acting"))
    acting.post(reverse("resume_mailbox", args=[cast.mailbox.pk]))
    told = {
        entry.action: (entry.actor, entry.on_behalf_of, entry.customer_id)
        for entry in AuditEntry.objects.filter(actor="admin@host.test")
    }
    admin, pk = "admin@host.test", cast.customer.pk
    assert told["acting.started"] == (admin, "", pk)
    assert told["mailbox.suspended"] == (admin, "Martin SA", pk)
    assert told["acting.ended"] == (admin, "Martin SA", pk)
    assert told["mailbox.resumed"] == (admin, "", pk)


def test_they_may_what_an_owner_may(cast: Cast, acting: Client) -> None:
    url = reverse("invite_member", args=[cast.customer.pk])
    assert acting.post(url, {"email": "x@martin.test", "role": "reader"}).status_code == 302
    assert acting.post(reverse("suspend_customer", args=[cast.customer.pk])).status_code == 403


def test_nobody_else_acts(cast: Cast, signed_in: SignedIn) -> None:
    for person, status in ((cast.owner, 403), (cast.reader, 403), (cast.stranger, 404)):
        client = signed_in(person)
        assert client.post(reverse("act_for_customer", args=[cast.customer.pk])).status_code == status
        session = client.session
        session[ACTING_FOR] = cast.customer.pk
        session.save()
        page = client.get(reverse("home")).content.decode()
        assert "You act for" not in page
        assert client.post(reverse("end_acting"))["Location"] == reverse("home")
    assert not AuditEntry.objects.filter(action__startswith="acting").exists()
    assert Client().post(reverse("end_acting")).status_code == 302


def test_it_ends_with_the_session(cast: Cast, acting: Client, signed_in: SignedIn) -> None:
    acting.logout()
    acting.force_login(cast.admin)
    assert "You act for" not in acting.get(reverse("home")).content.decode()


def test_a_suspended_customer_can_be_acted_for(cast: Cast, acting: Client) -> None:
    customers.mark_suspended(customer=cast.customer)
    assert acting.get(reverse("show_mailbox", args=[cast.mailbox.pk])).status_code == 200
