"""What is due by the rules: how much, in which folder of which mailbox. Nothing is changed here.

Messages are due that came into their folder before the cut-off: the run's stored moment less the rule's days, each of
86,400 seconds. What Dovecot calls the date of saving is when a message came into the folder: moving it begins anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import QuerySet

from mailbackend.dovecot.doveadm import (
    FOLDER_NAME_MAX,
    UIDS_AT_ONCE,
    Doveadm,
    DoveadmError,
    Folder,
    NobodyListens,
    Old,
    OldMessage,
    UnknownMailbox,
    can_be_named,
)
from mailbackend.dovecot.names import RECOVERABLE
from panel.accounts.models import Customer
from panel.addresses.models import Domain, Mailbox
from panel.addresses.report import Failure
from panel.addresses.selectors import living_mailboxes
from panel.core import mail
from panel.retention.asking import in_halves
from panel.retention.models import RuleChange
from panel.retention.rules import Effective, Level, for_folder, said_in, with_change

#: Mailboxes that one question is about, and messages that the folders of one question may hold: it bounds the answer.
PAGE, MESSAGES_AT_ONCE = 50, 100_000
#: Seconds to wait for an answer.
WAIT = 120.0

#: What is said for a mailbox, by its key.
Said = Mapping[int, Sequence[Effective]]


@dataclass(eq=False)
class Due:
    """What is due in one folder of a mailbox.

    Attributes:
        mailbox, folder: where.
        rule: by what is said where.
        cutoff: what came into the folder before this is due.
        messages, bytes: how much that is.
        oldest, newest: when the first and the last of it came into the folder.
    """

    mailbox: Mailbox
    folder: str
    rule: Effective
    cutoff: datetime
    messages: int = 0
    bytes: int = 0
    oldest: datetime | None = None
    newest: datetime | None = None

    def add(self, found: Iterable[OldMessage]) -> None:
        """Count some messages."""
        for message in found:
            self.messages += 1
            self.bytes += message.size
            self.oldest = min(self.oldest or message.saved_at, message.saved_at)
            self.newest = max(self.newest or message.saved_at, message.saved_at)


@dataclass
class Found:
    """What was found in a page of mailboxes.

    Attributes:
        due: where something is due.
        failures: what could not be looked at.
    """

    due: list[Due] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    @property
    def mailboxes(self) -> int:
        """In how many mailboxes something is due."""
        return len({each.mailbox.pk for each in self.due})

    @property
    def messages(self) -> int:
        """How many messages are due."""
        return sum(each.messages for each in self.due)

    @property
    def bytes(self) -> int:
        """Their size."""
        return sum(each.bytes for each in self.due)


def mailboxes_below(level: Level) -> QuerySet[Mailbox]:
    """Return the living mailboxes below a level that no hold keeps and nobody suspended, by their keys.

    What is due in a suspended one waits until it is resumed: its owner cannot look after it meanwhile.
    """
    rows = living_mailboxes().filter(held_at=None, suspended_at=None)
    rows = rows.filter(domain__suspended_at=None, domain__customer__suspended_at=None).order_by("pk")
    if isinstance(level, Mailbox):
        return rows.filter(pk=level.pk)
    if isinstance(level, Domain):
        return rows.filter(domain=level)
    return rows.filter(domain__customer=level) if isinstance(level, Customer) else rows


def cutoff_of(now: datetime, days: int) -> datetime:
    """Return before which moment a message must have come so that it is due; no calendar counts in between."""
    return now - timedelta(days=days)


def find_due(page: Sequence[Mailbox], *, now: datetime, change: RuleChange | None = None) -> Found:
    """Count what is due in a page of mailboxes.

    Args:
        page: at most `PAGE` of them, read with `domain__customer`.
        now: from when on days count back.
        change: count only what is due because this counts then, and was not due before; None is all that is due.
            What waits and starts before it counts by then: it was counted without it.

    Raises:
        MailServiceDown: if the mail service does not answer.
        DoveadmError: if it refuses a whole question.
    """
    if change is None:
        return _find(page, said_in(page), now, lambda _mailbox, _folder, _rule: True)
    before = _said_with(page, _that_start_before(change))
    after = {key: with_change(said, change) for key, said in before.items()}

    def is_new(mailbox: Mailbox, folder: str, rule: Effective) -> bool:
        said = for_folder(before[mailbox.pk], folder)
        return said is None or said.days is None or (rule.days is not None and rule.days < said.days)

    return _find(page, after, now, is_new)


def find_due_with(page: Sequence[Mailbox], *, now: datetime, changes: Sequence[RuleChange]) -> Found:
    """Count what would be due in a page of mailboxes if some changes counted already; as `find_due` otherwise."""
    return _find(page, _said_with(page, changes), now, lambda _mailbox, _folder, _rule: True)


def still_old(
    api: Doveadm, address: str, folder: str, uids: Iterable[int], before: datetime
) -> list[OldMessage]:
    """Return those of some messages of a folder that are there and came before a moment.

    Raises:
        UnknownMailbox: if there is no such mailbox.
        DoveadmError: if the mail service does not answer, or refuses.
    """
    wanted = sorted(set(uids))
    found: list[OldMessage] = []
    for low in range(0, len(wanted), UIDS_AT_ONCE):
        some = wanted[low : low + UIDS_AT_ONCE]
        for window in windows(some[0], some[-1] + 1):
            (answer,) = api.old_messages([Old(address, folder, window, before)])
            if isinstance(answer, DoveadmError):
                raise answer
            known = set(some)
            found += [message for message in answer if message.uid in known]
    return found


def windows(first: int, end: int) -> Iterator[range]:
    """Yield the UIDs from `first` to the one before `end`, in pieces that one question may be about."""
    for low in range(first, end, UIDS_AT_ONCE):
        yield range(low, min(low + UIDS_AT_ONCE, end))


def _said_with(page: Sequence[Mailbox], changes: Iterable[RuleChange]) -> dict[int, list[Effective]]:
    """Return what would be said in a page of mailboxes if some changes counted already."""
    said: dict[int, list[Effective]] = said_in(page)
    for change in changes:
        for mailbox in page:
            if _is_below(mailbox, change.level):
                said[mailbox.pk] = with_change(said[mailbox.pk], change)
    return said


def _that_start_before(change: RuleChange) -> list[RuleChange]:
    """Return the changes that count before another one does, or may, if somebody confirms them still."""
    rows = RuleChange.objects.filter(cancelled_at=None, done_at=None, starts_at__lte=change.starts_at)
    rows = rows.exclude(pk=change.pk).exclude(folder=RECOVERABLE).order_by("starts_at", "pk")
    return list(rows.select_related("customer", "domain__customer", "mailbox__domain__customer"))


def _find(
    page: Sequence[Mailbox],
    said: Said,
    now: datetime,
    counts: Callable[[Mailbox, str, Effective], bool],
) -> Found:
    found = Found()
    ruled = [mailbox for mailbox in page if any(rule.days is not None for rule in said[mailbox.pk])]
    api = mail.doveadm(timeout=WAIT)
    asked: list[tuple[Due, Old]] = []
    held = 0
    for due, next_uid, messages in _ruled_folders(api, ruled, said, now, counts, found):
        for window in windows(1, next_uid):
            asked.append((due, Old(due.mailbox.address, due.folder, window, due.cutoff)))
        held += messages
        if held >= MESSAGES_AT_ONCE or len(asked) >= PAGE:
            _ask(api, asked, found)
            asked, held = [], 0
    _ask(api, asked, found)
    return found


def _ruled_folders(
    api: Doveadm,
    ruled: Sequence[Mailbox],
    said: Said,
    now: datetime,
    counts: Callable[[Mailbox, str, Effective], bool],
    found: Found,
) -> Iterator[tuple[Due, int, int]]:
    """Yield the folders that hold something and that a rule ends messages in, the next UID, and how much they hold."""

    def ask(some: Sequence[Mailbox]) -> Sequence[list[Folder] | DoveadmError]:
        return api.folders_of([(each.address, _names(said[each.pk])) for each in some])

    for mailbox, answer in in_halves(ruled, ask):
        if isinstance(answer, DoveadmError):
            _note(found, mailbox, answer)
            continue
        for folder in answer:
            rule = for_folder(said[mailbox.pk], folder.name)
            if not folder.messages or rule is None or rule.days is None:
                continue
            if not counts(mailbox, folder.name, rule):
                continue
            if not can_be_named(folder.name):
                problem = (
                    f"The folder {folder.name!r} is left alone: * and % in its name stand for any letters."
                )
                found.failures.append(Failure(mailbox.address, problem, mended=False, mendable=False))
                continue
            due = Due(mailbox, folder.name, rule, cutoff_of(now, rule.days))
            yield due, folder.next_uid, folder.messages


def _names(said: Sequence[Effective]) -> list[str]:
    """Return as which folders the rules may be about are asked for: those that they name, and what lies below.

    Others are not opened. A wildcard in a rule's own name finds others too, which no rule counts for.
    """
    ending = [rule.folder for rule in said if rule.days is not None]
    names = [name for folder in ending for name in (folder, f"{folder}/*")]
    # Nothing has a name that is longer, and nothing lies below one that has no room for it.
    return [name for name in names if len(name) <= FOLDER_NAME_MAX]


def _ask(api: Doveadm, asked: Sequence[tuple[Due, Old]], found: Found) -> None:
    """Count what the answers say; what is due in a folder is told once, in however many questions it was asked."""
    failed: set[int] = set()
    answers = in_halves(asked, lambda some: api.old_messages([old for _due, old in some]))
    for (due, _old), answer in answers:
        if not isinstance(answer, DoveadmError):
            due.add(answer)
        elif id(due) not in failed:
            failed.add(id(due))
            _note(found, due.mailbox, answer)
    for due in {id(due): due for due, _old in asked}.values():
        if due.messages and id(due) not in failed and due not in found.due:
            found.due.append(due)


def _note(found: Found, mailbox: Mailbox, err: DoveadmError) -> None:
    if isinstance(err, NobodyListens):
        raise err
    if isinstance(err, UnknownMailbox):
        return  # It was deleted or renamed a moment ago.
    problem = f"{err} The next run tries again."
    found.failures.append(Failure(mailbox.address, problem, mended=False, mendable=True))


def _is_below(mailbox: Mailbox, level: Level) -> bool:
    if level is None:
        return True
    return level in (mailbox, mailbox.domain, mailbox.domain.customer)
