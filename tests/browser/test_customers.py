"""A customer from its creation to its suspension: invitations by mail, roles, and who is shut out."""

from __future__ import annotations

import imaplib
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.stand import Box, Stand, wait_for

pytestmark = [pytest.mark.live, pytest.mark.browser]

ADMIN, PASSWORD = "admin@host.test", "violet tractor under 9 moons"


@pytest.fixture(scope="module")
def mailing(make_stand: Callable[..., Stand]) -> Stand:
    """A stand whose panel leaves its mail in files."""
    stand = make_stand()
    stand.keep_mail()
    stand.start()
    stand.must("createadmin", ADMIN, stdin=f"{PASSWORD}\n")
    return stand


def link_for(stand: Stand, email: str) -> str:
    """Wait for the invitation that was mailed to somebody and return its link."""

    def links() -> list[str]:
        found = [
            re.search(r"^http\S+/invitations/\?token=\S+$", text, re.MULTILINE)
            for text in stand.kept_mail()
            if email in text
        ]
        return [link[0] for link in found if link]

    wait_for(lambda: bool(links()), f"a mail to {email}")
    return links()[-1]


def is_over(client: imaplib.IMAP4) -> bool:
    """Whether a session was ended by the server."""
    try:
        client.noop()
    except (client.abort, OSError):
        return True
    return False


def accept(browser: Browser, stand: Stand, email: str) -> Page:
    """Open an invitation's link in a browser of one's own, choose a password, and sign in."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(30_000)
    page.goto(link_for(stand, email))
    page.get_by_role("textbox", name="Password").fill(PASSWORD)
    page.get_by_role("button", name="Accept").click()
    expect(page.get_by_text("Sign in with your e-mail")).to_be_visible()
    page.get_by_label("E-mail").fill(email)
    page.get_by_role("textbox", name="Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("heading", name="Mailboxes", exact=True)).to_be_visible()
    return page


def sign_in_at(page: Page, stand: Stand) -> None:
    """Sign in as the administrator of a stand of one's own."""
    page.goto(stand.url)
    page.get_by_label("E-mail").fill(ADMIN)
    page.get_by_role("textbox", name="Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("heading", name="Home")).to_be_visible()


def test_from_the_invitation_of_an_owner_to_a_reader(mailing: Stand, chromium: Browser, page: Page) -> None:
    sign_in_at(page, mailing)
    page.get_by_role("link", name="Customers").first.click()
    page.get_by_role("link", name="New customer").click()
    page.get_by_label("Name").fill("Martin SA")
    page.get_by_label("Owner's e-mail").fill("owner@martin.test")
    page.get_by_label("Mailboxes at most").fill("2")
    page.get_by_role("button", name="Create customer").click()
    expect(page.get_by_text("An invitation is on its way to owner@martin.test")).to_be_visible()
    mailing.must("createdomain", "martin.test", "--customer", "Martin SA")
    answer = mailing.must("createmailbox", "anna@martin.test", stdin=f"{PASSWORD}\n")
    box = Box(mailing, "anna@martin.test", PASSWORD, Path(answer["home"]))

    owner = accept(chromium, mailing, "owner@martin.test")
    owner.get_by_role("link", name="Martin SA").first.click()
    expect(owner.get_by_text("of 2", exact=True)).to_be_visible()
    owner.get_by_role("link", name="Invite, change, remove").click()
    owner.get_by_role("link", name="Invite somebody").click()
    owner.get_by_label("E-mail").fill("reader@martin.test")
    owner.get_by_label("Read-only").check()
    owner.get_by_role("button", name="Send invitation").click()
    expect(owner.get_by_role("heading", name="Open invitations")).to_be_visible()

    reader = accept(chromium, mailing, "reader@martin.test")
    reader.get_by_role("link", name="anna@martin.test").click()
    reader.get_by_role("link", name="Set up").click()
    expect(reader.get_by_role("heading", name="Which device do you set up?")).to_be_visible()
    reader.get_by_role("navigation", name="This mailbox").get_by_role("link", name="Settings").click()
    expect(reader.get_by_role("heading", name="What POP deletes")).to_be_visible()
    for words in ("New password", "Edit", "Suspend mailbox", "Delete mailbox"):
        expect(reader.get_by_role("link", name=words)).to_have_count(0)
    refused = reader.goto(reader.url.replace("/settings/", "/edit/"))
    assert refused is not None
    assert refused.status == 403
    reader.get_by_role("link", name="Audit trail").first.click()
    expect(reader.get_by_role("rowheader", name="Created a mailbox")).to_be_visible()

    page.get_by_role("button", name="Act for it").click()
    expect(page.get_by_text("You act for Martin SA")).to_be_visible()
    expect(page.get_by_role("link", name="Mail service")).to_have_count(0)
    page.get_by_role("button", name="Stop acting").click()

    with box.imap() as client:
        client.select("INBOX")
        page.get_by_role("link", name="Suspend customer").click()
        page.get_by_label("Reason").fill("invoice 1234")
        page.get_by_role("button", name="Suspend customer").click()
        expect(page.get_by_text("Martin SA is suspended")).to_be_visible()
        wait_for(lambda: is_over(client), "the session to end")
    with pytest.raises(Exception, match="suspended"), box.imap():
        pass
    box.deliver("While suspended")
    owner.goto(f"{mailing.url.replace('127.0.0.1', 'localhost')}/mailboxes/")
    expect(owner.get_by_text("anna@martin.test")).to_have_count(0)
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_text("Martin SA is active again")).to_be_visible()
    assert box.subjects() == ["Welcome to your mailbox", "While suspended"]
