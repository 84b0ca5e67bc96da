"""The main story: first sign-in, a domain, a mailbox, a message, read by mail programs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import sign_in
from tests.stand import Box, Stand

pytestmark = [pytest.mark.live, pytest.mark.browser]

PASSWORD = "violet tractor under 9 moons"


def test_from_the_printed_password_to_a_message_read(
    request: pytest.FixtureRequest, make_stand: Callable[..., Stand], page: Page, tmp_path: Path
) -> None:
    """Fresh DATA_DIR, the password that was printed, then everything a first administrator does."""
    fresh = make_stand()
    fresh.start()
    page.goto(fresh.url)
    page.get_by_label("E-mail").fill("admin@localhost")
    page.get_by_role("textbox", name="Password", exact=True).fill(fresh.password)
    page.get_by_role("button", name="Sign in").click()

    expect(page.get_by_role("heading", name="Choose your own password")).to_be_visible()
    page.get_by_role("textbox", name="Current password").fill(fresh.password)
    page.get_by_role("textbox", name="New password", exact=True).fill("my-own-passw0rd")
    page.get_by_role("textbox", name="New password again").fill("my-own-passw0rd")
    page.get_by_role("button", name="Save and go on").click()

    expect(page.get_by_role("heading", name="First steps")).to_be_visible()
    page.get_by_role("link", name="Add your first domain").click()
    page.get_by_label("Domain", exact=True).fill("Café-Exemple.test")
    page.get_by_role("button", name="Add domain").click()
    expect(page.get_by_role("heading", name="café-exemple.test")).to_be_visible()

    page.get_by_role("link", name="New mailbox").first.click()
    page.get_by_role("textbox", name=re.compile("^Address")).fill("Anna.Martin")
    page.get_by_role("textbox", name=re.compile("^Name")).fill("Anna Martin")
    page.get_by_role("textbox", name="Password", exact=True).fill(PASSWORD)
    expect(page.get_by_text("Strong")).to_be_visible()
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("heading", name="anna.martin@café-exemple.test")).to_be_visible()

    address = "anna.martin@xn--caf-exemple-dbb.test"
    shown = fresh.must("showmailbox", address)
    box = Box(fresh, address, PASSWORD, Path(shown["home"]))
    box.deliver("Good morning")
    assert box.subjects() == ["Welcome to your mailbox", "Good morning"]
    with box.imap() as client:
        client.select("INBOX")
        client.store("2", "+FLAGS", r"\Seen")
    with box.imap() as client:
        client.select("INBOX")
        assert client.search(None, "SEEN") == ("OK", [b"2"])
    with box.pop() as pop:
        assert pop.stat()[0] == 2

    page.reload()
    expect(page.get_by_text("2 messages")).to_be_visible()
    shot = request.config.getoption("--screenshot") or tmp_path / "mailbox.png"
    page.evaluate("window.scrollTo(0, 0)")
    page.screenshot(path=shot, animations="disabled")
    assert Path(shot).stat().st_size > 10_000
    page.get_by_role("link", name="Home").first.click()
    expect(page.get_by_text("Running")).to_be_visible()
    expect(page.get_by_role("listitem").filter(has_text="Create your first mailbox (done)")).to_be_visible()
    page.get_by_role("button", name="Close for good").click()
    expect(page.get_by_role("heading", name="First steps")).not_to_be_visible()


def test_suspend_resume_delete_and_restore(admin_page: Page, stand: Stand) -> None:
    box = stand.new_mailbox()
    page = admin_page
    page.goto("/mailboxes/")
    page.get_by_role("searchbox", name="Search").fill(box.address)
    page.get_by_role("link", name=box.address).click()

    page.get_by_role("navigation", name="This mailbox").get_by_role("link", name="Settings").click()
    page.get_by_role("link", name="Suspend").click()
    page.get_by_label("Reason").fill("invoice 1234")
    page.get_by_role("button", name=re.compile("^Suspend")).click()
    expect(page.get_by_text("Suspended").first).to_be_visible()
    expect(page.get_by_text("invoice 1234")).to_be_visible()
    with pytest.raises(Exception, match="suspended"), box.imap():
        pass
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_text("is active again")).to_be_visible()
    assert box.subjects()

    page.get_by_role("navigation", name="This mailbox").get_by_role("link", name="Settings").click()
    page.get_by_role("link", name="Delete").click()
    page.get_by_role("textbox").fill("something else")
    page.get_by_role("button", name=re.compile("^Delete")).click()
    expect(page.locator(".errors").get_by_text("This is not")).to_be_visible()
    page.get_by_role("textbox").fill(box.address)
    page.get_by_role("button", name=re.compile("^Delete")).click()
    expect(page.get_by_text("is deleted")).to_be_visible()
    page.goto("/mailboxes/?state=deleted&q=" + box.address)
    page.get_by_role("link", name=box.address).click()
    page.get_by_role("button", name="Restore").click()
    expect(page.get_by_text("with all its mail")).to_be_visible()
    assert box.subjects() == ["Welcome to your mailbox"]


def test_generated_password_is_copied_and_works(admin_page: Page, stand: Stand) -> None:
    domain = stand.new_domain()
    page = admin_page
    page.goto(f"/mailboxes/new/?domain={domain}")
    page.get_by_role("textbox", name=re.compile("^Address")).fill("bob")
    page.get_by_role("button", name="Generate").click()
    password = page.get_by_role("textbox", name="Password", exact=True).input_value()
    assert len(password) >= 20
    page.get_by_role("button", name=re.compile("Copy")).first.click()
    assert page.evaluate("navigator.clipboard.readText()") == password
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("heading", name=f"bob@{domain}")).to_be_visible()
    box = Box(stand, f"bob@{domain}", password, Path("/"))
    assert box.subjects() == ["Welcome to your mailbox"]


def test_new_password_shuts_the_old_one_out(admin_page: Page, stand: Stand) -> None:
    box = stand.new_mailbox()
    page = admin_page
    page.goto("/mailboxes/?q=" + box.address)
    page.get_by_role("link", name=box.address).click()
    main = page.get_by_role("main")
    main.get_by_role("link", name="Settings").click()
    main.get_by_role("link", name=re.compile("password", re.IGNORECASE)).click()
    main.get_by_role("textbox", name=re.compile("password", re.IGNORECASE)).fill(PASSWORD)
    main.get_by_role("button", name=re.compile("^(Set|Change|Save)")).click()
    expect(page.get_by_text("The new password works now")).to_be_visible()
    with pytest.raises(Exception, match="AUTHENTICATIONFAILED"), box.imap():
        pass
    box.password = PASSWORD
    assert box.subjects() == ["Welcome to your mailbox"]


def test_owner_of_a_customer_sees_their_own(page: Page, stand: Stand) -> None:
    name, email = "Customer of the browser", "own@customer.test"
    stand.command("createcustomer", name, "--owner", email, stdin="a-good-passw0rd\n")
    other = stand.new_mailbox()
    sign_in(page, email, "a-good-passw0rd")
    expect(page.get_by_role("heading", name="Mailboxes", exact=True)).to_be_visible()
    expect(page.get_by_text(other.address)).not_to_be_visible()
    answer = page.goto("/jobs/")
    assert answer is not None
    assert answer.status == 403
