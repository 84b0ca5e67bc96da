"""The DNS page in a browser: what should be there at once, what is as soon as the DNS says it, also without scripts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import sign_in
from tests.dns_server import DnsServer, running
from tests.stand import Stand

pytestmark = [pytest.mark.live, pytest.mark.browser]

PASSWORD = "an-admins-passw0rd"


@pytest.fixture(scope="module")
def dns() -> Iterator[DnsServer]:
    """A DNS server of this module's own."""
    with running() as server:
        yield server


@pytest.fixture(scope="module")
def stand(make_stand: Callable[..., Stand], dns: DnsServer) -> Stand:
    """A stand that asks it, with an administrator and a domain."""
    stand = make_stand(DNS_SERVERS=f"127.0.0.1:{dns.port}", MX_HOSTS="mx.host.example")
    stand.start()
    stand.must("createadmin", "admin@host.test", stdin=f"{PASSWORD}\n")
    stand.must("createcustomer", "Martin", "--owner", "owner@martin.test", stdin=f"{PASSWORD}\n")
    for name in ("martin.test", "slow.test"):
        stand.must("createdomain", name, "--customer", "Martin")
    return stand


def test_the_answer_comes_by_itself_and_a_change_is_seen_by_looking_again(page: Page, dns: DnsServer) -> None:
    dns.put_all("martin.test MX 10 mx.elsewhere.example.")
    sign_in(page, "owner@martin.test", PASSWORD)
    page.goto("/domains/martin.test/")
    page.get_by_role("link", name="DNS", exact=True).click()
    expect(page.get_by_text("does not arrive here")).to_be_visible()
    expect(page.get_by_text("mx.elsewhere.example.")).to_be_visible()
    page.locator("article", has_text="Mail server (MX)").get_by_role(
        "button", name="Copy the record's value"
    ).click()
    assert page.evaluate("navigator.clipboard.readText()") == "10 mx.host.example."
    dns.records["martin.test", "MX"] = ["10 mx.host.example."]
    right = page.get_by_text("Mail for this domain arrives here.")
    again = page.get_by_role("link", name="Look up again")
    # What was looked up some seconds ago is not looked up again at once.
    for _attempt in range(30):
        again.click()
        expect(again).to_be_visible()
        if right.is_visible():
            break
        page.wait_for_timeout(1000)
    expect(right).to_be_visible()


def test_without_scripts_the_page_is_opened_again(chromium: Browser, stand: Stand, dns: DnsServer) -> None:
    context = chromium.new_context(base_url=stand.url, java_script_enabled=False, locale="en")
    page = context.new_page()
    dns.silent.add("slow.test")
    sign_in(page, "owner@martin.test", PASSWORD)
    page.goto("/domains/slow.test/dns/")
    expect(page.get_by_text("The DNS is being looked at.")).to_be_visible()
    expect(page.get_by_text("10 mx.host.example.").first).to_be_visible()
    see = page.get_by_role("link", name="See what it says")
    for _attempt in range(60):
        if not see.is_visible():
            break
        page.wait_for_timeout(500)
        see.click()
    expect(page.get_by_text("The DNS gave no answer.").first).to_be_visible()
    context.close()
