"""Which message was removed, by whom: rows of what Dovecot's log says, beside the messages that Dovecot keeps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from mailbackend.dovecot.doveadm import KeptMessage
from mailbackend.dovecot.removals import Removed
from panel.accounts.models import User
from panel.addresses.inherited import recovery_days_of
from panel.addresses.models import Mailbox
from panel.addresses.selectors import mailboxes_for
from panel.connections.models import Connection, RemovedMessage

#: Rows of one statement, and UIDs that one names: within what SQLite and PostgreSQL take.
_BATCH = 500
#: A removal is logged when it is complete, this long after its message was put aside at most; and a message's time is
#: in whole seconds. A row further from its message than this is another's, whose UID was given again after Dovecot
#: lost the folder's index.
_LOGGED_WITHIN, _ROUNDED = timedelta(minutes=10), timedelta(seconds=2)

_FOLDER_MAX = 255


@dataclass(frozen=True)
class _Owner:
    """A mailbox that has, or had, an address."""

    pk: int
    created_at: datetime
    ended_at: datetime | None

    def had_it(self, at: datetime) -> bool:
        return self.created_at <= at and (self.ended_at is None or at <= self.ended_at)


def save(node: str, removed: Sequence[Removed]) -> int:
    """Store what was removed, in the caller's transaction. Storing the same again changes nothing.

    A UID that has a row already was given again, because Dovecot lost the folder's index: the later line of the log is
    the one that is true. A message of no mailbox here, or of one that had the address at another time, is left out:
    the next owner of an address must not see what the last one removed.

    Args:
        node: which Dovecot wrote the log.
        removed: in the order of the log.

    Returns:
        how many rows there are for it.
    """
    if not removed:
        return 0
    owners = _owners({removal.address for removal in removed})
    rows: dict[tuple[int, int], RemovedMessage] = {}
    for removal in removed:
        at = datetime.fromisoformat(removal.at)
        owner = next((owner for owner in owners[removal.address] if owner.had_it(at)), None)
        if owner is not None:
            rows[owner.pk, removal.uid] = _row(node, removal, owner.pk, at)
    RemovedMessage.objects.bulk_create(
        rows.values(),
        batch_size=_BATCH,
        update_conflicts=True,
        unique_fields=["mailbox", "uid"],
        update_fields=["node", "session", "protocol", "folder", "removed_at"],
    )
    return len(rows)


def count_for_pop(node: str, sessions: Iterable[str]) -> None:
    """Write into POP sessions how many messages they removed, in the caller's transaction.

    Dovecot's line of their end does not say it: what was hidden from POP only is not removed.

    Args:
        node: which Dovecot.
        sessions: those that ended after deleting, or removed something: their rows are counted as they are now.
    """
    rows = RemovedMessage.objects.filter(node=OuterRef("node"), session=OuterRef("session")).order_by()
    count = Subquery(rows.values("session").annotate(count=Count("pk")).values("count"))
    listed = sorted(sessions)
    for start in range(0, len(listed), _BATCH):
        some = listed[start : start + _BATCH]
        found = Connection.objects.filter(node=node, session__in=some, attempt=0, protocol="pop3")
        found.order_by().update(expunged=Coalesce(count, 0))


def removed_by(
    person: User, mailbox: Mailbox, sessions: Sequence[tuple[str, str]]
) -> QuerySet[RemovedMessage]:
    """Return the rows of what sessions removed from a mailbox and can be brought back.

    Args:
        person: who asks: nothing is there for who may not see the mailbox.
        mailbox: whose.
        sessions: node and session of each; an empty session is what the panel's own jobs did there.
    """
    which = Q(pk=None)
    for node, session in sessions:
        which |= Q(node=node, session=session) if session else Q(session="")
    return removed_for(person, mailbox).filter(which)


def removed_for(person: User, mailbox: Mailbox) -> QuerySet[RemovedMessage]:
    """Return what was removed from a mailbox, the latest first; nothing of a mailbox that the person may not see."""
    seen = mailboxes_for(person).filter(pk=mailbox.pk).order_by().values("pk")
    return RemovedMessage.objects.filter(mailbox=mailbox, mailbox__in=seen)


def rows_of(mailbox: Mailbox, messages: Sequence[KeptMessage]) -> dict[int, RemovedMessage]:
    """Return the rows that tell how messages were removed, by UID.

    A message without one was removed while the log was lost. A row of another message, whose UID was given again, is
    left out.
    """
    if not messages:
        return {}
    at = {message.uid: message.removed_at for message in messages}
    rows = RemovedMessage.objects.filter(mailbox=mailbox, uid__gte=min(at), uid__lte=max(at))
    return {row.uid: row for row in rows if row.uid in at and _fits(row, at[row.uid])}


def forget(mailbox: Mailbox, uids: Iterable[int]) -> None:
    """Delete the rows of messages that ended."""
    listed = sorted(uids)
    for start in range(0, len(listed), _BATCH):
        RemovedMessage.objects.filter(mailbox=mailbox, uid__in=listed[start : start + _BATCH]).delete()


def forget_left_over(mailboxes: Sequence[Mailbox], before: datetime) -> None:
    """Delete rows of mailboxes whose messages must have ended, because they were removed before `before`."""
    RemovedMessage.objects.filter(mailbox__in=mailboxes, removed_at__lt=before).delete()


def recovery_time(mailbox: Mailbox) -> timedelta:
    """Return how long what was removed from a mailbox can be brought back; what is held does not end even then.

    Args:
        mailbox: which; read with `domain__customer`.
    """
    return timedelta(days=recovery_days_of([mailbox])[mailbox.pk])


def _owners(addresses: set[str]) -> Mapping[str, list[_Owner]]:
    """Return who has, or had, each of `addresses`, the newest first."""
    owners: defaultdict[str, list[_Owner]] = defaultdict(list)
    listed = sorted(addresses)
    for start in range(0, len(listed), _BATCH):
        rows = Mailbox.objects.filter(address__in=listed[start : start + _BATCH]).order_by("-pk")
        columns = ("address", "pk", "created_at", "deleted_at", "domain__deleted_at")
        for address, pk, created_at, *ends in rows.values_list(*columns):
            owners[address].append(_Owner(pk, created_at, min(filter(None, ends), default=None)))
    return owners


def _row(node: str, removal: Removed, mailbox: int, at: datetime) -> RemovedMessage:
    # What is not UTF-8, or what PostgreSQL does not store.
    folder = removal.folder.encode("utf-8", "replace").decode().replace("\x00", "?")
    return RemovedMessage(
        mailbox_id=mailbox,
        node=node,
        session=removal.session,
        protocol=removal.protocol,
        folder=folder[:_FOLDER_MAX],
        uid=removal.uid,
        removed_at=at,
    )


def _fits(row: RemovedMessage, put_aside_at: datetime) -> bool:
    return put_aside_at - _ROUNDED <= row.removed_at <= put_aside_at + _LOGGED_WITHIN
