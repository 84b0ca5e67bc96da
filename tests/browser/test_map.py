"""Finding anything by the keyboard alone, and a notice from its writing to its dismissal."""

from __future__ import annotations

import secrets

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import sign_in
from tests.stand import Stand

pytestmark = [pytest.mark.live, pytest.mark.browser]


def test_a_mailbox_is_found_by_the_keyboard(admin_page: Page, stand: Stand) -> None:
    box = stand.new_mailbox(local_part=f"m{secrets.token_hex(4)}")
    page = admin_page
    page.goto("/service/")
    page.keyboard.press("/")
    field = page.get_by_role("searchbox", name="Find anything")
    expect(field).to_be_focused()
    page.keyboard.type(box.address.partition("@")[0])
    found = page.get_by_role("region", name="Mailboxes").get_by_role("link", name=box.address)
    expect(found).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(found).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(field).to_be_focused()
    page.keyboard.press("Escape")
    expect(found).to_be_hidden()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Search")
    page.keyboard.press("/")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(box.address)
    # In a field it is a letter like any other.
    page.goto("/mailboxes/")
    page.get_by_role("searchbox", name="Search").press("/")
    expect(page.get_by_role("searchbox", name="Search")).to_have_value("/")


def test_the_key_can_be_switched_off(admin_page: Page) -> None:
    page = admin_page
    page.goto("/search/")
    page.get_by_role("checkbox").uncheck()
    page.goto("/mailboxes/")
    page.locator("h1").click()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox", name="Find anything")).not_to_be_focused()


def test_the_search_works_without_a_script(admin_page: Page, chromium: Browser, stand: Stand) -> None:
    box = stand.new_mailbox(local_part=f"m{secrets.token_hex(4)}")
    context = chromium.new_context(
        base_url=stand.url, java_script_enabled=False, storage_state=admin_page.context.storage_state()
    )
    page = context.new_page()
    page.goto("/domains/")
    field = page.get_by_role("searchbox", name="Find anything")
    field.fill(box.address)
    field.press("Enter")
    page.get_by_role("link", name=box.address).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(box.address)
    context.close()


def test_a_notice_from_its_writing_to_its_end(admin_page: Page, chromium: Browser, stand: Stand) -> None:
    text = f"Work on Sunday {secrets.token_hex(4)}"
    page = admin_page
    page.goto("/notices/new/")
    page.get_by_label("Text in English").fill(text)
    page.get_by_label("Text in French").fill("Travaux dimanche")
    page.get_by_label("Owners of mailboxes").check()
    page.get_by_role("button", name="Save notice").click()
    expect(page.get_by_role("rowheader", name=text)).to_be_visible()
    box = stand.new_mailbox()
    context = chromium.new_context(base_url=stand.url)
    owner = context.new_page()
    sign_in(owner, box.address, box.password)
    told = owner.get_by_role("region", name="Notices of your host")
    # Another process may show it some seconds later.
    for _ in range(20):
        if told.is_visible():
            break
        owner.wait_for_timeout(1000)
        owner.reload()
    expect(told).to_contain_text(text)
    told.get_by_role("button", name=text).click()
    expect(told).to_be_hidden()
    context.close()
    page.get_by_role("row", name=text).get_by_role("button", name="End now").click()
    expect(page.get_by_role("row", name=text)).to_contain_text("Over")
