"""What a visit weighs, questions that open over a page, and pages on paper, without motion and without scripts."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from tests.stand import Stand

pytestmark = [pytest.mark.browser, pytest.mark.live]

#: Bytes and requests of a first visit, headers included.
HEAVIEST, MOST = 60_000, 8


@pytest.mark.parametrize(
    "path",
    ["/sign-in/", "/", "/mailboxes/", "/mailboxes/new/", "/domains/", "/customers/", "/audit/", "/jobs/", "/service/",
     "/account/", "/_design/", "/nowhere/"],
)  # fmt: skip
def test_a_first_visit_is_light(path: str, admin_page: Page, chromium: Browser, stand: Stand) -> None:
    """Everything that a browser loads which was never here: 60 KB at most, whatever the page."""
    known = None if path == "/sign-in/" else admin_page.context.storage_state()
    context = chromium.new_context(base_url=stand.url, storage_state=known)
    page = context.new_page()
    network = context.new_cdp_session(page)
    network.send("Network.enable")
    asked: dict[str, str] = {}
    sizes: dict[str, float] = {}

    def ask(event: dict[str, Any]) -> None:
        asked.setdefault(event["requestId"], event["request"]["url"].partition("?")[0])

    def add(event: dict[str, Any]) -> None:
        # What keeps itself up to date asks the same again, the longer the page is looked at: it is no first visit.
        sizes.setdefault(asked[event["requestId"]], event["encodedDataLength"])

    network.on("Network.requestWillBeSent", ask)
    network.on("Network.loadingFinished", add)
    page.goto(path, wait_until="networkidle")
    assert 0 < sum(sizes.values()) <= HEAVIEST
    assert len(sizes) <= MOST
    context.close()


def test_what_a_page_loads_is_compressed_and_kept(page: Page) -> None:
    """Static files come compressed, under names that change with them, so that no browser asks twice."""
    loaded: list[Request] = []
    page.on("requestfinished", lambda request: loaded.append(request))
    page.goto("/sign-in/", wait_until="networkidle")
    static = [request for request in loaded if "/static/" in request.url]
    assert len(static) >= 3
    for request in static:
        headers: dict[str, Any] = request.response().all_headers()  # type: ignore[union-attr]
        assert "immutable" in headers["cache-control"]
        assert headers["content-encoding"] == "gzip"
    assert not any("htmx" in request.url for request in loaded)


def test_a_question_opens_over_the_page(admin_page: Page, stand: Stand) -> None:
    """By keyboard alone: asked, given up, asked again, refused, done."""
    page, box = admin_page, stand.new_mailbox()
    page.goto(f"/mailboxes/?q={box.address}")
    page.get_by_role("link", name=box.address).click()
    page.get_by_role("navigation", name="This mailbox").get_by_role("link", name="Settings").click()
    link = page.get_by_role("link", name="Delete mailbox")
    link.press("Enter")
    dialog = page.get_by_role("dialog", name=f"Delete {box.address}?")
    expect(dialog.get_by_label("Type")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(link).to_be_focused()
    link.press("Enter")
    dialog.get_by_role("link", name="Cancel").press("Enter")
    expect(dialog).to_have_count(0)
    expect(page).to_have_url(f"{stand.url}{page.evaluate('location.pathname')}")
    link.press("Enter")
    expect(dialog.get_by_label("Type")).to_be_focused()
    page.keyboard.type("something else")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").get_by_text(f"This is not {box.address}.")).to_be_visible()
    page.get_by_label("Type").fill(box.address)
    page.keyboard.press("Enter")
    expect(page.get_by_text(f"{box.address} is deleted. It can still be restored.")).to_be_visible()


def test_a_question_is_a_page_without_scripts(admin_page: Page, chromium: Browser, stand: Stand) -> None:
    """The same question, the same button."""
    box = stand.new_mailbox()
    state = admin_page.context.storage_state()
    context = chromium.new_context(base_url=stand.url, storage_state=state, java_script_enabled=False)
    page = context.new_page()
    page.goto(f"/mailboxes/?q={box.address}")
    page.get_by_role("link", name=box.address).click()
    page.get_by_role("navigation", name="This mailbox").get_by_role("link", name="Settings").click()
    page.get_by_role("link", name="Suspend mailbox").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Suspend {box.address}?")
    page.get_by_role("button", name="Suspend mailbox").click()
    expect(page.get_by_text(f"{box.address} is suspended.")).to_be_visible()
    context.close()


def test_what_a_mail_program_needs_prints(admin_page: Page, stand: Stand) -> None:
    """On paper stands what is typed into a mail program, and nothing that is pressed."""
    page, box = admin_page, stand.new_mailbox()
    page.goto(f"/mailboxes/?q={box.address}")
    page.get_by_role("link", name=box.address).click()
    page.get_by_role("link", name="Set up", exact=True).click()
    page.emulate_media(media="print", color_scheme="dark")
    expect(page.get_by_role("heading", name=box.address)).to_be_visible()
    expect(page.get_by_text(str(stand.ports["imaps"])).first).to_be_visible()
    for pressed in ("nav", "button", ".copy", ".side"):
        assert not any(each.is_visible() for each in page.locator(pressed).all()), pressed
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(255, 255, 255)"


def test_nothing_moves_for_who_wants_no_motion(page: Page) -> None:
    """Not even a colour fades."""
    page.emulate_media(reduced_motion="reduce")
    page.goto("/sign-in/")
    duration = "getComputedStyle(document.querySelector('.button')).transitionDuration"
    assert set(page.evaluate(duration).split(", ")) == {"0s"}
    page.emulate_media(reduced_motion="no-preference")
    assert set(page.evaluate(duration).split(", ")) != {"0s"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_component_fits_a_small_telephone(scheme: Any, admin_page: Page) -> None:
    """320 px wide: nothing is beside the page."""
    admin_page.set_viewport_size({"width": 320, "height": 640})
    admin_page.emulate_media(color_scheme=scheme)
    admin_page.goto("/_design/")
    expect(admin_page.get_by_role("heading", name="Components")).to_be_visible()
    assert admin_page.evaluate("document.documentElement.scrollWidth") <= 320
