"""The owner of a mailbox sets a program up: two questions, a device password, attempts that fail, one that does not."""

from __future__ import annotations

import imaplib
import poplib
import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import sign_in
from tests.stand import Box, Stand

pytestmark = [pytest.mark.live, pytest.mark.browser]


def test_an_owner_sets_a_program_up_and_sees_each_attempt(page: Page, stand: Stand) -> None:
    box = stand.new_mailbox()
    box.deliver("Hello")
    stand.must("setmailbox", box.address, "--protocols", "imap")
    sign_in(page, box.address, box.password)
    page.get_by_role("navigation", name="This mailbox").get_by_role("link", name="Set up").click()

    # The two questions. This browser runs on Linux, and says so.
    device = page.get_by_role("navigation", name="Which device do you set up?")
    expect(device.get_by_role("link", name="Linux")).to_have_attribute("aria-current", "true")
    device.get_by_role("link", name="Windows").click()
    use = page.get_by_role("navigation", name="Where will you read this mail?")
    use.get_by_role("link", name="On several devices").click()
    expect(page.get_by_role("heading", name="We recommend IMAP")).to_be_visible()
    expect(page.get_by_role("heading", name=re.compile("^Set up "))).to_be_visible()

    # A password for the device, made in place.
    page.get_by_role("button", name="Make the password").click()
    expect(page.get_by_role("heading", name="Password of Windows PC")).to_be_visible()
    password = page.locator("#device-password").inner_text()
    page.locator("#password").get_by_role("button", name="Copy").click()
    assert page.evaluate("navigator.clipboard.readText()") == password

    checked = page.locator("#checked")
    by_imap = checked.get_by_role("region", name="IMAP")
    expect(by_imap.get_by_text("Nothing has come by IMAP yet.")).to_be_visible()

    with pytest.raises(imaplib.IMAP4.error), box.imap(password="not-the-password"):
        pass
    expect(by_imap.get_by_text("Not let in")).to_be_visible()
    expect(by_imap.get_by_text("Somebody at 127.0.0.1 tried a wrong password.")).to_be_visible()
    expect(by_imap.get_by_text("type the password again in that program")).to_be_visible()
    expect(page.locator("#announce")).to_contain_text("tried a wrong password")

    client = imaplib.IMAP4_SSL("localhost", stand.ports["imaps"], ssl_context=stand.authority, timeout=60)
    with pytest.raises(imaplib.IMAP4.error):
        client.login("anna", password)
    client.shutdown()
    lacks = f"The user name lacks @{box.address.partition('@')[2]}: type {box.address} as the user name."
    expect(by_imap.get_by_text(lacks)).to_be_visible()

    with pytest.raises(poplib.error_proto), box.pop():
        pass
    by_pop = checked.get_by_role("region", name="POP")
    expect(by_pop.get_by_text("Not let in")).to_be_visible()
    expect(by_pop.get_by_text("ask whoever looks after this mailbox to switch POP on")).to_be_visible()
    expect(by_imap.get_by_text("Not let in")).to_be_visible()

    _stay_in(box, password, by_imap.get_by_text("IMAP from 127.0.0.1 (Windows PC) is signed in now."))
    expect(by_imap.get_by_text("Connected", exact=True)).to_be_visible()
    expect(by_imap.get_by_text("It works: the user name and the password are right.").first).to_be_visible()
    expect(by_pop.get_by_text("Not let in")).to_be_visible()
    # The password stayed on the page all the while, and is on no later one.
    assert page.locator("#device-password").inner_text() == password
    page.reload()
    page.get_by_role("navigation", name="This mailbox").get_by_role("link", name="Set up").click()
    expect(page.locator("#device-password")).to_have_count(0)


def _stay_in(box: Box, password: str, seen: Locator) -> None:
    """Sign in and stay until the page says so, as programs do: again where the session is ended.

    When POP was switched off, whoever was signed in was disconnected, and is some seconds later once more.
    """
    for _attempt in range(10):
        try:
            with box.imap(password=password):
                expect(seen).to_be_visible(timeout=5_000)
        except (AssertionError, imaplib.IMAP4.error, OSError):
            continue
        return
    expect(seen).to_be_visible()


def test_without_a_script_the_page_says_the_same(chromium: Browser, stand: Stand) -> None:
    box = stand.new_mailbox()
    context = chromium.new_context(base_url=stand.url, java_script_enabled=False)
    page = context.new_page()
    sign_in(page, box.address, box.password)
    page.get_by_role("navigation", name="This mailbox").get_by_role("link", name="Set up").click()
    page.get_by_role("link", name="On this device only").click()
    page.get_by_role("link", name="Use POP instead").click()
    expect(page.get_by_text("POP downloads your mail to this device.")).to_be_visible()
    page.get_by_role("link", name="Look again").click()
    expect(page.get_by_text("Nothing has come by POP yet.")).to_be_visible()
    page.get_by_role("button", name="Make the password").click()
    password = page.locator("#device-password").inner_text()
    with box.pop(password) as pop:
        assert pop.stat()
    with context.expect_page() as opened:
        page.get_by_role("link", name="Look in another tab").click()
    again = opened.value
    for _try in range(20):
        if again.get_by_text("(Linux PC)").count():
            break
        again.wait_for_timeout(500)
        again.reload()
    expect(again.get_by_text(re.compile(r"POP from 127\.0\.0\.1 \(Linux PC\)")).first).to_be_visible()
    assert page.locator("#device-password").inner_text() == password
    context.close()


@pytest.mark.parametrize("width", [320, 640, 1360])
def test_every_state_is_in_nobody_s_way(chromium: Browser, stand: Stand, width: int) -> None:
    """axe finds nothing and nothing scrolls sideways; 640 is a desk at 200 %."""
    box = stand.new_mailbox()
    context = chromium.new_context(
        base_url=stand.url,
        viewport={"width": width, "height": 700},
        color_scheme="dark" if width == 320 else "light",
        locale="fr" if width == 320 else "en",
        reduced_motion="reduce",
    )
    page = context.new_page()
    public = f"/setup/?address={box.address}"
    _is_fine(page, "/setup/", "/setup/?address=nobody", public)
    for device in ("windows", "mac", "iphone", "android", "linux"):
        for rest in ("use=several", "use=one&protocol=pop3"):
            _is_fine(page, f"{public}&device={device}&{rest}")
    page.goto("/sign-in/")
    page.locator("input[name=username]").fill(box.address)
    page.locator("input[name=password]").fill(box.password)
    page.locator("main button[type=submit]").first.click()
    page.wait_for_url(re.compile("/mailboxes/"))
    own = f"{page.url.rstrip('/').removeprefix(stand.url)}/setup/"
    _is_fine(page, own, f"{own}?device=windows&use=web", f"{own}?device=iphone&use=one&protocol=pop3")
    page.locator("#password button[type=submit]").click()
    page.wait_for_selector("#device-password")
    assert _wrong_with(page) == []
    context.close()


def _is_fine(page: Page, *places: str) -> None:
    for place in places:
        page.goto(place)
        assert (place, _wrong_with(page)) == (place, [])


def _wrong_with(page: Page) -> list[str]:
    violations = Axe().run(page).response["violations"]
    wrong = [f"{each['id']}: {each['nodes'][0]['html'][:150]}" for each in violations]
    if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
        wrong.append("it scrolls sideways")
    return wrong
