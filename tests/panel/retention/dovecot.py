"""A mail service in memory, with inboxes in which POP hides messages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from mailbackend.dovecot.doveadm import (
    Answer,
    Command,
    DoveadmError,
    HiddenMessage,
    MailServiceDown,
    Quota,
)
from panel.addresses.models import Mailbox


@dataclass
class HidingDovecot:
    """The part of doveadm's client that is used.

    Attributes:
        hidden: what POP hides, by address and UID.
        ended, shown: what was done to which UIDs.
        used: bytes that mailboxes use.
        trouble: what asking about an address ends with.
        asked: the addresses that were asked about.
        most: how many mailboxes fit into an answer.
        down: what every question ends with.
    """

    hidden: dict[str, dict[int, HiddenMessage]] = field(default_factory=dict)
    ended: list[int] = field(default_factory=list)
    shown: list[int] = field(default_factory=list)
    used: dict[str, int] = field(default_factory=dict)
    trouble: dict[str, DoveadmError] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    most: int = 1000
    down: DoveadmError | None = None

    def hide(self, mailbox: Mailbox, uid: int, saved_at: datetime, size: int = 100) -> None:
        """Have a POP program delete a message."""
        self.hidden.setdefault(mailbox.address, {})[uid] = HiddenMessage(uid, f"guid{uid}", saved_at, size)

    def uids(self, mailbox: Mailbox) -> list[int]:
        return sorted(self.hidden.get(mailbox.address, {}))

    def hidden_messages(self, addresses: Sequence[str]) -> list[list[HiddenMessage] | DoveadmError]:
        self._answer(addresses)
        if len(addresses) > self.most:
            raise DoveadmError("The mail service's answer is too long: ask for less at once.")
        return [
            self.trouble.get(address) or list(self.hidden.get(address, {}).values()) for address in addresses
        ]

    def end_hidden(self, address: str, uids: Iterable[int]) -> None:
        self._answer([])
        for uid in uids:
            del self.hidden[address][uid]
            self.ended.append(uid)

    def show_hidden(self, address: str, uids: Iterable[int]) -> None:
        self._answer([])
        for uid in uids:
            del self.hidden[address][uid]
            self.shown.append(uid)

    def quota(self, address: str) -> Quota:
        self._answer([address])
        return Quota(self.used[address], None, 0)

    def batch(self, commands: Sequence[Command]) -> list[Answer]:
        addresses = [str(command.parameters["user"]) for command in commands]
        self._answer(addresses)
        return [
            Answer(
                rows=(
                    {"type": "STORAGE", "value": str(self.used[address] // 1024), "limit": "-"},
                    {"type": "MESSAGE", "value": "1", "limit": "-"},
                )
            )
            for address in addresses
        ]

    def _answer(self, addresses: Sequence[str]) -> None:
        if self.down is not None:
            raise self.down
        self.asked += addresses


class Killed(MailServiceDown):
    """Stands for a process that ends in the middle of an order."""
