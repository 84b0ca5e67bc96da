"""What a real Dovecot does with messages that POP hides: they are found, ended recoverably, and shown again."""

from __future__ import annotations

import imaplib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailbackend.dovecot.doveadm import Command, Doveadm, HiddenMessage, UnknownMailbox
from tests.mailbackend.dovecot_stand import ADDRESS, Stand, make_stand, supervised
from tests.mailbackend.test_recoverable import api, deliver, kept, pop, sign_in, wait_for_removal

pytestmark = pytest.mark.live

OTHER = "ben@example.test"


@pytest.fixture(scope="module")
def live() -> Iterator[Stand]:
    with make_stand() as stand, supervised(stand) as supervisor:
        supervisor.wait_until("RUNNING")
        yield stand


def hidden(stand: Stand, address: str = ADDRESS) -> list[HiddenMessage]:
    (found,) = api(stand).hidden_messages([address])
    assert isinstance(found, list)
    return found


def delete_over_pop(stand: Stand, *numbers: int) -> None:
    client = pop(stand, ADDRESS)
    for number in numbers:
        client.dele(number)
    client.quit()


def pop_sees(stand: Stand) -> int:
    client = pop(stand, ADDRESS)
    count = client.stat()[0]
    client.quit()
    return count


def uids(client: imaplib.IMAP4) -> list[int]:
    found: bytes = client.uid("SEARCH", "ALL")[1][0]
    return [int(uid) for uid in found.split()]


def test_what_pop_hides_is_found_and_ends_or_is_shown_again(live: Stand) -> None:
    before = int(time.time())
    for number in range(6):
        deliver(live, f"Number {number}", ADDRESS)
    assert hidden(live) == []
    delete_over_pop(live, 1, 2, 3)
    client = sign_in(live)
    client.select("INBOX")
    one, two, three, four, five, six = uids(client)
    # The mark of another device; and a message that its owner has starred and labelled.
    client.uid("STORE", str(four), "+FLAGS", "$Pop7")
    client.uid("STORE", str(two), "+FLAGS", r"(\Flagged \Seen $Label1)")
    client.uid("STORE", str(five), "+FLAGS", "($PopOther Pop)")
    found = hidden(live)
    assert [message.uid for message in found] == [one, two, three, four]
    assert len({message.guid for message in found}) == 4
    assert all(message.size > 0 and message.saved_at.timestamp() >= before for message in found)
    # Filed by a person: it is no copy any more.
    client.uid("MOVE", str(three), "Archive")
    assert [message.uid for message in hidden(live)] == [one, two, four]

    # Only what POP hides ends, whatever is asked for.
    api(live).end_hidden(ADDRESS, [one, five, 4_000_000])
    client.noop()
    assert uids(client) == [two, four, five, six]
    removal = wait_for_removal(live, ADDRESS, kept(live)["Number 0"])
    assert (removal.protocol, removal.folder) == ("doveadm", "INBOX")

    assert pop_sees(live) == 3
    api(live).show_hidden(ADDRESS, [two, four, five])
    assert hidden(live) == []
    assert pop_sees(live) == 4
    flags = str(client.uid("FETCH", f"{two},{five}", "(FLAGS)")[1])
    assert r"\\Flagged" in flags
    assert "$Label1" in flags
    assert "$PopOther" in flags
    assert "$PopMain" not in flags
    api(live).end_hidden(ADDRESS, [two])
    assert two in uids(client)


def test_several_mailboxes_are_one_question(live: Stand) -> None:
    deliver(live, "Hidden", ADDRESS)
    client = pop(live, ADDRESS)
    client.dele(1)
    client.quit()
    first, unknown, third = api(live).hidden_messages([ADDRESS, "nobody@example.test", OTHER])
    assert isinstance(first, list)
    assert first
    assert isinstance(unknown, UnknownMailbox)
    assert third == []


@pytest.mark.parametrize(
    "command",
    [
        Command("expunge", {"user": ADDRESS, "query": ["mailbox", "INBOX", "uid", "1:5"]}),
        Command("expunge", {"user": ADDRESS, "query": ["mailbox", "INBOX", "KEYWORD", "$PopMain"]}),
        Command(
            "expunge",
            {"user": ADDRESS, "query": ["mailbox", "Archive", "uid", "1", "(", "KEYWORD", "$PopMain", ")"]},
        ),
        Command("fetch", {"user": ADDRESS, "field": ["text"], "query": ["mailbox", "INBOX", "uid", "1"]}),
    ],
)
def test_nothing_else_in_the_inbox_is_reached(command: Command) -> None:
    with pytest.raises(ValueError, match="may not be sent"):
        Doveadm(Path("/nowhere"), "k").batch([command])
