"""Purging what a run counted: folders of several mailboxes at a time, in orders of a bounded number of messages.

What is about to go is written down before it goes, and looked at again in the order that ends it, under lock: a
process that is killed in between leaves what the next one finds out. What goes wrong in one mailbox is that item's
alone. No two runs are at work in one mailbox at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from mailbackend.dovecot.doveadm import DoveadmError, Ending, NobodyListens, Old, OldMessage, UnknownMailbox
from panel.addresses.models import Mailbox
from panel.core import audit, mail
from panel.retention import due
from panel.retention.asking import LANES, in_halves, in_lanes
from panel.retention.models import PurgeItem, PurgeRun
from panel.retention.rules import Effective, for_folder, said_in

#: What the audit trail calls what a run purged from a folder of a mailbox.
PURGED = "mailbox.purged_by_rule"
#: Messages of a mailbox that go in one order: whoever uses it waits for no more than that. An order is about twice as
#: many messages (`LANES`) of this many mailboxes at most.
AT_ONCE, MAILBOXES_AT_ONCE = 2_000, 20
#: Seconds to wait for an answer while a transaction is open.
WAIT_IN_TRANSACTION = 20.0
#: How often a mailbox is tried that fails, and the seconds before each time.
RETRY_AFTER = (30, 120, 600)
#: How long another purge of the same mailbox is waited for before the next look. Seconds.
BUSY_FOR = 1

_State, _Item = PurgeRun.State, PurgeItem.State


class Stopped(Exception):
    """The run purges no more: it was cancelled, or it stopped itself."""


class FarMore(Exception):
    """The run would purge far more than it counted."""


class _Left(Exception):
    """A mailbox's folder is left alone; says why."""


@dataclass(frozen=True)
class _Part:
    """Messages of an item's folder that go in one order."""

    item: PurgeItem
    messages: Sequence[OldMessage]


def is_far_more(messages: int, expected: int) -> bool:
    """Say whether so many messages are far more than was to be expected."""
    return messages >= settings.PURGE_STOPS_FROM and messages > settings.PURGE_STOPS_AT * expected


def ready(items: QuerySet[PurgeItem], now: datetime) -> QuerySet[PurgeItem]:
    """Return those of some items that wait for nothing."""
    return items.filter(Q(next_at=None) | Q(next_at__lte=now))


def purge_next(run: PurgeRun) -> bool:
    """Purge what is due in the folders that come next.

    Returns:
        whether there were any; what went wrong in one is kept with its item.

    Raises:
        Stopped: if the run does not go on.
        FarMore: if it would purge far more than it counted.
        NobodyListens: if the mail service does not run.
    """
    items = _next_items(run)
    going = _claim(run, items)
    try:
        _purge(run, going)
    except (Stopped, FarMore, NobodyListens):
        _let_go(going)
        raise
    return bool(items)


def _next_items(run: PurgeRun) -> list[PurgeItem]:
    """Return items of different mailboxes that go together; one that failed before goes alone."""
    waiting = run.items.filter(state=_Item.WAITING).select_related("mailbox__domain__customer")
    found: dict[int, PurgeItem] = {}
    messages = 0
    for item in ready(waiting, timezone.now()).order_by("mailbox_id", "pk")[:MAILBOXES_AT_ONCE]:
        if found and (item.attempts or messages >= LANES * AT_ONCE):
            break
        if item.mailbox_id not in found:
            found[item.mailbox_id] = item
            messages += item.messages
        if item.attempts:
            break
    return list(found.values())


def _purge(run: PurgeRun, going: list[PurgeItem]) -> None:
    """Purge what is due in some folders; those in which something goes wrong are taken off the list.

    Raises:
        Stopped, FarMore, NobodyListens: as `purge_next`.
    """
    for item in list(going):
        try:
            _settle(run, item)
        except DoveadmError as err:
            _fail(run, going, item, err)
    for parts in _old_parts(run, going):
        for order in _orders(parts):
            _purge_order(run, going, [part for part in order if part.item in going])
    _end(going, _Item.DONE)


