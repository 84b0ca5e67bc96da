"""The connection log while mail programs come and go: what happens shows without a reload, and without a script."""

from __future__ import annotations

import contextlib
import imaplib
import json
import re
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.stand import Stand

pytestmark = [pytest.mark.live, pytest.mark.browser]


def test_sessions_and_refusals_appear_as_they_happen(admin_page: Page, stand: Stand) -> None:
    box = stand.new_mailbox()
    page = admin_page
    page.goto(f"/connections/?address={quote(box.address)}")
    expect(page.get_by_role("heading", name="No connection fits")).to_be_visible()
    rows = page.locator("table.log tbody tr")
    with box.imap():
        expect(rows.first).to_contain_text("Connected")
        expect(page.locator("#announce")).to_have_text("1 new connection")
    expect(rows.first).to_contain_text("Signed out")
    with contextlib.suppress(imaplib.IMAP4.error), box.imap("a-wrong-passw0rd"):
        pass
    expect(rows.first).to_contain_text("Wrong password")
    expect(rows).to_have_count(2)
    # Whoever reads on is left alone: the link that has the focus keeps it when rows come.
    rows.nth(1).get_by_role("link").first.focus()
    with box.pop() as pop:
        pop.stat()
    expect(rows).to_have_count(3)
    expect(page.locator("table.log tbody tr:nth-child(3) th a")).to_be_focused()


def test_from_a_refusal_to_all_that_its_place_did(admin_page: Page, chromium: Browser, stand: Stand) -> None:
    box = stand.new_mailbox()
    with contextlib.suppress(imaplib.IMAP4.error), box.imap("a-wrong-passw0rd"):
        pass
    page = admin_page
    page.goto(f"/connections/?address={quote(box.address)}")
    expect(page.locator("table.log").get_by_text("Wrong password")).to_be_visible()
    context = chromium.new_context(
        base_url=stand.url, java_script_enabled=False, storage_state=page.context.storage_state()
    )
    plain = context.new_page()
    plain.goto("/connections/")
    plain.get_by_label("Address", exact=True).fill(box.address)
    plain.get_by_label("Outcome").select_option(label="Refused")
    plain.get_by_role("button", name="Search", exact=True).click()
    row = plain.locator("table.log tbody tr")
    expect(row).to_have_count(1)
    row.get_by_role("link").first.click()
    expect(plain.get_by_role("heading", level=1)).to_have_text(box.address)
    expect(plain.get_by_text("Refused because")).to_be_visible()
    plain.get_by_role("link", name=re.compile(r"^127\.|^::1$")).click()
    expect(plain.get_by_role("heading", name="In sum")).to_be_visible()
    expect(plain.get_by_role("link", name=box.address).first).to_be_visible()
    answer = context.request.get(f"/connections/connections.json?address={quote(box.address)}")
    assert [each["reason"] for each in json.loads(answer.text())] == ["wrong_password"]
    context.close()
