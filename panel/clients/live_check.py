"""What came of a mail program's attempts while somebody sets it up: IMAP and POP are told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from panel.addresses.models import Mailbox
from panel.connections.mailbox_pages import Entry, entries_of, folded
from panel.connections.models import Connection

#: Attempts by one protocol that are shown; what came before them has a page of its own.
SHOWN = 4


class State(StrEnum):
    """How a set-up stands."""

    WAITING = "waiting"
    CONNECTED = "connected"
    REFUSED = "refused"


@dataclass(frozen=True)
class Way:
    """One protocol, and what has come by it.

    Attributes:
        protocol: its code.
        state: CONNECTED once any attempt got in: another program that goes on failing does not take that back.
        entries: the newest first, alike refusals told once.
        more: how many more there are.
    """

    protocol: str
    state: State
    entries: tuple[Entry, ...]
    more: int

    @property
    def name(self) -> str:
        """As people call it."""
        return str(Connection.Protocol(self.protocol).label)


def ways_of(mailbox: Mailbox, rows: Sequence[Connection], protocols: Sequence[str]) -> list[Way]:
    """Return what has come, for each protocol that is asked about or that was tried.

    Args:
        mailbox: that is set up.
        rows: what happened, newest first.
        protocols: that are told of even where nothing came, in their order.
    """
    tried = [protocol for protocol in Connection.Protocol.values if protocol not in protocols]
    found = [_way(mailbox, [row for row in rows if row.protocol == each], each) for each in protocols]
    others = [_way(mailbox, [row for row in rows if row.protocol == each], each) for each in tried]
    return [*found, *(way for way in others if way.entries)]


def _way(mailbox: Mailbox, rows: list[Connection], protocol: str) -> Way:
    entries = list(folded(entries_of(rows, mailbox)))
    got_in = any(row.outcome == Connection.Outcome.ACCEPTED for row in rows)
    state = State.CONNECTED if got_in else State.REFUSED if rows else State.WAITING
    return Way(protocol, state, tuple(entries[:SHOWN]), max(len(entries) - SHOWN, 0))
