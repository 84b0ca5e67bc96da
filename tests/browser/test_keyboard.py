"""Each role's story by keyboard alone: no pointer is used, and what has the focus is always visible."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.stand import Stand

pytestmark = [pytest.mark.live, pytest.mark.browser]

PASSWORD, CHOSEN = "an-admins-passw0rd", "violet tractor under 9 moons"

#: What somebody hears of the element that has the focus, and whether they see that it has it.
FOCUSED = """() => {
  const at = document.activeElement;
  if (!at || at === document.body) return ["", true];
  const label = at.getAttribute("aria-label") || (at.labels && at.labels[0] && at.labels[0].innerText)
    || at.innerText || at.value || "";
  const style = getComputedStyle(at), box = at.getBoundingClientRect();
  const ring = style.outlineStyle !== "none" || style.boxShadow !== "none";
  return [label.trim().split("\\n")[0], ring && box.width > 0 && box.bottom > 0 && box.top < innerHeight];
}"""
#: More steps than any page has: somebody who needs them all has lost their way.
MOST = 120


class Keyboard:
    """Somebody who has nothing else."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def reach(self, name: str) -> None:
        """Go on with Tab until something of this name has the focus."""
        heard = []
        for _step in range(MOST):
            label, visible = self.page.evaluate(FOCUSED)
            if label == name:
                assert visible, f"nobody sees that {name!r} has the focus"
                return
            heard.append(label)
            self.page.keyboard.press("Tab")
        raise AssertionError(f"{name!r} was not reached: {heard}")

    def press(self, name: str, key: str = "Enter") -> None:
        """Reach a link or a button, and press it."""
        self.reach(name)
        self.page.keyboard.press(key)

    def type(self, name: str, text: str) -> None:
        """Reach a field and type into it, instead of what is there."""
        self.reach(name)
        self.page.keyboard.press("Control+A")
        self.page.keyboard.type(text)

    def sign_in(self, name: str, password: str) -> None:
        """Sign in."""
        self.page.goto("/")
        self.type("E-mail", name)
        self.type("Password", password)
        self.page.keyboard.press("Enter")

    def arrive(self, heading: str) -> None:
        """Wait for a page, and skip to its content."""
        expect(self.page.get_by_role("heading", name=heading, exact=True)).to_be_visible()


@pytest.fixture
def keyboard(chromium: Browser, stand: Stand) -> Iterator[Keyboard]:
    """A keyboard at a page of the panel."""
    context = chromium.new_context(base_url=stand.url, viewport={"width": 1280, "height": 900}, locale="en")
    page = context.new_page()
    page.set_default_timeout(30_000)
    yield Keyboard(page)
    context.close()


def test_a_customer_creates_and_suspends_a_mailbox(keyboard: Keyboard, stand: Stand) -> None:
    stand.must("createcustomer", "Keys", "--owner", "keys@keys.test", stdin=f"{PASSWORD}\n")
    stand.must("createdomain", "keys.test", "--customer", "Keys")
    keyboard.sign_in("keys@keys.test", PASSWORD)
    keyboard.arrive("Mailboxes")
    keyboard.press("Skip to the content")
    keyboard.press("New mailbox")
    keyboard.arrive("New mailbox")
    keyboard.type("Address", "anna")
    keyboard.type("Password", CHOSEN)
    keyboard.press("Create mailbox")
    keyboard.arrive("anna@keys.test")
    keyboard.press("Settings")
    keyboard.arrive("Suspend or delete")
    keyboard.press("Skip to the content")
    keyboard.press("Suspend mailbox")
    keyboard.arrive("Suspend anna@keys.test?")
    keyboard.type("Reason (optional)", "on leave")
    keyboard.press("Suspend mailbox")
    expect(keyboard.page.get_by_text("Reason: on leave")).to_be_visible()
    assert stand.must("showmailbox", "anna@keys.test")["state"] == "suspended"


def test_an_administrator_finds_a_domain(keyboard: Keyboard, stand: Stand) -> None:
    domain = stand.new_domain()
    stand.must("createadmin", "keys@host.test", stdin=f"{PASSWORD}\n")
    keyboard.sign_in("keys@host.test", PASSWORD)
    keyboard.arrive("Home")
    keyboard.page.wait_for_load_state()  # A script listens to the key.
    keyboard.page.keyboard.press("/")
    keyboard.page.keyboard.type(domain)
    found = keyboard.page.get_by_role("search").get_by_role("link", name=domain)
    expect(found.first).to_be_visible()
    keyboard.page.keyboard.press("ArrowDown")
    keyboard.page.keyboard.press("Enter")
    keyboard.arrive(domain)


def test_the_owner_of_a_mailbox_changes_its_password(keyboard: Keyboard, stand: Stand) -> None:
    box = stand.new_mailbox()
    keyboard.sign_in(box.address, box.password)
    keyboard.arrive(box.address)
    keyboard.press("Skip to the content")
    keyboard.press("Change password")
    keyboard.arrive("Change password")
    keyboard.type("Current password", box.password)
    keyboard.type("New password", CHOSEN)
    keyboard.type("New password again", CHOSEN)
    keyboard.page.keyboard.press("Enter")
    expect(keyboard.page.get_by_text("Your new password works now")).to_be_visible()
    with box.imap(CHOSEN) as client:
        client.noop()
