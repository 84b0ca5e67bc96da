"""Nobody finds out by what mail programs ask which addresses exist: same answers, same questions to the database.

How long each takes is measured, not tested: `python -m bench --only addresses`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from panel.addresses.models import Mailbox
from tests.cast import Cast
from tests.panel.clients.conftest import Environ
from tests.panel.clients.test_autodiscover import BODY, PATH
from tests.panel.clients.test_codes import read

pytestmark = pytest.mark.django_db
Ask = Callable[[Client, str], Any]
#: Half of them exist.
ADDRESSES = 1000
_UUID = re.compile(rb"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


@pytest.fixture(autouse=True)
def environ(host: Environ) -> Environ:
    """Have a host in production."""
    return host


@pytest.fixture
def addresses(cast: Cast) -> list[str]:
    """Addresses of one domain, of one length. Every other one exists, in all states that a mailbox can have."""
    now = timezone.now()
    states: list[dict[str, Any]] = [
        {},
        {"suspended_at": now},
        {"deleted_at": now},
        {"imap": False},
        {"pop3": False},
        {"pop_deletes": "delete"},
        {"pop_deletes": "keep_days", "pop_keep_days": 7},
        {"provisioned_at": None},
    ]
    found = [f"a{number:04}@{cast.domain.name}" for number in range(ADDRESSES)]
    Mailbox.objects.bulk_create(
        Mailbox(
            **{
                "domain": cast.domain,
                "local_part": address.partition("@")[0],
                "address": address,
                "password": "x" * 110,
                "home": f"made-up/{address}",
                "provisioned_at": now,
                **states[number % len(states)],
            }
        )
        for number, address in enumerate(found[::2])
    )
    return found


ASKED: dict[str, Ask] = {
    "autoconfig": lambda client, address: client.get("/mail/config-v1.1.xml", {"emailaddress": address}),
    "autoconfig of a password": lambda client, address: client.get(
        "/.well-known/autoconfig/mail/config-v1.1.xml",
        {"emailaddress": address},
        headers={"Authorization": "Basic YTpi"},
    ),
    "autodiscover": lambda client, address: client.post(
        PATH, BODY.replace("ADDRESS", address), content_type="text/xml"
    ),
    "autodiscover as JSON": lambda client, address: client.get(
        "/autodiscover/autodiscover.json", {"Email": address, "Protocol": "Autodiscoverv1"}
    ),
    "profile": lambda client, address: client.get("/setup/profile.mobileconfig", {"address": address}),
    "POP profile": lambda client, address: client.get(
        "/setup/profile.mobileconfig", {"address": address, "protocol": "pop3"}
    ),
}


@pytest.mark.parametrize("number", [40, pytest.param(ADDRESSES, marks=pytest.mark.long)])
@pytest.mark.parametrize("what", ASKED)
def test_addresses_half_of_which_exist(addresses: list[str], what: str, number: int) -> None:
    client = Client()
    answers, questions = set(), set()
    for address in addresses[:number]:
        with CaptureQueriesContext(connection) as asked:
            answer = ASKED[what](client, address)
        assert answer.status_code == 200
        # What a profile is known by is made from the address alone: see test_profile.
        content = _UUID.sub(b"UUID", answer.content)
        for written in (address, address.replace("@", "%40")):
            content = content.replace(written.encode(), b"ADDRESS")
        headers = tuple(
            (name, value.replace(address, "ADDRESS")) for name, value in sorted(answer.headers.items())
        )
        answers.add((content, headers))
        questions.add(tuple(query["sql"] for query in asked.captured_queries))
    assert len(answers) == 1
    # Not one that names the address or a mailbox.
    assert len(questions) == 1
    assert not [sql for sql in questions.pop() if "addresses_mailbox" in sql]


def test_codes_say_the_same(addresses: list[str]) -> None:
    for kind in ("profile", "thunderbird", "page"):
        told = {
            read(kind=kind, address=address)
            .replace(address, "ADDRESS")
            .replace(address.replace("@", "%40"), "ADDRESS")
            for address in addresses[:30]
        }
        assert len(told) == 1


def test_a_domain_that_is_not_hosted_is_answered_too() -> None:
    """What would count for it; that a domain is hosted here is no secret: its DNS says it."""
    client = Client()
    for ask in ASKED.values():
        assert ask(client, "anna@not-hosted.example").status_code == 200
