"""Somebody's program deleted all their mail, and they bring it back on the page Recover."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import sign_in
from tests.live.test_restore import contents
from tests.stand import Box, Stand, wait_for

pytestmark = [pytest.mark.live, pytest.mark.browser]

COUNT = 1_000
FOLDERS = ("INBOX", "Archive", '"Clients/&AOk-t&AOk-"', '"Travaux &- devis"')
FLAGS = (
    "",
    r"\Seen",
    r"\Seen \Answered",
    r"\Flagged $Label1",
    r"\Draft",
    r"\Seen $Forwarded Urgent",
    r"\Answered \Flagged \Seen",
)
#: Seconds that the job may take on a busy machine; nothing here measures speed.
JOB_WITHIN = 300


def fill(box: Box) -> None:
    """Put messages into folders, with all sorts of flags, and dates of twenty years."""
    began = datetime(2006, 1, 1, 8, tzinfo=UTC)
    with box.imap() as client:
        for folder in FOLDERS[2:]:
            client.create(folder)
        for number in range(COUNT):
            text = f"From: a@example.net\r\nSubject: Number {number}\r\n\r\n" + f"Body {number} é\r\n" * (
                number % 40
            )
            moment = began + timedelta(days=7.3 * number)
            date = f'"{moment:%d-%b-%Y %H:%M:%S} +0000"'
            client.append(FOLDERS[number % len(FOLDERS)], FLAGS[number % len(FLAGS)], date, text.encode())


def expunge_all(box: Box) -> None:
    """Delete everything as a program does; one of the folders goes too."""
    with box.imap() as client:
        for folder in FOLDERS:
            client.select(folder)
            client.store("1:*", "+FLAGS", r"(\Deleted)")
            client.expunge()
            assert client.select(folder)[1] == [b"0"]
        client.unselect()
        client.delete(FOLDERS[2])


@pytest.mark.long
def test_a_thousand_messages_come_back_as_they_were(page: Page, stand: Stand) -> None:
    box = stand.new_mailbox("--quota", "100M")
    fill(box)
    before = contents(box, FOLDERS)
    assert sum(map(len, before.values())) == COUNT + 1  # and the welcome message
    expunge_all(box)
    wait_for(
        lambda: all(row["folder"] for row in stand.must("removedmail", box.address)),
        "the recorder to tell of all of them",
    )

    sign_in(page, box.address, box.password)
    page.get_by_role("navigation", name="This mailbox").get_by_role("link", name="Recover").click()
    expect(page.get_by_role("rowheader")).to_have_count(50)
    page.get_by_role("textbox", name="Deleted since").fill(
        f"{datetime.now() - timedelta(days=1):%Y-%m-%dT%H:%M}"
    )
    page.get_by_role("button", name="Recover all of it").click()
    said = page.get_by_text(
        re.compile(f"{COUNT + 1:,}".replace(",", ".?") + " messages are back in their folders")
    )
    expect(said).to_be_visible(timeout=JOB_WITHIN * 1000)
    expect(page.get_by_text("Nothing to recover")).to_be_visible()

    assert contents(box, FOLDERS) == before
    assert stand.must("removedmail", box.address) == []
