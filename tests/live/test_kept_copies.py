"""The story of two devices that share a password over POP, and what becomes of what the first one deletes."""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, datetime, timedelta

import pytest

from tests.live.test_purge import allow_test_clock
from tests.live.test_recoverable import removed, subjects_removed
from tests.panel_client import PanelClient
from tests.stand import Box, Stand, wait_for

pytestmark = pytest.mark.live

WELCOME = "Welcome to your mailbox"
MAIL = ["One", "Two", "Three"]


def in_days(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


def download(box: Box) -> list[str]:
    """Do what a POP program does: fetch everything, delete it, go. Return the subjects, as they came."""
    found = []
    with box.pop() as pop:
        for number in range(1, pop.stat()[0] + 1):
            text = b"\n".join(pop.retr(number)[1]).decode()
            found += re.findall(r"^Subject: (.*)$", text, re.MULTILINE)
            pop.dele(number)
    return found


def pop_sees(box: Box) -> int:
    with box.pop() as pop:
        return pop.stat()[0]


def unread(box: Box) -> int:
    with box.imap() as client:
        client.select("INBOX", readonly=True)
        return len(client.search(None, "UNSEEN")[1][0].split())


def given(box: Box) -> Box:
    for subject in MAIL:
        box.deliver(subject)
    return box


def page_of(panel: PanelClient, box: Box) -> str:
    """Return the address of a mailbox's page."""
    found = re.findall(r"(/mailboxes/[0-9]+/)", panel.get(f"/mailboxes/?q={box.address}"))
    return str(found[0])


def test_deleted_at_once_the_second_device_gets_nothing(stand: Stand) -> None:
    box = stand.new_mailbox()
    stand.must("setmailbox", box.address, "--pop-deletes", "delete")
    given(box)
    assert download(box) == [WELCOME, *MAIL]
    assert download(box) == []
    assert box.subjects() == []
    assert subjects_removed(box) == {WELCOME, *MAIL}


def test_a_copy_is_kept_for_its_days_and_is_recoverable_then(stand: Stand) -> None:
    allow_test_clock(stand)
    box = given(stand.new_mailbox())
    assert download(box) == [WELCOME, *MAIL]
    # One password is one view: the second POP device is not offered them. IMAP shows all, unread.
    assert download(box) == []
    assert box.subjects() == [WELCOME, *MAIL]
    assert unread(box) == 4
    box.deliver("Not fetched")
    with box.imap() as client:
        client.select("INBOX")
        client.uid("MOVE", client.uid("SEARCH", "SUBJECT", "Two")[1][0].decode(), "Archive")
    # Counted from now: on the last day but one it is all there.
    assert stand.must("purge", "--at", in_days(29.9))["messages"] == 0
    assert stand.must("purge", "--dry-run", "--at", in_days(30.1))["messages"] >= 3
    assert box.subjects() == [WELCOME, "One", "Three", "Not fetched"]
    purged = stand.must("purge", "--at", in_days(30.1))
    assert (purged["failures"], purged["messages"] >= 3, purged["bytes"] > 0) == ([], True, True)
    assert box.subjects() == ["Not fetched"]
    with box.imap() as client:
        assert client.select("Archive", readonly=True)[1] == [b"1"]
    assert subjects_removed(box) == {WELCOME, "One", "Three"}
    assert stand.must("purge", "--at", in_days(30.1))["messages"] == 0
    # Each with who removed it: a job of the panel, from the inbox.
    wait_for(
        lambda: {row["protocol"] for row in removed(box).values()} == {"doveadm"},
        "the recorder to tell of it",
    )
    assert stand.must("restoremail", box.address) == {"restored": 3}
    assert sorted(box.subjects()) == sorted([WELCOME, "One", "Three", "Not fetched"])
    # Put back, it has its days again; and POP is not offered it.
    assert stand.must("purge", "--at", in_days(29.9))["messages"] == 0
    assert download(box) == ["Not fetched"]


def test_kept_until_deleted_over_imap_it_never_ends(stand: Stand) -> None:
    allow_test_clock(stand)
    box = given(stand.new_mailbox())
    stand.must("setmailbox", box.address, "--pop-deletes", "keep")
    download(box)
    stand.must("purge", "--at", in_days(365))
    assert box.subjects() == [WELCOME, *MAIL]


def test_to_delete_at_once_asks_what_of_the_hidden_ones(stand: Stand) -> None:
    panel = PanelClient(stand)
    shown, ended = given(stand.new_mailbox()), given(stand.new_mailbox())
    for box in (shown, ended):
        assert len(download(box)) == 4
    assert "4 messages" in panel.get(f"{page_of(panel, ended)}pop/")
    stand.must("setmailbox", shown.address, "--pop-deletes", "delete")
    answer = panel.send(f"{page_of(panel, ended)}pop/", pop_deletes="delete", hidden="end", days="30")
    assert "Saved." in answer
    wait_for(lambda: subjects_removed(ended) == {WELCOME, *MAIL}, "the hidden messages to end")
    assert ended.subjects() == []
    wait_for(lambda: pop_sees(shown) == 4, "POP to be offered them again")
    found = download(shown)
    assert found == [WELCOME, *MAIL]
    assert subjects_removed(shown) == {WELCOME, *MAIL}


def test_the_switch_to_imap_brings_back_what_pop_deleted(stand: Stand) -> None:
    panel = PanelClient(stand)
    box = given(stand.new_mailbox())
    stand.must("setmailbox", box.address, "--pop-deletes", "delete")
    download(box)
    box.deliver("Later")
    page = f"{page_of(panel, box)}to-imap/"
    wait_for(lambda: "4 messages, which can be recovered" in panel.get(page), "the recorder to tell of it")
    assert "stay on the server" in panel.send(page, pop_off="on")
    wait_for(lambda: sorted(box.subjects()) == sorted([WELCOME, *MAIL, "Later"]), "all to be back")
    told = stand.must("showmailbox", box.address)
    assert (told["pop_deletes"], told["protocols"]) == ("keep", ["imap"])
    assert download_refused(box)
    # And back.
    page = f"{page_of(panel, box)}to-pop/"
    assert "POP programs can sign in" in panel.send(page, days="12")
    told = stand.must("showmailbox", box.address)
    assert (told["pop_deletes"], told["protocols"]) == ("keep:12", ["imap", "pop3"])
    assert len(download(box)) == 5


def download_refused(box: Box) -> bool:
    with contextlib.suppress(Exception):
        download(box)
        return False
    return True


def test_copies_end_early_before_a_sender_is_refused(stand: Stand) -> None:
    large = "x\n" * 15_000  # 45 KB, as IMAP counts
    boxes = {}
    for policy in ("keep:30", "keep"):
        box = boxes[policy] = stand.new_mailbox("--quota", "190K")
        stand.must("setmailbox", box.address, "--pop-deletes", policy)
        download(box)
        for number in range(4):
            box.deliver(f"Large {number}", large)
        assert len(download(box)) == 4
    kept = boxes["keep:30"]
    wait_for(lambda: bool(subjects_removed(kept) - {WELCOME}), "the oldest copy to end early", seconds=180)
    # The oldest went, no more than was needed, and a sender finds room.
    assert subjects_removed(kept) == {WELCOME, "Large 0"}
    message = f"Subject: New\n\n{large}"
    for policy, answer in (("keep:30", "delivered"), ("keep", "refused")):
        address = boxes[policy].address
        assert address in stand.command("deliver", address, stdin=message).json[answer]
    # It is above the line again: the next may end already.
    assert {"Large 3", "New"} <= set(kept.subjects())
    assert "ended early" in PanelClient(stand).get(page_of(PanelClient(stand), kept))