def _old_parts(run: PurgeRun, going: list[PurgeItem]) -> Iterator[list[_Part]]:
    """Yield what is old in some folders, of each as much at a time as one question may be about."""
    api = mail.doveadm(timeout=due.WAIT)
    windows: dict[int, Iterator[range]] = {}
    for item, folders in in_halves(
        list(going),
        lambda some: api.folders_of([(each.mailbox.address, [each.folder]) for each in some]),
    ):
        if isinstance(folders, DoveadmError):
            _fail(run, going, item, folders)
            continue
        next_uid = next((folder.next_uid for folder in folders if folder.name == item.folder), 1)
        windows[item.pk] = due.windows(1, next_uid)
    while asked := [(item, uids) for item in going if (uids := next(windows[item.pk], None))]:
        parts = []
        for (item, _uids), old in in_halves(
            asked,
            lambda some: api.old_messages(
                [Old(item.mailbox.address, item.folder, uids, item.cutoff) for item, uids in some]
            ),
        ):
            if isinstance(old, DoveadmError):
                _fail(run, going, item, old)
            else:
                parts.append(_Part(item, old))
        yield parts


def _orders(parts: Sequence[_Part]) -> Iterator[list[_Part]]:
    """Yield the same messages in orders that are short enough."""
    order: list[_Part] = []
    room = LANES * AT_ONCE
    for part in parts:
        rest = part.messages
        while rest:
            number = min(room, AT_ONCE)
            some, rest = rest[:number], rest[number:]
            order.append(_Part(part.item, some))
            room -= len(some)
            if rest or not room:  # An order is about an item once.
                yield order
                order, room = [], LANES * AT_ONCE
    if order:
        yield order


def _purge_order(run: PurgeRun, going: list[PurgeItem], order: Sequence[_Part]) -> None:
    """Write down what is about to go, then have it go and count it.

    Raises:
        Stopped, FarMore, NobodyListens: as `purge_next`. Nothing of it went then.
    """
    _write_down(order)
    try:
        with transaction.atomic():
            kept = _check(run, order)
            ended = _end_messages([part for part in order if part.item.pk not in kept])
            _record(run, [part for part in ended.values() if isinstance(part, _Part)])
    except (Stopped, FarMore, NobodyListens):
        _strike_out([part.item for part in order])
        raise
    for part in order:
        answer = kept.get(part.item.pk) or ended[part.item.pk]
        if not isinstance(answer, _Part):
            _fail(run, going, part.item, answer)


def _end_messages(parts: Sequence[_Part]) -> dict[int, _Part | DoveadmError]:
    """Have messages go, and return what went, or what went wrong, by the keys of the items.

    Whoever uses a mailbox may have removed some meanwhile: these are not the run's.

    Raises:
        NobodyListens: if the mail service does not run; none went then.
    """
    lanes = _lanes(parts)
    answers = in_lanes(lanes, _end_lane)
    down = [answer for answer in answers if isinstance(answer, NobodyListens)]
    if down and len(down) == len(lanes):
        raise down[0]
    found: dict[int, _Part | DoveadmError] = {}
    for lane, answer in zip(lanes, answers, strict=True):
        if isinstance(answer, DoveadmError):
            # Other messages went: it may be tried again, though nobody listens for these.
            found |= {part.item.pk: DoveadmError(str(answer)) for part in lane}
            continue
        for part, went in zip(lane, answer, strict=True):
            found[part.item.pk] = went if isinstance(went, DoveadmError) else _Part(part.item, went)
    return found


def _lanes(parts: Sequence[_Part]) -> list[list[_Part]]:
    """Return the parts in lists of about as many messages, which the mail service works on beside each other."""
    lanes: list[list[_Part]] = [[] for _lane in range(min(LANES, len(parts)))]
    for part in sorted(parts, key=lambda part: len(part.messages), reverse=True):
        min(lanes, key=lambda lane: sum(len(each.messages) for each in lane)).append(part)
    return lanes


def _end_lane(lane: Sequence[_Part]) -> list[list[OldMessage] | DoveadmError] | DoveadmError:
    api = mail.doveadm(timeout=WAIT_IN_TRANSACTION)
    try:
        return api.end_old(
            [
                Ending(
                    part.item.mailbox.address,
                    part.item.folder,
                    [message.uid for message in part.messages],
                    part.item.cutoff,
                )
                for part in lane
            ]
        )
    except DoveadmError as err:
        return err


