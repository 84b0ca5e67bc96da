"""Mailboxes as customers want them: several created at once, what they hold, one renamed, several deleted."""

from __future__ import annotations

import csv
import imaplib
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import sign_in
from tests.stand import Box, Stand

pytestmark = [pytest.mark.live, pytest.mark.browser]


def test_from_pasted_lines_to_another_address(page: Page, stand: Stand) -> None:
    email, password = "boss@several.test", "a-good-passw0rd"
    stand.must("createcustomer", "Several", "--owner", email, stdin=f"{password}\n")
    stand.must("createdomain", "several.test", "--customer", "Several")
    sign_in(page, email, password)
    expect(page.get_by_role("heading", name="Mailboxes", exact=True)).to_be_visible()

    page.get_by_role("link", name="Several at once").click()
    lines = page.get_by_label("Mailboxes, one a line")
    lines.fill("anna; Anna Martin; 1 GB\nb o b\ncarol")
    page.get_by_role("button", name="Create mailboxes").click()
    expect(page.get_by_text("Line 2:")).to_be_visible()
    expect(lines).to_have_value("anna; Anna Martin; 1 GB\nb o b\ncarol")
    lines.fill("anna; Anna Martin; 1 GB\nbob\ncarol")
    page.get_by_role("button", name="Create mailboxes").click()
    expect(page.get_by_role("heading", name="3 mailboxes are ready")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download as CSV").click()
    with Path(download.value.path()).open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["Address"] for row in rows] == [f"{name}@several.test" for name in ("anna", "bob", "carol")]
    anna = Box(stand, rows[0]["Address"], rows[0]["Password"], Path("/"))
    anna.deliver("Before")

    page.get_by_role("link", name="Mailboxes").first.click()
    # What it holds comes after the page, from Dovecot.
    expect(page.get_by_role("row", name=re.compile("anna@")).get_by_role("progressbar")).to_be_visible()
    page.get_by_role("searchbox", name="Search").fill("carol")
    expect(page.get_by_role("link", name="anna@several.test")).to_have_count(0)
    page.get_by_role("searchbox", name="Search").fill("")
    page.get_by_role("link", name="anna@several.test").click()
    page.get_by_role("navigation", name="This mailbox").get_by_role("link", name="Settings").click()
    page.get_by_role("link", name="Change address").click()
    page.get_by_label("New address").fill("anna.martin")
    page.get_by_role("button", name="Change address").click()
    expect(page.get_by_text("anna@several.test is anna.martin@several.test now")).to_be_visible()
    with pytest.raises(imaplib.IMAP4.error), anna.imap():
        pass
    renamed = Box(stand, "anna.martin@several.test", anna.password, Path("/"))
    assert renamed.subjects() == ["Welcome to your mailbox", "Before"]

    page.get_by_role("link", name="Mailboxes").first.click()
    for name in ("bob", "carol"):
        page.get_by_role("checkbox", name=f"{name}@several.test").check()
    page.get_by_role("button", name="Delete…").click()
    expect(page.get_by_role("heading", name="Delete 2 mailboxes?")).to_be_visible()
    page.get_by_role("textbox").fill("2")
    page.get_by_role("button", name="Delete mailboxes").click()
    expect(page.get_by_text("2 mailboxes are deleted")).to_be_visible()
    expect(page.get_by_role("link", name="bob@several.test")).to_have_count(0)
