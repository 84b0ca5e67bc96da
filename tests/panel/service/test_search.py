"""The search over everything: who finds what, how much of it, and with how many questions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from panel.accounts import members
from panel.accounts.models import User
from panel.addresses import services
from panel.addresses.models import Mailbox
from panel.addresses.owners import owner_of
from panel.core import pages
from panel.core.models import Job
from panel.service import search
from tests.cast import PASSWORD, Cast

SignIn = Callable[[User], Client]
URL = "/search/"


def found(client: Client, q: str) -> dict[str, list[str]]:
    """Return what is found, by kind."""
    answer = client.get(URL, {"q": q})
    assert answer.status_code == 200
    return {group.kind: [hit.label for hit in group.hits] for group in answer.context["groups"]}


def fill(cast: Cast, number: int) -> None:
    """Make rows without homes, m0000 and on."""
    now = timezone.now()
    Mailbox.objects.bulk_create(
        Mailbox(
            domain=cast.domain,
            local_part=f"m{index:04}",
            address=f"m{index:04}@{cast.domain.name}",
            home=f"x/{index}",
            provisioned_at=now,
        )
        for index in range(number)
    )


def test_each_kind_is_found_by_an_admin(cast: Cast, signed_in: SignIn) -> None:
    client = signed_in(cast.admin)
    Job.objects.create(kind="check_mail", due_at=timezone.now(), state=Job.State.DONE)
    assert found(client, "anna") == {"mailboxes": [cast.mailbox.address]}
    assert found(client, "Anna Mart")["mailboxes"] == [cast.mailbox.address]
    assert found(client, cast.domain.name)["domains"] == [cast.domain.name]
    assert found(client, "martin sa")["customers"] == ["Martin SA"]
    assert found(client, "reader@")["people"] == ["reader@martin.test"]
    assert found(client, "checking the mail") == {"jobs": ["Checking the mail folders"]}
    assert found(client, "admin@host")["people"] == ["admin@host.test"]


def test_nobody_finds_what_is_not_theirs(cast: Cast, signed_in: SignIn) -> None:
    Job.objects.create(kind="check_mail", due_at=timezone.now(), state=Job.State.DONE)
    stranger = signed_in(cast.stranger)
    for q in ("anna", "martin", cast.domain.name, "reader@", "admin@", "checking the mail"):
        assert found(stranger, q) == {}, q
        for only in search.KINDS:
            assert stranger.get(URL, {"q": q, "only": only}).context["hits"] == []
    acting = signed_in(cast.admin)
    acting.post(reverse("act_for_customer", args=[cast.customer.pk]))
    for client in (signed_in(cast.owner), signed_in(cast.manager), signed_in(cast.reader), acting):
        assert found(client, "anna") == {"mailboxes": [cast.mailbox.address]}
        assert set(found(client, "martin")) == {"mailboxes", "domains", "customers", "people"}
        assert found(client, "stranger") == found(client, "admin@") == found(client, "checking") == {}


def test_a_customers_people_find_only_their_own_of_a_person(cast: Cast, signed_in: SignIn) -> None:
    members.add_member(customer=cast.other_customer, person=cast.reader, role="reader")
    page = signed_in(cast.owner).get(URL, {"q": "reader@"}).content.decode()
    assert "Martin SA (Read-only)" in page
    assert "Other" not in page


def test_owners_of_mailboxes_have_no_search(cast: Cast) -> None:
    owner = owner_of(cast.mailbox)
    assert owner is not None
    client = Client()
    assert client.get(URL)["Location"].startswith("/sign-in/")
    client.force_login(owner, settings.AUTHENTICATION_BACKENDS[-1])
    assert client.get(URL, {"q": "anna"}).status_code == 403
    assert "data-seek" not in client.get(f"/mailboxes/{cast.mailbox.pk}/").content.decode()


def test_every_hit_and_every_all_lead_somewhere(cast: Cast, signed_in: SignIn) -> None:
    fill(cast, 8)
    Job.objects.bulk_create(
        Job(kind="check_mail", due_at=timezone.now(), state=Job.State.DONE) for _ in range(7)
    )
    for index in range(7):
        members.add_member(
            customer=cast.customer,
            person=User.objects.create(email=f"m{index}@people.test", password="!"),
            role="reader",
        )
    for person in (cast.admin, cast.reader):
        client = signed_in(person)
        for q in ("m", "checking"):
            for group in client.get(URL, {"q": q}).context["groups"]:
                assert len(group.hits) <= search.FIRST
                for hit in group.hits:
                    assert client.get(hit.url).status_code == 200, hit
                answer = client.get(group.url)
                assert answer.status_code == 200
                assert len(answer.context["page_obj"]) == group.total, group


def test_counting_ends_somewhere(cast: Cast, signed_in: SignIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "COUNTED", 20)
    fill(cast, 30)
    page = signed_in(cast.admin).get(URL, {"q": "m00"}).content.decode()
    assert "All of more than 20" in page


def test_deleted_ones_are_in_the_lists_alone(cast: Cast, signed_in: SignIn) -> None:
    services.delete_mailbox(mailbox=cast.mailbox)
    assert found(signed_in(cast.owner), "anna") == {}


def test_while_one_types_a_part_is_answered(cast: Cast, signed_in: SignIn) -> None:
    client = signed_in(cast.owner)
    answer = client.get(URL, {"q": "anna"}, headers={"HX-Request": "true"})
    assert "<html" not in answer.content.decode()
    assert cast.mailbox.address in answer.content.decode()
    assert "HX-Request" in answer["Vary"]
    nothing = client.get(URL, {"q": " "}, headers={"HX-Request": "true"}).content.decode()
    assert "Nothing found" not in nothing
    odd = '<script>"&%'
    page = client.get(URL, {"q": odd}).content.decode()
    assert "Nothing found" in page
    assert odd not in page


def test_domains_in_their_own_letters(cast: Cast, signed_in: SignIn) -> None:
    services.create_domain(name="café.test", customer=cast.customer)
    assert found(signed_in(cast.owner), "café.test")["domains"] == ["café.test"]


def test_query_count_does_not_grow(cast: Cast, signed_in: SignIn, django_assert_max_num_queries: Any) -> None:
    for index in range(20):
        services.create_domain(name=f"m{index}.test", customer=cast.customer)
    fill(cast, 200)
    services.create_mailbox(domain=cast.domain, local_part="mm", password=PASSWORD)
    for person in (cast.admin, cast.owner):
        client = signed_in(person)
        client.get(URL)
        with django_assert_max_num_queries(18):
            client.get(URL, {"q": "m"})
