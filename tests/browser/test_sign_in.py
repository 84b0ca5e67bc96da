"""Signing in as people do: authenticator app, passkeys, recovery codes, a mailed link, sessions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import sign_in
from tests.panel.accounts.codes import code_of
from tests.stand import Stand, wait_for

pytestmark = [pytest.mark.live, pytest.mark.browser]

EMAIL, PASSWORD = "ann@host.test", "an-admins-passw0rd"


@pytest.fixture(scope="module")
def own_stand(make_stand: Callable[..., Stand]) -> Stand:
    """A stand whose mail can be read, with an administrator."""
    stand = make_stand()
    stand.keep_mail()
    stand.start()
    stand.must("createadmin", EMAIL, stdin=f"{PASSWORD}\n")
    return stand


@pytest.fixture
def here(chromium: Browser, own_stand: Stand) -> Iterator[Page]:
    """A page at the public address (passkeys work nowhere else), in a browser that keeps passkeys."""
    context = chromium.new_context(base_url=f"http://localhost:{own_stand.ports['panel']}")
    page = context.new_page()
    page.set_default_timeout(30_000)
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on(
        "console", lambda said: troubles.append(said.text) if "Content Security Policy" in said.text else None
    )
    devtools = context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    yield page
    context.close()
    assert troubles == []


def test_from_a_password_alone_to_passkeys_and_back(here: Page, own_stand: Stand) -> None:
    """One story: each step needs the one before."""
    page, main = here, here.get_by_role("main")
    sign_in(page, EMAIL, PASSWORD)
    page.get_by_role("link", name="Your account").first.click()
    page.get_by_role("link", name="Set up an authenticator app").click()
    page.get_by_role("textbox", name="Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("img", name=re.compile("QR code"))).to_be_visible()
    secret = main.locator("code").first.inner_text()
    page.get_by_role("textbox", name="Code").fill(code_of(secret))
    main.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    codes = main.locator("li code").all_inner_texts()
    assert len(codes) == 10

    page.goto("/account/passkeys/")
    page.get_by_role("link", name="Add a passkey").click()
    page.get_by_label("Name of the passkey").fill("My telephone")
    page.get_by_role("button", name="Add the passkey").click()
    expect(main.get_by_text("My telephone").first).to_be_visible()
    sign_out(page)

    sign_in(page, EMAIL, PASSWORD)
    page.get_by_role("textbox", name="Code").fill("000000")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("not right")).to_be_visible()
    page.get_by_role("textbox", name="Code").fill(code_of(secret, 1))
    page.get_by_role("button", name="Go on").click()
    expect_home(page)
    sign_out(page)

    sign_in(page, EMAIL, PASSWORD)
    page.get_by_role("button", name="Use a passkey").click()
    expect_home(page)
    sign_out(page)

    page.goto("/account/")
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_role("heading", name="Your account")).to_be_visible()
    sign_out(page)

    sign_in(page, EMAIL, PASSWORD)
    page.get_by_role("textbox", name="Code").fill(codes[0])
    page.get_by_role("button", name="Go on").click()
    expect_home(page)
    page.goto("/account/")
    expect(main.get_by_text("9 codes are left")).to_be_visible()

    page.goto("/account/codes/new/")
    page.get_by_role("link", name="Use a passkey").click()
    page.get_by_role("button", name="Use a passkey").click()
    page.get_by_role("button", name="Make new codes").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    assert not set(codes) & set(main.locator("li code").all_inner_texts())

    page.goto("/account/passkeys/")
    page.get_by_role("link", name="Remove My telephone").click()
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_text("The passkey is removed.")).to_be_visible()
    wait_for(lambda: "Removed a passkey" in all_mail(own_stand), "the mail that tells of it")


def test_mailed_link_sets_a_password(here: Page, own_stand: Stand) -> None:
    page, email, password = here, "bob@host.test", "bobs-new-passw0rd"
    own_stand.must("createadmin", email, stdin=f"{PASSWORD}\n")
    page.goto("/")
    page.get_by_role("link", name="Password forgotten?").click()
    page.get_by_label("E-mail").fill(email)
    page.get_by_role("button", name="Send the link").click()
    expect(page.get_by_role("heading", name="Look into your mail")).to_be_visible()
    pattern = re.compile(
        rf"^http://localhost:{own_stand.ports['panel']}/password/new/\?key=\S+$", re.MULTILINE
    )
    wait_for(lambda: bool(pattern.search(all_mail(own_stand))), "the mail with the link")
    page.goto(pattern.findall(all_mail(own_stand))[-1])
    page.get_by_role("textbox", name="New password", exact=True).fill(password)
    page.get_by_role("textbox", name="New password again").fill(password)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Your new password works now")).to_be_visible()
    sign_in(page, email, PASSWORD)
    expect(page.get_by_text("do not fit together")).to_be_visible()
    sign_in(page, email, password)
    expect_home(page)


def test_session_elsewhere_is_ended(here: Page, chromium: Browser, own_stand: Stand) -> None:
    email = "eve@host.test"
    own_stand.must("createadmin", email, stdin=f"{PASSWORD}\n")
    sign_in(here, email, PASSWORD)
    expect_home(here)
    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
    elsewhere = chromium.new_context(base_url=own_stand.url, user_agent=agent)
    there = elsewhere.new_page()
    sign_in(there, email, PASSWORD)
    expect_home(there)
    here.goto("/account/sessions/")
    row = here.get_by_role("row").filter(has_text="Firefox on Linux")
    row.get_by_role("button", name="End").click()
    expect(here.get_by_text("Firefox on Linux is signed out.")).to_be_visible()
    there.goto("/")
    expect(there.get_by_role("heading", name="Sign in")).to_be_visible()
    elsewhere.close()


def expect_home(page: Page) -> None:
    """Expect to be in."""
    expect(page.get_by_role("heading", name="Home", exact=True)).to_be_visible()


def sign_out(page: Page) -> None:
    """Sign out."""
    page.get_by_role("button", name="Sign out").first.click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def all_mail(stand: Stand) -> str:
    """Return everything that was sent."""
    return "\n".join(stand.kept_mail())
