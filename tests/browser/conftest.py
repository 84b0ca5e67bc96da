"""A real Chromium, Debian's, driven by Playwright."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.stand import Stand

#: What keeps Chromium from asking for anything outside, and lets root run it.
ARGUMENTS = [
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    *(["--no-sandbox"] if os.geteuid() == 0 else []),
]

# A busy machine takes its time, and none is asserted. Milliseconds.
expect.set_options(timeout=20_000)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The browser, for one module: while it is there, an event loop runs, and tests of asyncio cannot."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser, stand: Stand) -> Iterator[Page]:
    """A page in a fresh profile; an error in the page's own console fails the test."""
    context = chromium.new_context(base_url=stand.url, viewport={"width": 1280, "height": 900})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.set_default_timeout(30_000)
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on(
        "console", lambda said: troubles.append(said.text) if "Content Security Policy" in said.text else None
    )
    yield page
    context.close()
    assert troubles == []


@pytest.fixture
def admin_page(page: Page, stand: Stand) -> Page:
    """A page where an administrator of this test's own is signed in."""
    email, password = f"a{secrets.token_hex(4)}@host.test", "an-admins-passw0rd"
    stand.must("createadmin", email, stdin=f"{password}\n")
    sign_in(page, email, password)
    return page


def sign_in(page: Page, email: str, password: str) -> None:
    """Sign in, as a person does."""
    page.goto("/")
    page.get_by_label("E-mail").fill(email)
    page.get_by_role("textbox", name="Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in").click()
