"""Somebody sets a mail program up while the page that checks it is open, and looks at what connected."""

from __future__ import annotations

import imaplib
import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import sign_in
from tests.stand import Stand

pytestmark = [pytest.mark.live, pytest.mark.browser]


def test_a_set_up_goes_wrong_and_then_right_on_the_open_page(page: Page, stand: Stand) -> None:
    box = stand.new_mailbox()
    box.deliver("Hello")
    sign_in(page, box.address, box.password)
    tabs = page.get_by_role("navigation", name="This mailbox")
    tabs.get_by_role("link", name="Set up").click()
    page.get_by_role("link", name="Check the set-up").click()
    checked = page.locator("#checked")
    expect(checked.get_by_text("Nothing has come yet.")).to_be_visible()

    with pytest.raises(imaplib.IMAP4.error), box.imap(password="not-the-password"):
        pass
    expect(checked.get_by_text("Somebody at 127.0.0.1 tried a wrong password.")).to_be_visible()
    expect(checked.get_by_text("type the password again in that program")).to_be_visible()
    # It is read out too.
    expect(page.locator("#announce")).to_contain_text("tried a wrong password")

    client = imaplib.IMAP4_SSL("localhost", stand.ports["imaps"], ssl_context=stand.authority, timeout=60)
    with pytest.raises(imaplib.IMAP4.error):
        client.login("anna", box.password)
    client.shutdown()
    lacks = f"The user name lacks @{box.address.partition('@')[2]}: type {box.address} as the user name."
    expect(checked.get_by_text(lacks)).to_be_visible()

    with box.imap() as client:
        expect(checked.get_by_text(re.compile("IMAP from 127.0.0.1.* is signed in now."))).to_be_visible()
        client.select("INBOX")
        client.fetch("1:*", "(RFC822)")
    expect(checked.get_by_text(re.compile("IMAP from 127.0.0.1.* downloaded 2 messages."))).to_be_visible()
    expect(checked.get_by_text("Somebody at 127.0.0.1 tried a wrong password.")).to_be_visible()

    tabs.get_by_role("link", name="Connections").click()
    expect(page.get_by_role("heading", name="Today")).to_be_visible()
    expect(page.get_by_text("No mail program is signed in at this moment.")).to_be_visible()
    with box.pop() as pop:
        expect(page.get_by_text("POP from 127.0.0.1 is signed in now.").first).to_be_visible()
        pop.retr(1)
        pop.dele(1)
    expect(page.get_by_text("POP from 127.0.0.1 downloaded 1 message and deleted it for POP")).to_be_visible()
    page.get_by_text("What this means").click()
    means = page.get_by_text("A copy stays on the server for 30 days, and IMAP shows it.")
    expect(means).to_be_visible()
    # What was opened stays open when the page renews itself.
    with pytest.raises(imaplib.IMAP4.error), box.imap(password="not-the-password"):
        pass
    expect(page.get_by_text("Somebody at 127.0.0.1 tried a wrong password.")).to_have_count(2)
    expect(means).to_be_visible()

    page.get_by_role("navigation", name="Show").get_by_role("link", name="Refused").click()
    expect(page.get_by_text("tried a wrong password").first).to_be_visible()
    expect(page.get_by_text("signed in for")).to_have_count(0)
