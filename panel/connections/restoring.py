"""Bringing removed messages back to where they were, and erasing them for good.

Both can be done again after they were cut off: what is done already is no longer among the removed messages, and only
that is looked at. Dovecot lets a move into a full mailbox pass, so room is looked for here, before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from mailbackend import maildir
from mailbackend.dovecot.doveadm import Doveadm, DoveadmError, KeptMessage, MailServiceDown
from panel.addresses.holding import check_not_held
from panel.addresses.models import Mailbox
from panel.connections import recoverable, removals
from panel.connections.models import RemovedMessage
from panel.core import audit, jobs, mail
from panel.core.errors import Problem
from panel.core.sizes import format_size

INBOX = "INBOX"
#: Messages between two looks at what is left of the room.
AT_ONCE = 500
#: So many are brought back while a page waits; more is a job.
WHILE_WAITING = 50
#: Flags that end with the removal: a program would remove the message again, or hide it from POP programs.
_REMOVED = r"\Deleted"
#: How Dovecot's log ends the name of a folder that it cut. No folder is named so: a name holds no dot.
_CUT = "..."


@dataclass(frozen=True)
class Choice:
    """Which of a mailbox's removed messages are meant: those that fit all that is given.

    Attributes:
        uids: of these alone, or None for any.
        since: removed then or later.
        until: removed then or earlier.
    """

    uids: frozenset[int] | None = None
    since: datetime | None = None
    until: datetime | None = None

    def holds(self, message: KeptMessage) -> bool:
        """Say whether a message is one of them."""
        if self.uids is not None and message.uid not in self.uids:
            return False
        if self.since is not None and message.removed_at < self.since.replace(microsecond=0):
            return False  # Dovecot tells whole seconds.
        return self.until is None or message.removed_at <= self.until


@dataclass
class Restored:
    """What came of bringing messages back.

    Attributes:
        asked: how many were to be brought back.
        restored: how many were.
        no_room: how many did not fit into the mailbox's quota, and stay where they are.
        failures: what else went wrong, in words.
    """

    asked: int = 0
    restored: int = 0
    no_room: int = 0
    failures: list[str] = field(default_factory=list)

    def problems(self, mailbox: Mailbox) -> list[str]:
        """Return what is left and why, in sentences."""
        found = list(dict.fromkeys(self.failures))
        if self.no_room:
            words = ngettext(
                "%(count)s message has no room in the mailbox (%(quota)s). It can still be recovered: "
                "make room or raise the quota, then do it again.",
                "%(count)s messages have no room in the mailbox (%(quota)s). They can still be recovered: "
                "make room or raise the quota, then do it again.",
                self.no_room,
            )
            quota = format_size(mailbox.quota_bytes or 0)
            found.insert(0, words % {"count": self.no_room, "quota": quota})
        return found

    def as_json(self, mailbox: Mailbox) -> dict[str, Any]:
        """Return it as the contract has it."""
        problems = self.problems(mailbox)
        subject = mailbox.address
        failures = [{"subject": subject, "problem": problem, "mended": False} for problem in problems]
        return {"restored": self.restored} | ({"failures": failures} if failures else {})


def chosen(api: Doveadm, mailbox: Mailbox, choice: Choice) -> list[KeptMessage]:
    """Return the removed messages that are meant, the latest first.

    Raises:
        DoveadmError: if the mail service does not answer, or refuses.
    """
    if not maildir.has_removed_mail(settings.DATA_DIR.mail, mailbox.home_path):
        return []
    found = filter(choice.holds, recoverable.all_kept(api, mailbox))
    return sorted(found, key=lambda message: (message.removed_at, message.uid), reverse=True)


def restore(mailbox: Mailbox, choice: Choice, *, offer_to_pop: bool = False) -> Restored:
    """Move removed messages back to the folders that they were in, with their flags and dates.

    A folder that is gone is made again; what is of no known folder comes into the inbox.

    Args:
        mailbox: whose.
        choice: which messages.
        offer_to_pop: whether POP programs are to be offered again what was hidden from them.

    Raises:
        Problem: if the mailbox is deleted, or the mail root is not there.
        DoveadmError: if the mail service does not answer. What was brought back until then is recorded.
    """
    api = _opened(mailbox)
    messages = chosen(api, mailbox, choice)
    result = Restored(asked=len(messages))
    if not messages:
        return result
    quota = api.quota(mailbox.address)
    room = None if quota.limit_bytes is None else max(quota.limit_bytes - quota.used_bytes, 0)
    places = _Places(api, mailbox)
    for start in range(0, len(messages), AT_ONCE):
        some = messages[start : start + AT_ONCE]
        fitting, room = _that_fit(some, room)
        result.no_room += len(some) - len(fitting)
        rows = removals.rows_of(mailbox, fitting)
        _put_back(api, mailbox, _by_place(places, fitting, rows), result, offer_to_pop=offer_to_pop)
        jobs.note_progress({"restored": result.restored, "asked": result.asked})
    return result


def erase(mailbox: Mailbox, choice: Choice) -> int:
    """End removed messages for good, and return how many.

    Raises:
        Problem: if the mailbox is deleted or under a legal hold, or the mail root is not there.
        DoveadmError: if the mail service does not answer, or refuses.
    """
    api = _opened(mailbox)
    messages = chosen(api, mailbox, choice)
    if not messages:
        return 0
    uids = [message.uid for message in messages]
    within = mail.doveadm(timeout=recoverable.WAIT_IN_TRANSACTION)
    for start in range(0, len(uids), AT_ONCE):
        some = uids[start : start + AT_ONCE]
        with transaction.atomic():
            check_not_held(mailbox)
            within.end_messages(mailbox.address, some)
            _record("mailbox.mail_erased", mailbox, some, {"erased_messages": len(some)})
    return len(uids)


def start_restoring(mailbox: Mailbox, *, since: datetime, until: datetime, offer_to_pop: bool) -> int:
    """Have a job bring back everything that was removed in a time; return its number."""
    with transaction.atomic():
        job = jobs.start_job(
            "restore_removed_mail",
            mailbox=mailbox.pk,
            since=since.isoformat(),
            until=until.isoformat(),
            offer_to_pop=offer_to_pop,
        )
        audit.record(
            "mailbox.mail_restore_asked",
            target=mailbox,
            customer_id=mailbox.domain.customer_id,
            after={"removed_since": since},
        )
    return job.pk


class _Places:
    """Which folder a message is put back to: asked of Dovecot once, and made where it is missing."""

    def __init__(self, api: Doveadm, mailbox: Mailbox) -> None:
        self._api, self._address = api, mailbox.address
        self._there = api.folders(mailbox.address) | {INBOX}
        self._found: dict[str, str] = {}

    def of(self, row: RemovedMessage | None) -> str:
        """Return the name of an existing folder."""
        name = row.folder if row is not None and row.folder else INBOX
        if name not in self._found:
            self._found[name] = self._find(name)
        return self._found[name]

    def _find(self, name: str) -> str:
        if name in self._there:
            return name
        if name.endswith(_CUT):
            fitting = [each for each in self._there if each.startswith(name.removesuffix(_CUT))]
            return fitting[0] if len(fitting) == 1 else INBOX
        try:
            made = self._api.create_folder(self._address, name)
        except ValueError:
            made = False  # A name that no folder can have: the log was damaged there.
        return name if made else INBOX


def _opened(mailbox: Mailbox) -> Doveadm:
    """Return the API, once it is clear that the mailbox is there."""
    if mailbox.state == Mailbox.State.DELETED:
        raise Problem(_("The mailbox is deleted: restore it first, then its removed messages."))
    mail.check_mail_root()
    return mail.doveadm(timeout=recoverable.WAIT)


def _that_fit(messages: Sequence[KeptMessage], room: int | None) -> tuple[list[KeptMessage], int | None]:
    """Return the messages that have room, in their order, and the room that they leave; None is no limit."""
    if room is None:
        return list(messages), None
    fitting = []
    for message in messages:
        if message.size <= room:
            fitting.append(message)
            room -= message.size
    return fitting, room


def _by_place(
    places: _Places, messages: Sequence[KeptMessage], rows: dict[int, RemovedMessage]
) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for message in messages:
        found.setdefault(places.of(rows.get(message.uid)), []).append(message.uid)
    return found


def _put_back(
    api: Doveadm, mailbox: Mailbox, by_place: dict[str, list[int]], result: Restored, *, offer_to_pop: bool
) -> None:
    """Put messages back folder by folder; what one folder refuses keeps no other from it."""
    without = [_REMOVED, *(maildir.POP_KEYWORDS if offer_to_pop else ())]
    for folder, uids in by_place.items():
        try:
            api.put_back(mailbox.address, uids, folder, without=without)
            back: Collection[int] = uids
        except MailServiceDown:
            raise  # What moved is no longer among the removed: the next run goes on with the rest.
        except DoveadmError as err:
            result.failures.append(str(err))
            back = set(uids) - set(_left(api, mailbox, uids))
        if back:
            _record("mailbox.mail_restored", mailbox, back, {"restored_messages": len(back)})
            result.restored += len(back)


def _left(api: Doveadm, mailbox: Mailbox, uids: Sequence[int]) -> Iterator[int]:
    yield from (message.uid for message in chosen(api, mailbox, Choice(uids=frozenset(uids))))


def _record(action: str, mailbox: Mailbox, uids: Collection[int], numbers: dict[str, Any]) -> None:
    """Write down what was done, and forget the rows of what is no longer removed."""
    with transaction.atomic():
        removals.forget(mailbox, uids)
        audit.record(action, target=mailbox, customer_id=mailbox.domain.customer_id, after=numbers)
