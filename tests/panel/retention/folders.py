"""A mail service in memory, with folders in which messages grow old."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase

from mailbackend.dovecot.doveadm import DoveadmError, Ending, Folder, Old, OldMessage, UnknownMailbox
from panel.addresses.models import Mailbox


@dataclass
class FolderDovecot:
    """The part of doveadm's client that is used.

    Attributes:
        folders: messages by address, folder and UID.
        trouble: what asking about an address ends with.
        refused: what removing messages of an address ends with.
        ends_without_an_answer: what an order to remove messages must look like to end so.
        down: what every question ends with.
        before_end, after_end: called around each order to remove messages.
        orders: how many messages each order was about.
    """

    folders: dict[str, dict[str, dict[int, OldMessage]]] = field(default_factory=dict)
    trouble: dict[str, DoveadmError] = field(default_factory=dict)
    refused: dict[str, DoveadmError] = field(default_factory=dict)
    ends_without_an_answer: Callable[[Sequence[Ending]], bool] = lambda _asked: False
    down: DoveadmError | None = None
    before_end: Callable[[], None] = lambda: None
    after_end: Callable[[], None] = lambda: None
    orders: list[int] = field(default_factory=list)

    def save(
        self, mailbox: Mailbox, folder: str, saved_at: datetime, number: int = 1, size: int = 100
    ) -> None:
        """Have messages come into a folder."""
        held = self.folders.setdefault(mailbox.address, {}).setdefault(folder, {})
        first = max(held, default=0) + 1
        for uid in range(first, first + number):
            held[uid] = OldMessage(uid, saved_at.replace(microsecond=0), size)

    def uids(self, mailbox: Mailbox, folder: str) -> list[int]:
        return sorted(self.folders.get(mailbox.address, {}).get(folder, {}))

    def folders_of(self, asked: Sequence[tuple[str, Sequence[str]]]) -> list[list[Folder] | DoveadmError]:
        self._answer()
        return [
            self.trouble.get(address)
            or [
                Folder(name, len(held), max(held, default=0) + 1)
                for name, held in self.folders.get(address, {}).items()
                if any(name == each or fnmatchcase(name, each) for each in names)
            ]
            for address, names in asked
        ]

    def old_messages(self, asked: Sequence[Old]) -> list[list[OldMessage] | DoveadmError]:
        self._answer()
        return [self.trouble.get(each.address) or self._old(each) for each in asked]

    def end_old(self, asked: Sequence[Ending]) -> list[list[OldMessage] | DoveadmError]:
        self._answer()
        if self.ends_without_an_answer(asked):
            raise DoveadmError("It ended without an answer.")
        self.before_end()
        gone = [self.refused.get(each.address) or self._end(each) for each in asked]
        self.orders.append(sum(len(some) for some in gone if isinstance(some, list)))
        self.after_end()
        return gone

    def _end(self, asked: Ending) -> list[OldMessage] | DoveadmError:
        if asked.address not in self.folders:
            return UnknownMailbox(asked.address)
        held = self.folders[asked.address][asked.folder]
        return [held.pop(uid) for uid in asked.uids if uid in held and held[uid].saved_at < asked.before]

    def _old(self, asked: Old) -> list[OldMessage]:
        held = self.folders.get(asked.address, {}).get(asked.folder, {})
        before = int(asked.before.timestamp())
        return [
            held[uid] for uid in sorted(held) if uid in asked.uids and held[uid].saved_at.timestamp() < before
        ]

    def _answer(self) -> None:
        if self.down is not None:
            raise self.down
