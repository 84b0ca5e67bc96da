"""Fixtures of the panel's tests: a fresh cast in a rolled-back database, and browsers that are signed in."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client
from django.utils import translation

from panel.accounts import notices
from panel.accounts.models import User
from panel.clients import dns_looks
from tests.cast import Cast, make_cast
from tests.dns_server import DnsServer, running


@pytest.fixture(autouse=True)
def plain_static_files(settings: Any) -> None:
    """Serve static files by their own names: nothing is collected for these tests."""
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }


@pytest.fixture(autouse=True)
def no_dns_is_asked(settings: Any) -> None:
    """Ask no resolver of this machine: nothing listens there. The fixture `dns` has one that answers."""
    settings.ENVIRONMENT = dataclasses.replace(settings.ENVIRONMENT, dns_servers=(("127.0.0.1", 9),))


@pytest.fixture(autouse=True)
def no_worker_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is none here that a command could wait for."""
    monkeypatch.setattr("panel.addresses.management.commands.setmailbox.FOLLOWED_WITHIN", 0.0)


@pytest.fixture(autouse=True)
def no_notices_remembered() -> None:
    """Forget the notices of the test before: its database was rolled back."""
    notices.forget()


@pytest.fixture(autouse=True)
def no_certificate_of_before(settings: Any) -> None:
    """No mail service has run: what commands of other tests have made does not sign what this one asks for."""
    for file in settings.DATA_DIR.tls.glob("*"):
        file.unlink()


@pytest.fixture(autouse=True)
def _language_ends_with_the_test() -> Iterator[None]:
    """What a page was answered in does not stay the language of the tests that come next."""
    yield
    translation.deactivate()


@pytest.fixture
def cast(db: None) -> Cast:
    """Everybody, created anew."""
    return make_cast()


@pytest.fixture
def signed_in() -> Callable[[User], Client]:
    """Return a function that gives a signed-in client for a person."""

    def sign_in(person: User) -> Client:
        client = Client()
        client.force_login(person)
        return client

    return sign_in


@pytest.fixture(autouse=True)
def no_look_is_made(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start no look into the DNS, which would outlive its test, but where a test has the `dns` below."""
    if "dns" not in request.fixturenames:
        monkeypatch.setattr(dns_looks, "_start", lambda *_: None)


@pytest.fixture(scope="session")
def dns_server() -> Iterator[DnsServer]:
    """A DNS server for all tests of a process."""
    with running() as server:
        yield server


@pytest.fixture
def dns(dns_server: DnsServer, settings: Any) -> Iterator[DnsServer]:
    """The DNS server, knowing nothing, and the only one that the panel asks."""
    settings.ENVIRONMENT = dataclasses.replace(
        settings.ENVIRONMENT, dns_servers=(("127.0.0.1", dns_server.port),)
    )
    dns_server.forget()
    yield dns_server
    dns_server.forget()
