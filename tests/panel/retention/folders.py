"""A mail service in memory, with folders in which messages grow old."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase

from mailbackend.dovecot.doveadm import DoveadmError, Folder, Old, OldMessage, UnknownMailbox
from panel.addresses.models import Mailbox


@dataclass
class FolderDovecot:
    """The part of doveadm's client that is used.

    Attributes:
        folders: messages by address, folder and UID.
        trouble: what asking about an address ends with.
        down: what every question ends with.
        before_end, after_end: called around each order to remove messages.
        orders: how many messages each order was about.
    """

    folders: dict[str, dict[str, dict[int, OldMessage]]] = field(default_factory=dict)
    trouble: dict[str, DoveadmError] = field(default_factory=dict)
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

    def end_old(self, address: str, folder: str, uids: Iterable[int], before: datetime) -> None:
        self._answer()
        self.before_end()
        if address not in self.folders:
            raise UnknownMailbox(address)
        held = self.folders[address][folder]
        gone = [uid for uid in uids if uid in held and held[uid].saved_at < before]
        for uid in gone:
            del held[uid]
        self.orders.append(len(gone))
        self.after_end()

    def _old(self, asked: Old) -> list[OldMessage]:
        held = self.folders.get(asked.address, {}).get(asked.folder, {})
        before = int(asked.before.timestamp())
        return [
            held[uid] for uid in sorted(held) if uid in asked.uids and held[uid].saved_at.timestamp() < before
        ]

    def _answer(self) -> None:
        if self.down is not None:
            raise self.down
