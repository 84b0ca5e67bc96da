"""Rules of retention by command and page, and days of recovery that each level says for itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from panel.core.clock import TEST_CLOCK
from tests.live.test_kept_copies import page_of
from tests.live.test_recoverable import erase, removed, wait_until_recorded
from tests.panel_client import PanelClient
from tests.stand import Box, Stand

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def own_stand(make_stand: Callable[..., Stand]) -> Stand:
    """A stand that may be told another time."""
    stand = make_stand()
    stand.start()
    (stand.data_dir.root / TEST_CLOCK).touch()
    return stand


def test_what_ends_less_counts_at_once(own_stand: Stand) -> None:
    box = own_stand.new_mailbox()
    domain = box.address.partition("@")[2]
    rule = own_stand.must("setretention", "inbox", "never", "--address", box.address)["rule"]
    assert (rule["folder"], rule["days"], rule["level"]) == ("INBOX", "never", box.address)
    own_stand.must("setretention", "Trash", "never", "--domain", domain, "--confirm")
    own_stand.must("setretention", "Projects/2024", "never", "--platform")
    panel = PanelClient(own_stand)
    page = panel.get(f"{page_of(panel, box)}retention/")
    assert "Projects/2024" in page
    assert f"inherited from {domain}" in page
    for refused in (("Trash", "0"), ("Trash", "soon"), (".EXPUNGED/all", "1")):
        answer = own_stand.command("setretention", *refused, "--platform", "--confirm")
        assert answer.code != 0
        assert len(answer.stderr.strip().splitlines()) == 1
    own_stand.must("setretention", "Projects/2024", "inherit", "--platform")
    assert "Projects/2024" not in panel.get(f"{page_of(panel, box)}retention/")


def test_the_nearest_says_how_long_deleted_messages_can_be_recovered(own_stand: Stand) -> None:
    box, other = own_stand.new_mailbox(), own_stand.new_mailbox()
    panel = PanelClient(own_stand)
    place = f"{page_of(panel, box)}retention/recovery/"
    assert "Saved" in panel.send(place, ends="days", days="30")
    for each in (box, other):
        each.deliver("Gone")
        with each.imap() as client:
            client.select("INBOX")
            erase(client, "Gone")
        wait_until_recorded(each, "Gone")
    row = removed(box)["Gone"]
    kept_for = datetime.fromisoformat(row["until"]) - datetime.fromisoformat(row["removed_at"])
    assert timedelta(days=29, hours=23) < kept_for < timedelta(days=30, hours=1)
    at = datetime.fromisoformat(row["removed_at"]) + timedelta(days=15)
    own_stand.must("endremovedmail", "--at", at.isoformat())
    assert set(removed(box)) == {"Gone"}
    assert removed(other) == {}
    own_stand.must("endremovedmail", "--at", (at + timedelta(days=16)).isoformat())
    assert removed(box) == {}


def in_trash(box: Box) -> list[str]:
    with box.imap() as client:
        client.select("Trash", readonly=True)
        found = client.search(None, "ALL")[1][0].split()
        return [str(number.decode()) for number in found]


def throw_away(box: Box, subject: str) -> None:
    """Move a message to Trash, as mail programs do."""
    with box.imap() as client:
        client.select("INBOX")
        (number,) = client.search(None, "SUBJECT", f'"{subject}"')[1][0].split()
        assert client._simple_command("MOVE", number.decode(), "Trash")[0] == "OK"


def test_what_ends_more_is_counted_confirmed_and_starts_after_a_day(own_stand: Stand) -> None:
    box, held = own_stand.new_mailbox(), own_stand.new_mailbox()
    own_stand.must("setmailbox", held.address, "--hold", "Case 12")
    for each in (box, held):
        each.deliver("Thrown away")
        throw_away(each, "Thrown away")
        own_stand.must("setretention", "Junk", "never", "--address", each.address)
    told = own_stand.command("setretention", "Trash", "3", "--address", box.address)
    assert told.code == 1
    assert "--confirm" in told.stderr
    # Nothing is three days old tomorrow.
    assert told.json["would_end"]["messages"] == 0
    for each in (box, held):
        rule = own_stand.must("setretention", "Trash", "3", "--address", each.address, "--confirm")["rule"]
        assert (rule["folder"], rule["days"]) == ("Trash", 3)
    starts = datetime.fromisoformat(rule["starts_at"])
    # Without a rule nothing is due before it starts, and three days after that the message is.
    assert (
        own_stand.must("purge", "--dry-run", "--at", (starts - timedelta(minutes=1)).isoformat())["messages"]
        == 0
    )
    late = (starts + timedelta(days=3)).isoformat()
    assert own_stand.must("purge", "--dry-run", "--at", late)["messages"] == 1
    assert len(in_trash(box)) == 1
    report = own_stand.must("purge", "--at", late)
    assert (report["mailboxes"], report["messages"], report["failures"]) == (1, 1, [])
    assert in_trash(box) == []
    assert len(in_trash(held)) == 1
    wait_until_recorded(box, "Thrown away")
    assert set(removed(box)) == {"Thrown away"}
    panel = PanelClient(own_stand)
    assert "After 3 days" in panel.get(f"{page_of(panel, box)}retention/")
