"""A mailbox under a legal hold, used as any other: whatever its owner or the host does, nothing of it ends."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from panel.core.clock import TEST_CLOCK
from tests.live.test_kept_copies import MAIL, WELCOME, download, given, in_days, page_of
from tests.live.test_recoverable import erase, removed, subjects_removed, wait_until_recorded
from tests.panel_client import PanelClient
from tests.stand import Box, Stand

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def own_stand(make_stand: Callable[..., Stand]) -> Stand:
    """A stand that may be told another time: in it, what others removed ends too."""
    stand = make_stand()
    stand.start()
    (stand.data_dir.root / TEST_CLOCK).touch()
    return stand


@pytest.fixture
def box(own_stand: Stand) -> Box:
    """A mailbox with mail, under a legal hold."""
    box = given(own_stand.new_mailbox("--quota", "1M"))
    shown = own_stand.must("setmailbox", box.address, "--hold", "Case 12/2026")
    assert shown["hold"]["reason"] == "Case 12/2026"
    return box


def test_what_is_deleted_over_imap_stays_for_ever(own_stand: Stand, box: Box) -> None:
    with box.imap() as client:
        client.select("INBOX")
        erase(client, "One")
        client.create("Projects")
        client.copy("1", "Projects")
        client.select("Projects")
        client.store("1:*", "+FLAGS", r"(\Deleted)")
        client.expunge()
    wait_until_recorded(box, "One")
    before = subjects_removed(box)
    assert "One" in before
    assert removed(box)["One"]["until"] is None
    for command in ("endremovedmail", "purge"):
        assert own_stand.must(command, "--at", in_days(4000))["failures"] == []
    assert subjects_removed(box) == before
    # More than the quota, too.
    for number in range(3):
        box.deliver(f"Large {number}", "x\n" * 200_000)
        with box.imap() as client:
            client.select("INBOX")
            erase(client, f"Large {number}")
    wait_until_recorded(box, *(f"Large {number}" for number in range(3)))
    own_stand.must("endremovedmail")
    assert {"Large 0", "Large 1", "Large 2"} <= subjects_removed(box)
    # Released, it is as any other.
    own_stand.must("setmailbox", box.address, "--release-hold")
    own_stand.must("endremovedmail", "--at", in_days(4000))
    assert removed(box) == {}


def test_what_pop_deletes_at_once_can_be_recovered(own_stand: Stand, box: Box) -> None:
    own_stand.must("setmailbox", box.address, "--pop-deletes", "delete")
    assert download(box) == [WELCOME, *MAIL]
    assert box.subjects() == []
    own_stand.must("endremovedmail", "--at", in_days(4000))
    assert subjects_removed(box) == {WELCOME, *MAIL}
    assert own_stand.must("restoremail", box.address)["restored"] == 4
    assert sorted(box.subjects()) == sorted([WELCOME, *MAIL])


def test_copies_of_what_pop_deleted_stay(own_stand: Stand, box: Box) -> None:
    own_stand.must("setmailbox", box.address, "--pop-deletes", "keep:1")
    assert download(box) == [WELCOME, *MAIL]
    own_stand.must("purge")
    for at in (in_days(2), in_days(400)):
        assert own_stand.must("purge", "--at", at)["failures"] == []
    assert box.subjects() == [WELCOME, *MAIL]
    refused = own_stand.command(
        "setmailbox", box.address, "--pop-deletes", "delete", "--hidden-copies", "end"
    )
    assert refused.code == 1
    assert "legal hold" in refused.stderr
    own_stand.must("setmailbox", box.address, "--release-hold")
    own_stand.must("purge", "--at", in_days(400))
    assert box.subjects() == []


def test_nobody_deletes_or_erases_it(own_stand: Stand, box: Box) -> None:
    domain = box.address.partition("@")[2]
    with box.imap() as client:
        client.select("INBOX")
        erase(client, "One")
    wait_until_recorded(box, "One")
    refused = own_stand.command("deletemailbox", box.address)
    assert refused.code == 1
    assert "legal hold" in refused.stderr
    panel = PanelClient(own_stand)
    page = page_of(panel, box)
    uid = str(removed(box)["One"]["id"])
    assert "legal hold" in panel.get(f"{page}recover/erase/?id={uid}")
    assert "Under a legal hold since" in panel.get(page)
    assert "Case 12/2026" in panel.get(page)
    assert domain in panel.get(f"/domains/{domain}/")
    assert "One" in subjects_removed(box)
    assert re.search("badge-held", panel.get(f"/mailboxes/?q={box.address}"))


def test_deleted_before_it_can_be_restored_long_after(own_stand: Stand) -> None:
    box = given(own_stand.new_mailbox())
    panel = PanelClient(own_stand)
    page = page_of(panel, box)
    own_stand.must("deletemailbox", box.address)
    assert "It stays restorable" in panel.send(f"{page}hold/", reason="Case 13")
    report = own_stand.must("purge", "--at", (datetime.now(UTC) + timedelta(days=400)).isoformat())
    assert report["failures"] == []
    assert box.home.is_dir()
    panel.press(f"{page}restore/", page)
    assert box.subjects() == [WELCOME, *MAIL]
