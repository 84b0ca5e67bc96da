"""The mail service's page: live, and what was done to the service is told in words."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.stand import Stand

pytestmark = [pytest.mark.live, pytest.mark.browser]


@pytest.fixture(scope="module")
def own_stand(make_stand: Callable[..., Stand]) -> Stand:
    """A stand of this module's own: what it stops, other tests need."""
    stand = make_stand()
    stand.start()
    stand.must("createadmin", "admin@host.test", stdin="an-admins-passw0rd\n")
    return stand


@pytest.fixture
def service_page(page: Page, own_stand: Stand) -> Page:
    """The page, seen by an administrator."""
    page.goto(own_stand.url)
    page.get_by_label("E-mail").fill("admin@host.test")
    page.get_by_role("textbox", name="Password", exact=True).fill("an-admins-passw0rd")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name="Mail service").first.click()
    expect(page.get_by_role("heading", name="Mail service", exact=True)).to_be_visible()
    return page


def test_stop_and_start_with_a_question_before(service_page: Page, own_stand: Stand) -> None:
    page = service_page
    box = own_stand.new_mailbox()
    badge = page.locator(".head .badge")
    expect(badge).to_have_text("Running")
    with box.imap():
        expect(page.locator(".figure", has_text="IMAP").locator(".figure-number")).to_have_text("1")
        page.get_by_role("link", name="Stop").click()
        expect(page.get_by_text("1 connection ends at once")).to_be_visible()
        page.get_by_role("link", name="Cancel").click()
        expect(badge).to_have_text("Running")
        page.get_by_role("link", name="Stop").click()
        page.get_by_role("button", name="Stop the mail service").click()
        expect(badge).to_have_text("Stopped")
    expect(page.get_by_text("Stopped on request.")).to_be_visible()
    assert own_stand.health()["parts"]["mail"] == "stopped"
    page.get_by_role("link", name="Start").click()
    page.get_by_role("button", name="Start").click()
    expect(badge).to_have_text("Running")
    assert box.subjects() == ["Welcome to your mailbox"]
    page.get_by_role("link", name="Reload").click()
    page.get_by_role("button", name="Reload").click()
    expect(page.get_by_text("were read again")).to_be_visible()
    page.get_by_role("link", name="Audit trail").first.click()
    for words in ("Started the mail service", "Stopped the mail service", "Had the mail service read"):
        expect(page.get_by_role("rowheader", name=words)).to_have_count(1)


def test_what_was_killed_is_told_without_a_reload_of_the_page(service_page: Page, own_stand: Stand) -> None:
    page = service_page
    pid = own_stand.must("servicectl", "status")["pid"]
    login = own_stand.dovecot(pid, "imap-login")[0]
    os.kill(login, signal.SIGKILL)
    expect(page.get_by_text("The IMAP sign-in was killed from outside.")).to_be_visible()
    os.kill(pid, signal.SIGKILL)
    expect(page.get_by_text("Dovecot ended by itself (killed by the signal SIGKILL)")).to_be_visible()
    expect(page.locator(".head .badge")).to_have_text("Running")
    pid = own_stand.must("servicectl", "status")["pid"]
    os.kill(own_stand.dovecot(pid, "log")[0], signal.SIGKILL)
    expect(page.get_by_text("Dovecot's log process had been killed")).to_be_visible()
    for supervisor in own_stand.pids(r"mailbackend\.supervisor"):
        os.kill(supervisor, signal.SIGKILL)
    expect(page.get_by_text("The supervisor had been killed")).to_be_visible()
    expect(page.locator(".head .badge")).to_have_text("Running")


def test_a_missing_mail_root_is_said_on_page_and_home(service_page: Page, own_stand: Stand) -> None:
    page = service_page
    marker = own_stand.data_dir.mail / ".restante-mail-root"
    away = marker.rename(own_stand.data_dir.root / "mail-root-marker")
    try:
        expect(page.locator(".head .badge")).to_have_text("Cannot start")
        expect(page.locator(".note-error")).to_contain_text("mount the disk that holds the mail")
        page.get_by_role("link", name="Home").first.click()
        expect(page.locator(".note-error")).to_contain_text("mount the disk")
    finally:
        away.rename(marker)
    page.get_by_role("link", name="See the mail service").click()
    page.get_by_role("link", name="Try now").click()
    page.get_by_role("button", name="Start").click()
    expect(page.locator(".head .badge")).to_have_text("Running")