def _check(run: PurgeRun, order: Sequence[_Part]) -> Mapping[int, _Left]:
    """Lock mailboxes and run, and check that the messages may go still.

    Returns:
        the items whose mailboxes keep them by now, by their keys, and why.

    Raises:
        Stopped: if the run does not go on.
        FarMore: if it would purge far more than it counted.
    """
    rows = Mailbox.objects.select_for_update(of=("self",)).select_related("domain__customer")
    mailboxes = {row.pk: row for row in rows.filter(pk__in=[part.item.mailbox_id for part in order])}
    said = said_in(mailboxes.values())
    kept = {}
    for part in order:
        key = part.item.mailbox_id
        reason = _why_kept(run, part.item, mailboxes.get(key), said.get(key, []))
        if reason:
            kept[part.item.pk] = _Left(reason)
    row = PurgeRun.objects.select_for_update().get(pk=run.pk)
    if row.state != _State.PURGING:
        raise Stopped
    more = sum(len(part.messages) for part in order if part.item.pk not in kept)
    if row.allowed_by_id is None and is_far_more(row.purged_messages + more, row.messages):
        raise FarMore
    return kept


def _why_kept(run: PurgeRun, item: PurgeItem, mailbox: Mailbox | None, said: Sequence[Effective]) -> str:
    """Return why a mailbox keeps what is due by now, or nothing if it does not."""
    if mailbox is None or mailbox.address != item.mailbox.address:
        return "The mailbox was deleted or has another address."
    if mailbox.deleted_at or mailbox.purging_at or mailbox.domain.deleted_at:
        return "The mailbox was deleted or has another address."
    if mailbox.held_at:
        return "The mailbox is under a legal hold."
    if mailbox.suspended_at or mailbox.domain.is_suspended:
        return "The mailbox is suspended."
    rule = for_folder(said, item.folder)
    if rule is None or rule.days is None or due.cutoff_of(run.now, rule.days) < item.cutoff:
        return "What is kept there was changed: these messages are kept longer by now."
    return ""


def _record(run: PurgeRun, purged: Sequence[_Part]) -> None:
    """Count what went, in the trail too."""
    for part in purged:
        if part.messages:
            audit.record(
                PURGED,
                target=part.item.mailbox,
                customer_id=part.item.mailbox.domain.customer_id,
                after={
                    "purged_messages": len(part.messages),
                    "rule_folder": part.item.folder,
                    "rule": part.item.rule,
                },
            )
    _count(run, purged)


def _count(run: PurgeRun, purged: Sequence[_Part]) -> None:
    """Count what went, and forget what was about to go. Items are of different mailboxes."""
    went = [part for part in purged if part.messages]
    mailboxes = {part.item.mailbox_id for part in went}
    before = run.items.filter(mailbox__in=mailboxes, purged_messages__gt=0).values("mailbox").distinct()
    first = len(mailboxes) - before.count()
    for part in purged:
        PurgeItem.objects.filter(pk=part.item.pk).update(
            purged_messages=F("purged_messages") + len(part.messages),
            purged_bytes=F("purged_bytes") + _size(part),
            in_flight=[],
        )
    if went:
        PurgeRun.objects.filter(pk=run.pk).update(
            purged_messages=F("purged_messages") + sum(len(part.messages) for part in went),
            purged_bytes=F("purged_bytes") + sum(map(_size, went)),
            purged_mailboxes=F("purged_mailboxes") + first,
            changed_at=timezone.now(),
        )


def _size(part: _Part) -> int:
    return sum(message.size for message in part.messages)


# -- who is at work on an item ---------------


def _claim(run: PurgeRun, items: Sequence[PurgeItem]) -> list[PurgeItem]:
    """Have nobody else purge some mailboxes, and return the items that could be had; the others come later."""
    free = _free_from_the_dead(run, items)
    claimed = []
    with transaction.atomic():
        for item in free:
            try:
                with transaction.atomic():
                    PurgeItem.objects.filter(pk=item.pk, state=_Item.WAITING).update(busy=True)
            except IntegrityError:
                _later(item, "Another purge is at work in this mailbox.", counts=False)
            else:
                claimed.append(item)
    return claimed


