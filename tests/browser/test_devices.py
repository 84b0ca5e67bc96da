"""A device password from its page to a mail program: made, seen once, used, shown as used, revoked, refused."""

from __future__ import annotations

import imaplib
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.stand import Stand, wait_for

pytestmark = [pytest.mark.live, pytest.mark.browser]

NAME = "Anna’s <phone>"


def test_a_device_password_from_its_page_to_a_mail_program(admin_page: Page, stand: Stand) -> None:
    box, page = stand.new_mailbox(), admin_page
    page.goto(f"/mailboxes/?q={box.address}")
    page.get_by_role("link", name=box.address).click()
    page.get_by_role("navigation", name="This mailbox").get_by_role("link", name="Devices").click()
    page.get_by_role("link", name="New device password").click()
    page.get_by_label("Name of the device").fill(NAME)
    page.get_by_role("button", name="Make the password").click()
    password = page.locator("#device-password").inner_text()
    page.get_by_role("button", name="Copy").click()
    assert page.evaluate("navigator.clipboard.readText()") == password
    page.get_by_role("link", name="Back to the devices").click()
    row = page.get_by_role("row").filter(has_text=NAME)
    expect(row).to_contain_text("Not yet")
    expect(page.get_by_text(password)).to_have_count(0)

    with box.imap(password) as client:
        client.select("INBOX")
        wait_for(lambda: _is_used(page), "the device to be shown as used")
        expect(page.get_by_role("listitem").filter(has_text=NAME)).to_contain_text("Connected")
        row.get_by_role("link", name="Revoke").click()
        page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
        expect(page.get_by_text("is revoked: it cannot connect any more.")).to_be_visible()
        wait_for(lambda: _ended(client), "the session of the revoked device to end")
    with pytest.raises(imaplib.IMAP4.error), box.imap(password):
        pass
    with box.imap():
        pass


def test_a_protocol_that_a_domain_switches_off(admin_page: Page, stand: Stand) -> None:
    box, page = stand.new_mailbox(), admin_page
    with box.imap() as client:
        page.goto(f"/domains/{box.address.partition('@')[2]}/")
        page.get_by_role("link", name="Switch on or off").click()
        page.get_by_label("IMAP", exact=True).uncheck()
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("heading", name="Switch IMAP off on")).to_be_visible()
        client.noop()
        page.get_by_role("button", name="Switch off").click()
        expect(page.get_by_text("Whoever was signed in on this domain is disconnected.")).to_be_visible()
        wait_for(lambda: _ended(client), "the open session to end")
    with pytest.raises(imaplib.IMAP4.error), box.imap():
        pass
    with box.pop() as pop:
        assert pop.stat()[0] == 1
    wait_for(
        lambda: "protocol_off" in [row["reason"] for row in _connections(stand, box.address)],
        "the refusal to be recorded with its reason",
    )


def _connections(stand: Stand, address: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stand.must("connections", "--address", address)
    return found


def _is_used(page: Page) -> bool:
    page.reload()
    return page.get_by_role("row").filter(has_text=NAME).get_by_text("IMAP, from").count() == 1


def _ended(client: imaplib.IMAP4) -> bool:
    try:
        client.noop()
    except (imaplib.IMAP4.error, OSError):
        return True
    return False
