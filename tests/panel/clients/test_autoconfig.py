"""Mozilla's autoconfig: exactly the servers that are on, and what POP leaves on them."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest
from defusedxml.ElementTree import fromstring
from django.test import Client

from mailbackend.config import Ports
from panel.addresses import services
from panel.addresses.models import Mailbox
from panel.branding import read_brand
from tests.cast import Cast
from tests.panel.clients.conftest import Environ

pytestmark = pytest.mark.django_db
PATHS = ("/mail/config-v1.1.xml", "/.well-known/autoconfig/mail/config-v1.1.xml")


@pytest.fixture(autouse=True)
def environ(host: Environ) -> Environ:
    """Have a host in production."""
    return host


def asked(address: str = "", path: str = PATHS[0], host: str = "localhost") -> ElementTree.Element:
    """Return the provider in the answer."""
    answer = Client().get(path, {"emailaddress": address} if address else {}, headers={"Host": host})
    assert answer.status_code == 200
    # Other types are refused by Thunderbird.
    assert answer.headers["Content-Type"] == "text/xml; charset=utf-8"
    root: ElementTree.Element = fromstring(answer.content)
    assert (root.tag, root.get("version")) == ("clientConfig", "1.1")
    provider = root.find("emailProvider")
    assert provider is not None
    return provider


def servers(provider: ElementTree.Element, kind: str = "incomingServer") -> list[tuple[Any, ...]]:
    """Return all that is told of the servers of one kind."""
    names = ("hostname", "port", "socketType", "username", "authentication")
    return [
        (server.get("type"), *(server.findtext(name) for name in names)) for server in provider.findall(kind)
    ]


@pytest.mark.parametrize("path", PATHS)
def test_all_that_is_on_the_best_first(cast: Cast, path: str) -> None:
    address = cast.mailbox.address
    provider = asked(address, path)
    assert provider.get("id") == provider.findtext("domain") == cast.domain.name
    assert servers(provider) == [
        ("imap", "mail.host.example", "993", "SSL", address, "password-cleartext"),
        ("imap", "mail.host.example", "143", "STARTTLS", address, "password-cleartext"),
        ("pop3", "mail.host.example", "995", "SSL", address, "password-cleartext"),
        ("pop3", "mail.host.example", "110", "STARTTLS", address, "password-cleartext"),
    ]
    assert servers(provider, "outgoingServer") == [
        ("smtp", "smtp.host.example", "465", "SSL", address, "password-cleartext")
    ]


def test_only_what_is_on(cast: Cast, environ: Environ) -> None:
    environ(mail_ports=Ports(imap=0, imaps=993, pop3=110, pop3s=0), smtp_port=587)
    provider = asked(cast.mailbox.address)
    assert [server[:4] for server in servers(provider)] == [
        ("imap", "mail.host.example", "993", "SSL"),
        ("pop3", "mail.host.example", "110", "STARTTLS"),
    ]
    assert servers(provider, "outgoingServer")[0][:4] == ("smtp", "smtp.host.example", "587", "STARTTLS")
    services.edit_domain_protocols(domain=cast.domain, imap=False, pop3=True)
    assert [server[0] for server in servers(asked(cast.mailbox.address))] == ["pop3"]


def test_nothing_on_is_not_found(environ: Environ) -> None:
    environ(mail_ports=Ports(imap=0, imaps=0, pop3=0, pop3s=0))
    assert Client().get(PATHS[0]).status_code == 404


@pytest.mark.parametrize(
    ("deletes", "days", "told"),
    [
        ("keep_days", 45, ("true", "45")),
        ("keep", None, ("true", "36500")),
        ("delete", None, ("false", None)),
        ("", None, ("true", "30")),
    ],
)
def test_what_pop_leaves_is_what_the_domain_keeps(
    cast: Cast, deletes: str, days: int | None, told: tuple[str, str | None]
) -> None:
    cast.domain.pop_deletes, cast.domain.pop_keep_days = deletes, days
    cast.domain.save()
    # What one mailbox does otherwise is told to nobody who asks without signing in.
    Mailbox.objects.update(pop_deletes=Mailbox.PopDeletes.DELETE)
    for server in asked(cast.mailbox.address).findall("incomingServer"):
        names = ("pop3/leaveMessagesOnServer", "pop3/daysToLeaveMessagesOnServer")
        found = tuple(server.findtext(name) for name in names)
        assert found == (told if server.get("type") == "pop3" else (None, None))


def test_without_a_submission_server_the_mail_host_is_named(cast: Cast, environ: Environ) -> None:
    """Thunderbird refuses what has no outgoing server."""
    environ(smtp_host="")
    assert servers(asked(cast.mailbox.address), "outgoingServer") == [
        ("smtp", "mail.host.example", "465", "SSL", cast.mailbox.address, "password-cleartext")
    ]


def test_without_an_address_the_host_says_the_domain(cast: Cast) -> None:
    """Thunderbird for Android sends none."""
    services.edit_domain_protocols(domain=cast.domain, imap=True, pop3=False)
    for host in (f"autoconfig.{cast.domain.name}", cast.domain.name, f"autoconfig.{cast.domain.name}:8443"):
        for path in PATHS:
            provider = asked(path=path, host=host)
            assert provider.get("id") == cast.domain.name
            assert {server[0] for server in servers(provider)} == {"imap"}
            assert {server[4] for server in servers(provider)} == {"%EMAILADDRESS%"}
    # An address says more than the name does.
    assert asked("someone@else.test", host=cast.domain.name).get("id") == "else.test"


@pytest.mark.parametrize("address", ["", "no address", "a@b@", "anna@", "x" * 5000, "a\x00b@c.test"])
def test_what_is_no_address_gets_what_counts_for_all(cast: Cast, address: str) -> None:
    provider = asked(address)
    assert provider.get("id") == "mail.host.example"
    assert servers(provider)[0][:2] == ("imap", "mail.host.example")
    assert {server[4] for server in servers(provider)} == {"%EMAILADDRESS%"}


def test_addresses_are_told_as_they_are_stored(cast: Cast) -> None:
    provider = asked(" Anna@Café.Example ")
    assert provider.get("id") == "xn--caf-dma.example"
    assert {server[4] for server in servers(provider)} == {"anna@xn--caf-dma.example"}


def test_name_and_help_are_the_hosts(cast: Cast, environ: Environ) -> None:
    brand = read_brand(
        name="A & B <mail> of a very long name".replace("<", "").replace(">", ""),
        logo=None,
        accent="",
        support_url="https://help.host.example/?a=1&b=2",
        footer_links="",
    )
    environ(brand=brand)
    provider = asked(cast.mailbox.address)
    assert provider.findtext("displayName") == "A & B mail of a very long name"
    assert provider.findtext("displayShortName") == "A & B mail of a very"
    links = provider.findall("documentation")
    assert [link.get("url") for link in links] == [
        f"https://panel.host.example/setup/?address={cast.mailbox.address.replace('@', '%40')}",
        "https://help.host.example/?a=1&b=2",
    ]
    assert [(text.get("lang"), bool(text.text)) for text in links[0]] == [("en", True), ("fr", True)]
    environ(brand=read_brand(name="", logo=None, accent="", support_url="mailto:a@b.test", footer_links=""))
    assert len(asked(cast.mailbox.address).findall("documentation")) == 1


def test_forms_are_not_taken() -> None:
    for path in PATHS:
        assert Client().post(path).status_code == 405
        assert Client().head(path).status_code == 200
