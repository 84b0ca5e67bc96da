"""What a real Dovecot says of the folders of a mailbox."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from mailbackend.dovecot.doveadm import Command
from tests.mailbackend.dovecot_stand import ADDRESS, Stand, make_stand, supervised
from tests.mailbackend.test_recoverable import api, deliver, sign_in

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def live() -> Iterator[Stand]:
    with make_stand() as stand, supervised(stand) as supervisor:
        supervisor.wait_until("RUNNING")
        yield stand


def test_folders_are_measured_and_know_their_oldest_message(live: Stand) -> None:
    before = int(time.time())
    deliver(live, "First", ADDRESS, body="x" * 3000)
    deliver(live, "Second", ADDRESS)
    client = sign_in(live)
    client.create("Projects/2026")
    client.append(
        '"Projects/2026"', "", '"01-Jan-2020 00:00:00 +0000"', b"Subject: Old\r\n\r\n" + b"y" * 9000
    )
    client.create("Empty")
    client.append("Archive", "", "", b"Subject: Third\r\n\r\nz\r\n")
    client.select("INBOX")
    # What was removed is in no folder.
    client.append("INBOX", r"(\Deleted)", "", b"Subject: Gone\r\n\r\n" + b"g" * 5000)
    client.expunge()
    client.logout()
    uses = {use.name: use for use in api(live).folder_uses(ADDRESS)}
    assert {"INBOX", "Archive", "Projects/2026"} <= set(uses)
    assert not any("EXPUNGED" in name for name in uses)
    assert uses["INBOX"].messages == 2
    assert 3000 < uses["INBOX"].used_bytes < 5000
    assert uses["Projects/2026"].used_bytes > 9000
    assert uses["Empty"].used_bytes == uses["Empty"].messages == 0
    quota = api(live).quota(ADDRESS)
    assert quota.messages == sum(use.messages for use in uses.values())
    # Dovecot tells whole KiB, rounded up.
    assert 0 <= quota.used_bytes - sum(use.used_bytes for use in uses.values()) < 1024
    oldest = api(live).oldest_saved(ADDRESS)
    assert set(oldest) == {name for name, use in uses.items() if use.messages}
    # Since it came there: what its head or its client say of its age is another matter.
    assert all(before <= at.timestamp() <= time.time() + 1 for at in oldest.values())


@pytest.mark.parametrize(
    "command",
    [
        Command("mailboxStatus", {"user": ADDRESS, "field": ("messages", "vsize"), "mailboxMask": ["INBOX"]}),
        Command("fetch", {"user": ADDRESS, "field": ("text",), "query": ("mailbox", "*", "1")}),
        Command("expunge", {"user": ADDRESS, "query": ("mailbox", "*", "1")}),
        Command(
            "fetch", {"user": ADDRESS, "field": ("mailbox", "date.saved.unixtime"), "query": ("mailbox", "*")}
        ),
    ],
)
def test_nothing_else_is_asked_of_folders(live: Stand, command: Command) -> None:
    with pytest.raises(ValueError, match="may not be sent"):
        api(live).batch([command])
