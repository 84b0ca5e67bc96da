"""A customer adds a domain by itself: a record is shown, put into a real DNS server, found, and the domain is there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import sign_in
from tests.dns_server import DnsServer, running
from tests.stand import Stand, wait_for

pytestmark = [pytest.mark.live, pytest.mark.browser]

OWNER, PASSWORD = "owner@martin.test", "violet tractor under 9 moons"


@pytest.fixture(scope="module")
def dns() -> Iterator[DnsServer]:
    """The DNS that the stand asks."""
    with running() as server:
        yield server


@pytest.fixture(scope="module")
def asking(make_stand: Callable[..., Stand], dns: DnsServer) -> Stand:
    """A stand with a customer, whose panel asks that DNS."""
    stand = make_stand(DNS_SERVERS=f"127.0.0.1:{dns.port}")
    stand.start()
    stand.must("createcustomer", "Martin SA", "--owner", OWNER, stdin=f"{PASSWORD}\n")
    return stand


@pytest.fixture
def owner(chromium: Browser, asking: Stand) -> Iterator[Page]:
    """A page where the owner is signed in."""
    context = chromium.new_context(base_url=asking.url, viewport={"width": 1280, "height": 900})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.set_default_timeout(30_000)
    sign_in(page, OWNER, PASSWORD)
    expect(page.get_by_role("heading", name="Mailboxes", exact=True)).to_be_visible()
    yield page
    context.close()


def copied(page: Page, what: str) -> str:
    """Press a button that copies, and return what is on the clipboard then."""
    page.get_by_role("button", name=what).click()
    return str(page.evaluate("navigator.clipboard.readText()"))


def test_from_an_empty_list_to_a_mailbox(owner: Page, asking: Stand, dns: DnsServer) -> None:
    name = "xn--caf-martin-d7a.test"
    owner.get_by_role("link", name="Add a domain").click()
    owner.get_by_label("Domain").fill("Café-Martin.test")
    owner.get_by_role("button", name="Continue").click()
    expect(owner.get_by_role("heading", name="Add café-martin.test")).to_be_visible()
    record, value = copied(owner, "the record's name"), copied(owner, "the record's value")
    assert record == f"_restante.{name}"
    assert re.fullmatch(r"restante-verification=[0-9a-f]{32}", value)

    dns.domains.add(name)
    owner.get_by_role("button", name="Check now").click()
    expect(owner.get_by_text("The record is not there yet")).to_be_visible()
    owner.get_by_role("button", name="Check now").click()
    expect(owner.get_by_text("It was looked for a moment ago")).to_be_visible()
    assert asking.command("createmailbox", f"anna@{name}", stdin=f"{PASSWORD}\n").code == 1

    dns.put(record, value)
    other = owner.context.new_page()
    other.goto(owner.url)

    def added() -> bool:
        owner.get_by_role("button", name="Check now").click()
        owner.wait_for_load_state()
        return owner.get_by_text("café-martin.test is yours").is_visible()

    wait_for(added, "the record to be found")
    expect(owner.get_by_role("heading", name="café-martin.test", exact=True)).to_be_visible()
    # The other page looks for itself, and is led on.
    expect(other.get_by_role("heading", name="café-martin.test", exact=True)).to_be_visible()
    owner.get_by_role("link", name="New mailbox").click()
    owner.get_by_label("Address").fill("anna")
    owner.get_by_role("textbox", name="Password", exact=True).fill(PASSWORD)
    owner.get_by_role("button", name="Create mailbox").click()
    expect(owner.get_by_text("anna@café-martin.test is ready")).to_be_visible()


def test_what_is_not_wanted_any_more_is_given_up(owner: Page) -> None:
    owner.goto("/domains/")
    owner.get_by_role("link", name="Add a domain").first.click()
    owner.get_by_label("Domain").fill("wrong.test")
    owner.get_by_role("button", name="Continue").click()
    owner.goto("/domains/")
    owner.get_by_role("link", name="wrong.test").click()
    owner.get_by_role("link", name="Do not add it").click()
    owner.get_by_role("button", name="Do not add it").click()
    expect(owner.get_by_text("wrong.test is not looked for any more")).to_be_visible()
    expect(owner.get_by_role("link", name="wrong.test")).to_have_count(0)