def _free_from_the_dead(run: PurgeRun, items: Sequence[PurgeItem]) -> list[PurgeItem]:
    """Settle what runs that are over have left at work in some mailboxes; return the items where that is known."""
    free = {item.mailbox_id: item for item in items}
    others = PurgeItem.objects.filter(mailbox__in=free, busy=True, run__state__in=PurgeRun.OVER)
    for other in others.select_related("run", "mailbox__domain__customer"):
        try:
            _settle(other.run, other)
        except DoveadmError as err:
            _fail(run, [], free.pop(other.mailbox_id), err)
        else:
            PurgeItem.objects.filter(pk=other.pk).update(busy=False)
    return list(free.values())


def _settle(run: PurgeRun, item: PurgeItem) -> None:
    """Find out what went of what was about to go when a process was killed, and count that."""
    item.refresh_from_db(fields=["in_flight"])
    if not item.in_flight:
        return
    sizes = {int(uid): int(size) for uid, size in item.in_flight}
    api = mail.doveadm(timeout=due.WAIT)
    there = due.still_old(api, item.mailbox.address, item.folder, sizes, item.cutoff)
    left = {message.uid for message in there}
    gone = [OldMessage(uid, item.cutoff, size) for uid, size in sizes.items() if uid not in left]
    with transaction.atomic():
        _count(run, [_Part(item, gone)])


def _write_down(order: Sequence[_Part]) -> None:
    with transaction.atomic():
        for part in order:
            in_flight = [[message.uid, message.size] for message in part.messages]
            PurgeItem.objects.filter(pk=part.item.pk).update(in_flight=in_flight)


def _strike_out(items: Sequence[PurgeItem]) -> None:
    """Forget what was about to go: nothing of it went."""
    PurgeItem.objects.filter(pk__in=[item.pk for item in items]).update(in_flight=[])


def _let_go(items: Sequence[PurgeItem]) -> None:
    """Let others at mailboxes of which it is known what went."""
    PurgeItem.objects.filter(pk__in=[item.pk for item in items], in_flight=[]).update(busy=False)


def _fail(run: PurgeRun, going: list[PurgeItem], item: PurgeItem, err: _Left | DoveadmError) -> None:
    """Take an item off the list: it is left alone, tried again later, or given up.

    Raises:
        NobodyListens: if that is what went wrong: it is no fault of the item's.
    """
    if isinstance(err, NobodyListens):
        raise err
    if item in going:
        going.remove(item)
    if isinstance(err, _Left):
        _end([item], _Item.LEFT, str(err))
    elif isinstance(err, UnknownMailbox):
        _end([item], _Item.LEFT, "The mailbox was deleted or has another address.")
    elif item.attempts < len(RETRY_AFTER):
        _later(item, str(err), counts=True)
    else:
        _end([item], _Item.FAILED, str(err))
        PurgeRun.objects.filter(pk=run.pk).update(failures=F("failures") + 1, changed_at=timezone.now())


def _later(item: PurgeItem, error: str, *, counts: bool) -> None:
    """Have an item tried again later."""
    wait = RETRY_AFTER[min(item.attempts, len(RETRY_AFTER) - 1)] if counts else BUSY_FOR
    item.refresh_from_db(fields=["busy", "in_flight"])
    PurgeItem.objects.filter(pk=item.pk).update(
        next_at=timezone.now() + timedelta(seconds=wait),
        attempts=F("attempts") + int(counts),
        error=error,
        # Of what was about to go it is not known yet what went: until that is found out nobody else begins.
        busy=item.busy and bool(item.in_flight),
    )


def _end(items: Sequence[PurgeItem], state: PurgeItem.State, error: str = "") -> None:
    PurgeItem.objects.filter(pk__in=[item.pk for item in items]).update(
        state=state, error=error, busy=False, in_flight=[], next_at=None
    )
