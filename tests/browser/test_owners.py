"""The owner of a mailbox: chooses a password by a link, signs in, changes it, and is shut out at once."""

from __future__ import annotations

import imaplib
import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import sign_in
from tests.stand import Box, Stand, wait_for

pytestmark = [pytest.mark.live, pytest.mark.browser]

CHOSEN, CHANGED = "violet tractor under 9 moons", "seven quiet lanterns by 2 rivers"


def fill(page: Page, name: str, text: str) -> None:
    """Fill in a password."""
    page.get_by_role("textbox", name=name, exact=True).fill(text)


def works(box: Box, password: str) -> bool:
    """Whether a mail program gets in with a password."""
    try:
        with box.imap(password):
            return True
    except imaplib.IMAP4.error:
        return False


def ended(client: imaplib.IMAP4) -> bool:
    """Whether a session of a mail program is over."""
    try:
        client.noop()
    except (imaplib.IMAP4.error, OSError):
        return True
    return False


def test_from_a_link_to_being_shut_out(admin_page: Page, chromium: Browser, stand: Stand) -> None:
    box = stand.new_mailbox()
    admin_page.goto(f"/mailboxes/?q={box.address}")
    admin_page.get_by_role("link", name=box.address).click()
    admin_page.get_by_role("navigation", name="This mailbox").get_by_role("link", name="Settings").click()
    admin_page.get_by_role("button", name="Give its owner a link to choose a password").click()
    admin_page.get_by_role("button", name=re.compile("^Copy")).click()
    copied = admin_page.evaluate("navigator.clipboard.readText()")
    assert "token=" in copied

    context = chromium.new_context(base_url=stand.url)
    page = context.new_page()
    page.set_default_timeout(30_000)
    page.goto(f"/mailbox-password/?{copied.partition('?')[2]}")
    fill(page, "New password", "abcdefgh")
    page.get_by_role("button", name="Set password").click()
    expect(page.get_by_role("heading", name="Nothing was saved yet")).to_be_visible()
    fill(page, "New password", CHOSEN)
    expect(page.get_by_text("Strong")).to_be_visible()
    fill(page, "New password again", CHOSEN)
    page.get_by_role("button", name="Set password").click()
    expect(page.get_by_label("E-mail")).to_have_value(box.address)
    assert works(box, CHOSEN)
    assert not works(box, box.password)

    fill(page, "Password", CHOSEN)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name=box.address)).to_be_visible()
    expect(page.get_by_role("link", name="Domains")).to_have_count(0)
    page.get_by_role("main").get_by_role("link", name="Change password").click()
    fill(page, "Current password", CHOSEN)
    fill(page, "New password", CHANGED)
    fill(page, "New password again", CHANGED)
    with box.imap(CHOSEN) as before:
        page.get_by_role("main").get_by_role("button", name="Change password").click()
        expect(page.get_by_text("Your new password works now")).to_be_visible()
        assert works(box, CHANGED)
        assert not works(box, CHOSEN)
        wait_for(lambda: ended(before), "the session of the old password to end")

    stand.must("setmailbox", box.address, "--suspend")
    page.reload()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    sign_in(page, box.address, CHANGED)
    expect(page.get_by_text("is suspended")).to_be_visible()
    assert not works(box, CHANGED)
    context.close()
