"""First steps: for whom, ticked by what is there, gone when all is done or when closed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from panel.accounts.customers import create_customer
from panel.accounts.models import User
from panel.addresses import services
from panel.addresses.owners import owner_of
from tests.cast import PASSWORD, Cast
from tests.panel.accounts.passkeys import add_passkey

SignIn = Callable[[User], Client]


def ticks(client: Client) -> list[bool]:
    """Return which steps of a home are done."""
    return [step.done for step in client.get("/").context["steps"]]


@pytest.fixture
def newcomer(cast: Cast) -> User:
    """The owner of a customer that has nothing yet."""
    customer = create_customer(name="New", owner_email="owner@new.test", owner_password=PASSWORD)
    person: User = customer.members.get()
    return person


def test_a_new_customer_ticks_them_off(cast: Cast, signed_in: SignIn, newcomer: User) -> None:
    client = signed_in(newcomer)
    assert ticks(client) == [False, False, False]
    page = client.get("/").content.decode()
    assert "First steps" in page
    assert "Nothing needs your attention" not in page
    for step in client.get("/").context["steps"]:
        assert client.get(step.url).status_code == 200
    domain = services.create_domain(name="new.test", customer=newcomer.customers.get())
    assert ticks(client) == [True, False, False]
    services.create_mailbox(domain=domain, local_part="anna", password=PASSWORD)
    assert ticks(client) == [True, True, False]
    add_passkey(newcomer, "Telephone")
    assert ticks(client) == []
    assert "First steps" not in client.get("/").content.decode()


def test_an_installation_ticks_them_off(
    cast: Cast, signed_in: SignIn, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = signed_in(cast.admin)
    assert ticks(client) == [True, True, False, False, False]
    for step in client.get("/").context["steps"]:
        assert client.get(step.url).status_code == 200
    add_passkey(cast.admin, "Telephone")
    settings.ENVIRONMENT = replace(settings.ENVIRONMENT, tls_certificate="/x.crt")
    assert ticks(client) == [True, True, True, True, False]
    settings.ENVIRONMENT = replace(settings.ENVIRONMENT, email_url="smtp://localhost:25")
    assert ticks(client) == []


def test_closed_by_one_and_by_nobody_else(cast: Cast, signed_in: SignIn, newcomer: User) -> None:
    for person, other in ((cast.admin, newcomer), (newcomer, cast.owner)):
        client = signed_in(person)
        assert ticks(client)
        assert client.get("/first-steps/hide/").status_code == 405
        assert client.post("/first-steps/hide/")["Location"] == "/"
        assert ticks(client) == []
        assert ticks(signed_in(other))


def test_not_for_those_who_cannot_take_them(cast: Cast, signed_in: SignIn) -> None:
    assert ticks(signed_in(cast.reader)) == []
    acting = signed_in(cast.admin)
    acting.post(f"/customers/{cast.customer.pk}/act/")
    assert ticks(acting) == []
    owner = owner_of(cast.mailbox)
    assert owner is not None
    client = Client()
    client.force_login(owner, settings.AUTHENTICATION_BACKENDS[-1])
    assert client.post("/first-steps/hide/").status_code == 403
    assert Client().post("/first-steps/hide/")["Location"].startswith("/sign-in/")
    # Only homes have them.
    assert "First steps" not in signed_in(cast.owner).get("/mailboxes/").content.decode()
