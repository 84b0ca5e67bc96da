"""Another address for a mailbox: its mail stays, the old address is free."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from panel.accounts.models import User
from panel.addresses import services
from panel.addresses.models import Mailbox
from panel.addresses.renaming import rename_mailbox
from panel.core.errors import Conflict, Problem
from panel.core.models import AuditEntry, Job
from tests.cast import PASSWORD, Cast

SignedIn = Callable[[User], Client]


def test_only_the_row_changes(cast: Cast) -> None:
    box = cast.mailbox
    old, home, hashed = box.address, box.home, box.password
    rename_mailbox(mailbox=box, local_part="Anna.Martin")
    box.refresh_from_db()
    assert box.address == f"anna.martin@{cast.domain.name}"
    assert (box.home, box.password, box.local_part) == (home, hashed, "anna.martin")
    # Whoever is connected is so by the old address.
    kicks = Job.objects.filter(kind="kick_mailbox")
    assert {job.arguments["address"] for job in kicks} == {old}


def test_it_is_recorded(cast: Cast) -> None:
    old = cast.mailbox.address
    rename_mailbox(mailbox=cast.mailbox, local_part="bob")
    entry = AuditEntry.objects.get(action="mailbox.renamed")
    assert (entry.before["address"], entry.after["address"]) == (old, cast.mailbox.address)
    assert entry.customer_id == cast.customer.pk


def test_old_address_can_be_given_out_and_has_a_home_of_its_own(cast: Cast) -> None:
    rename_mailbox(mailbox=cast.mailbox, local_part="bob")
    other = services.create_mailbox(domain=cast.domain, local_part="anna", password=PASSWORD)
    assert other.home != cast.mailbox.home


def test_another_domain_of_the_same_customer(cast: Cast) -> None:
    domain = services.create_domain(name="second.test", customer=cast.customer)
    rename_mailbox(mailbox=cast.mailbox, local_part="anna", domain=domain)
    cast.mailbox.refresh_from_db()
    assert (cast.mailbox.address, cast.mailbox.domain) == ("anna@second.test", domain)


def test_address_of_a_deleted_mailbox_is_free(cast: Cast) -> None:
    gone = services.create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD)
    services.delete_mailbox(mailbox=gone)
    rename_mailbox(mailbox=cast.mailbox, local_part="bob")
    with pytest.raises(Problem, match="created again"):
        services.restore_mailbox(mailbox=gone)


def test_what_is_refused(cast: Cast) -> None:
    services.create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD)
    foreign = services.create_domain(name="foreign.test", customer=cast.other_customer)
    gone = services.create_domain(name="gone.test", customer=cast.customer)
    services.delete_domain(domain=gone)
    address = cast.mailbox.address
    for local_part, domain in [
        ("bob", None),
        ("anna", None),
        ("a b", None),
        ("", None),
        ("x" * 65, None),
        ("anna", foreign),
        ("anna", gone),
    ]:
        with pytest.raises(Problem):
            rename_mailbox(mailbox=cast.mailbox, local_part=local_part, domain=domain)
        assert Mailbox.objects.get(pk=cast.mailbox.pk).address == address
    assert not AuditEntry.objects.filter(action="mailbox.renamed").exists()


def test_old_form_and_deleted_mailbox(cast: Cast) -> None:
    version = cast.mailbox.version
    services.edit_mailbox(mailbox=cast.mailbox, display_name="Changed")
    with pytest.raises(Conflict):
        rename_mailbox(mailbox=cast.mailbox, local_part="bob", version=version)
    services.delete_mailbox(mailbox=cast.mailbox)
    with pytest.raises(Problem):
        rename_mailbox(mailbox=cast.mailbox, local_part="bob")


def test_page_for_every_role(cast: Cast, signed_in: SignedIn) -> None:
    url = reverse("rename_mailbox", args=[cast.mailbox.pk])
    given = {"domain": cast.domain.pk, "version": ""}
    assert signed_in(cast.stranger).post(url, {**given, "local_part": "x1"}).status_code == 404
    assert signed_in(cast.reader).post(url, {**given, "local_part": "x2"}).status_code == 403
    assert Client().post(url, {**given, "local_part": "x3"}).status_code == 302
    cast.mailbox.refresh_from_db()
    assert cast.mailbox.local_part == "anna"
    for person, local_part in ((cast.manager, "m"), (cast.owner, "o"), (cast.admin, "a")):
        page = signed_in(person).get(url).content.decode()
        assert "refuses mail from then on" in page
        assert signed_in(person).post(url, {**given, "local_part": local_part}).status_code == 302
        cast.mailbox.refresh_from_db()
        assert cast.mailbox.local_part == local_part


def test_page_offers_no_domain_of_others(cast: Cast, signed_in: SignedIn) -> None:
    foreign = services.create_domain(name="foreign.test", customer=cast.other_customer)
    url = reverse("rename_mailbox", args=[cast.mailbox.pk])
    for person in (cast.owner, cast.admin):
        answer = signed_in(person).post(url, {"domain": foreign.pk, "local_part": "anna"})
        assert answer.status_code == 422
    cast.mailbox.refresh_from_db()
    assert cast.mailbox.domain == cast.domain
