"""The way from POP to IMAP: what POP deleted and hid is in everybody's hands again, and POP is refused."""

from __future__ import annotations

import poplib

import pytest
from playwright.sync_api import Page, expect

from tests.stand import Stand, wait_for

pytestmark = [pytest.mark.live, pytest.mark.browser, pytest.mark.long]


def test_from_pop_to_imap(admin_page: Page, stand: Stand) -> None:
    box, page = stand.new_mailbox(), admin_page
    subjects = box.subjects()
    with box.pop() as pop:
        assert pop.stat()[0] == 1
        pop.dele(1)
    with box.pop() as pop:
        assert pop.stat()[0] == 0
    page.goto(f"/mailboxes/?q={box.address}")
    page.get_by_role("link", name=box.address).click()
    page.get_by_role("navigation", name="This mailbox").get_by_role("link", name="Settings").click()
    page.get_by_role("link", name="Switch from POP to IMAP").click()
    expect(page.get_by_text("1 message, which IMAP shows")).to_be_visible()
    page.get_by_role("button", name="Switch to IMAP").click()
    expect(page.get_by_text("Change your devices next.")).to_be_visible()
    # Until every device is changed, POP goes on; what it deletes stays.
    box.deliver("Later")
    with box.pop() as pop:
        assert pop.stat()[0] == 1
        pop.dele(1)
    wait_for(lambda: box.subjects() == [*subjects, "Later"], "IMAP to show all of it")
    page.get_by_label("Switch POP off for this mailbox").check()
    page.get_by_role("button", name="Switch to IMAP").click()
    expect(page.get_by_label("Switch POP off for this mailbox")).to_have_count(0)
    with pytest.raises(poplib.error_proto), box.pop():
        pass
    assert box.subjects() == [*subjects, "Later"]
