"""Changing rules of retention: what ends less counts at once; what ends more is proposed, counted, confirmed, waits.

A change that would end something more than before, anywhere, is a row first (RuleChange). What it would end is counted
from the moment at which it would start (panel.retention.runs); whoever confirms it does so with these figures. From the
moment that it starts it is the rule, and the run that counted it purges. Until then it can be cancelled.

For how long deleted messages can be recovered is changed the same way: fewer days end more. Such a change bears the
name of the folder that they lie in, where no rule can be. What it would end is counted here, from the rows of what was
removed; no run purges it: what is over ends with the next nightly look at the recoverable mail.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Count, F, Max, Min, Q, QuerySet
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from mailbackend.dovecot.names import RECOVERABLE
from panel.accounts.models import Customer, User
from panel.addresses.inherited import KEPT_DAYS_MAX, RECOVERY_DAYS, what_counts, what_would_count
from panel.addresses.models import Domain, Mailbox
from panel.connections.models import RemovedMessage
from panel.core import audit
from panel.core.errors import Conflict, Problem
from panel.core.models import Installation
from panel.retention import runs
from panel.retention.models import RetentionRule, RuleChange
from panel.retention.rules import INBOX, Level, columns, ends_more, ends_more_with, levels_of

#: What a rule may say. Days.
DAYS_MIN, DAYS_MAX = 1, KEPT_DAYS_MAX
#: Characters of a folder's name.
FOLDER_MAX = 255
#: Folders that a level may say something of: each is read for every mailbox below it, each night.
RULES_MAX = 200
#: What the audit trail calls what a row keeps when it comes below others.
KEPT, RECOVERY_KEPT = "rule.kept", "recovery.kept"

_NEVER_IN_A_NAME = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029*%]")


@dataclass(frozen=True)
class Figures:
    """What a change would end when it starts.

    Attributes:
        mailboxes: in how many it would end something.
        messages, bytes: how much; the bytes are None where they are not known.
        oldest, newest: when the first and the last of them came into their folder, or were removed.
    """

    mailboxes: int
    messages: int
    bytes: int | None
    oldest: datetime | None = None
    newest: datetime | None = None

    def is_as(self, other: Figures) -> bool:
        """Say whether these are the figures that somebody was shown."""
        return (self.mailboxes, self.messages, self.bytes) == (other.mailboxes, other.messages, other.bytes)


def propose(
    level: Level,
    folder: str,
    days: int | None,
    *,
    inherit: bool = False,
    by: User | None = None,
    version: int | None = None,
) -> RuleChange | None:
    """Say after how many days messages in a folder end, for a level.

    Args:
        level: for whom; None is the platform.
        folder: as somebody writes it.
        days: after how many days; None is never, whatever would be inherited.
        inherit: whether the level says nothing of the folder any more.
        by: who asks, if it is a person.
        version: of the level's rule as the form was shown, 0 for none, or None to change whatever is there.

    Returns:
        the change that waits for its confirmation because it would end more than before; None where it ends no more:
        then it counts already.

    Raises:
        Conflict: if the rule changed since `version`.
        Problem: if folder or days cannot be used, there are too many rules, another change of the folder waits, or
            this and one that waits would end together what neither has counted.
    """
    folder = clean_folder(folder)
    days = None if inherit or days is None else _checked_days(days)
    with transaction.atomic():
        _lock(level)
        own = RetentionRule.objects.filter(**columns(level), folder=folder).first()
        if version is not None and version != (own.version if own else 0):
            raise Conflict(
                _(
                    "Somebody else changed this meanwhile. "
                    "Look at it as it is now, then change it if you still want to."
                )
            )
        if inherit and own is None:
            raise Problem(_("There is no rule for this folder here."), "folder")
        _make_way(level, folder)
        if not inherit and own is not None and own.days == days:
            return None
        if own is None:
            _check_room(level)
        _check_waiting(level, folder, days, inherit=inherit)
        if ends_more(level, folder, days, inherit=inherit):
            change = _proposed(level, folder, days, removes=inherit, by=by)
            runs.start_preview(change)
            return change
        _make_rule(level, folder, days, removes=inherit, action="rule.changed")
        return None


def propose_recovery(
    level: Level, days: int | None, *, by: User | None = None, version: int | None = None
) -> RuleChange | None:
    """Say for how many days deleted messages can be recovered, for a level.

    Args:
        level: for whom; None is the platform.
        days: how many; None is what the level inherits, which the platform cannot.
        by: who asks, if it is a person.
        version: of the level's row as the form was shown, or None to change whatever is there.

    Returns:
        the change that waits for its confirmation because deleted messages would end earlier; None where they do not:
        then it counts already.

    Raises:
        Conflict: if the level changed since `version`.
        Problem: if the days cannot be used, another such change waits, or what would be inherited is about to be fewer
            days than somebody is told now.
    """
    if days is None and level is None:
        raise Problem(_("The platform inherits from nobody: give a number of days."), "days")
    days = None if days is None else _checked_days(days)
    with transaction.atomic():
        row = _lock(level)
        if version not in (None, row.version):
            raise Conflict(
                _(
                    "Somebody else changed this meanwhile. "
                    "Look at it as it is now, then change it if you still want to."
                )
            )
        _make_way(level, RECOVERABLE)
        counts = what_counts(row).recovery_days
        would = what_would_count(row).recovery_days if days is None else days
        if days is None and recovery_days_later(level, None) < min(would, counts):
            raise _uncounted([change for change in waiting_at(level) if change.folder == RECOVERABLE], "days")
        if would < counts:
            return _proposed(level, RECOVERABLE, days, removes=days is None, by=by)
        _set_recovery_days(level, days, "recovery.changed")
        return None


def figures_of(change: RuleChange) -> Figures | None:
    """Return what a change would end when it starts, or None while that is counted, or if counting was cancelled."""
    if change.folder == RECOVERABLE:
        return _recoverable_figures(change)
    run = runs.preview_of(change)
    if run is None or run.counted_at is None:
        return None
    return Figures(run.mailboxes, run.messages, run.bytes, run.oldest, run.newest)


def confirm_until(change: RuleChange) -> datetime:
    """Return until when a change can be confirmed: whoever it concerns keeps half of the time to cancel it."""
    return change.asked_at + (change.starts_at - change.asked_at) / 2


def confirm(change: RuleChange, shown: Figures) -> None:
    """Confirm a change with the figures that were shown: from its start on it is the rule.

    Args:
        change: which.
        shown: what it would end, as whoever confirms it was told.

    Raises:
        Conflict: if it would end something else by now, or it was confirmed or cancelled meanwhile.
        Problem: if it is not counted yet, or waited too long.
    """
    with transaction.atomic():
        row = _waiting_row(change)
        if row.confirmed_at:
            raise Conflict(_("It is confirmed already."))
        if timezone.now() > confirm_until(row):
            raise Problem(
                _("It waited too long for its confirmation: what it would end has changed. Ask anew.")
            )
        figures = figures_of(row)
        if figures is None:
            raise Problem(_("What it would end is still being counted. Confirm it once you have seen that."))
        if not figures.is_as(shown):
            raise Conflict(_("What it would end has changed meanwhile. Look at the new figures first."))
        row.confirmed_at = timezone.now()
        row.save(update_fields=["confirmed_at"])
        _record("rule.confirmed", row, after=_said(row) | {"rule_starts_at": row.starts_at})
    change.refresh_from_db()


def cancel(change: RuleChange) -> None:
    """Cancel a change that has not started: nothing ends by it.

    Raises:
        Conflict: if it started or was cancelled meanwhile.
    """
    with transaction.atomic():
        row = _waiting_row(change)
        _cancel(row, timezone.now(), "rule.cancelled")
    change.refresh_from_db()


def start_due(now: datetime) -> list[RuleChange]:
    """Make the rule what was confirmed and starts by now. Doing it again does nothing.

    What was never confirmed lapses. Changes of how long deleted messages can be recovered count from here on too, and
    are not among what is returned: no run purges them.

    Args:
        now: what counts as the present.

    Returns:
        the changes of rules that started, each with the run that counted it.
    """
    waiting = waiting_changes().filter(starts_at__lte=now).order_by("starts_at", "pk")
    started = []
    for pk in list(waiting.values_list("pk", flat=True)):
        with transaction.atomic():
            row = waiting_changes().select_for_update().filter(pk=pk).first()
            if row is None:
                continue  # Somebody else started or cancelled it a moment ago.
            if row.confirmed_at is None:
                _cancel(row, now, "rule.lapsed")
                continue
            row.done_at = now
            row.save(update_fields=["done_at"])
            if row.folder == RECOVERABLE:
                _set_recovery_days(row.level, row.days, "recovery.started")
                continue
            _make_rule(row.level, row.folder, row.days, removes=row.removes, action="rule.started")
            started.append(row)
    return started


def keep(row: Mailbox | Domain, folder: str, days: int | None) -> None:
    """Make what counted for a row until it moved its own rule: there messages would end earlier.

    Args:
        row: that moved.
        folder: as Dovecot names it.
        days: after how many messages in it ended; None is never.
    """
    _make_rule(row, folder, days, removes=False, action=KEPT)


def keep_recovery_days(row: Mailbox | Domain, days: int) -> None:
    """Make the days for which deleted messages could be recovered until a row moved its own."""
    _set_recovery_days(row, days, RECOVERY_KEPT)


def waiting_changes() -> QuerySet[RuleChange]:
    """Return the changes that neither count yet nor were cancelled."""
    return RuleChange.objects.filter(cancelled_at=None, done_at=None)


def waiting_at(level: Level) -> list[RuleChange]:
    """Return the changes of a level, and of those that it inherits from, that wait: the next first."""
    which = Q()
    for each in levels_of(level):
        which |= Q(**columns(each))
    rows = waiting_changes().filter(which).select_related("customer", "domain__customer", "mailbox__domain")
    now = timezone.now()
    return [row for row in rows.order_by("starts_at", "pk") if row.confirmed_at or now <= confirm_until(row)]


def recovery_days_later(level: Level, own: int | None) -> int:
    """Return for how many days deleted messages can be recovered at a level, once all that waits above it counts.

    Args:
        level: which.
        own: what it says itself; None for nothing.
    """
    will_say = {change.level: change.days for change in waiting_at(level) if change.folder == RECOVERABLE}
    above = (will_say.get(each, _target(each).recovery_days) for each in levels_of(level)[1:])
    return own or next(filter(None, above), RECOVERY_DAYS)


def clean_folder(text: str) -> str:
    """Return a folder's name as Dovecot has it: INBOX in capitals, folders in folders with a slash between them.

    Raises:
        Problem: if no folder of people can be named so.
    """
    folder = unicodedata.normalize("NFC", text).strip()
    first, slash, rest = folder.partition("/")
    if first.upper() == INBOX:
        folder = f"{INBOX}{slash}{rest}"
    if not folder:
        raise Problem(_("Say which folder."), "folder")
    if len(folder) > FOLDER_MAX:
        raise Problem(
            _("The folder's name has at most %(longest)s characters.") % {"longest": FOLDER_MAX}, "folder"
        )
    if _NEVER_IN_A_NAME.search(folder):
        raise Problem(
            _("No folder can have this name: *, % and control characters are not allowed in it."), "folder"
        )
    if "." in folder or any(not part.strip() for part in folder.split("/")):
        raise Problem(
            _(
                "No folder has a dot in its name, and folders in folders are written with one slash between them."
            ),
            "folder",
        )
    return folder


def rule_in_words(days: int | None) -> str:
    """Return what a rule says as commands write it: a number of days, or never."""
    return "never" if days is None else str(days)


def _checked_days(days: int) -> int:
    if not DAYS_MIN <= days <= DAYS_MAX:
        raise Problem(
            _("Days are a number from %(least)s to %(most)s.") % {"least": DAYS_MIN, "most": DAYS_MAX}, "days"
        )
    return days


def _make_way(level: Level, folder: str) -> None:
    """Let a change that was never confirmed lapse, for a new one; the level is locked.

    Raises:
        Problem: if one that was confirmed waits.
    """
    for row in waiting_changes().select_for_update().filter(**columns(level), folder=folder):
        if row.confirmed_at:
            raise Problem(_("A change of this is confirmed and waits. Cancel it first."), "folder")
        _cancel(row, timezone.now(), "rule.lapsed")


def _check_room(level: Level) -> None:
    """Check that a level may say something of one more folder; what waits counts.

    Raises:
        Problem: if it may not.
    """
    waiting = waiting_changes().filter(**columns(level)).values_list("folder", flat=True)
    folders = {*RetentionRule.objects.filter(**columns(level)).values_list("folder", flat=True), *waiting}
    if len(folders) >= RULES_MAX:
        raise Problem(
            _("There are rules for %(most)s folders here, which is the most there can be.")
            % {"most": RULES_MAX},
            "folder",
        )


def _check_waiting(level: Level, folder: str, days: int | None, *, inherit: bool) -> None:
    """Check that a change and others that wait do not end together what none of them has counted.

    Raises:
        Problem: if they would, such as where a level gives up its own rule, and a shorter one that it inherits waits.
    """
    waiting = [change for change in waiting_at(level) if change.folder != RECOVERABLE]
    if ends_more_with(level, folder, days, inherit=inherit, waiting=waiting):
        raise _uncounted(waiting, "folder")


def _uncounted(waiting: Sequence[RuleChange], field: str) -> Problem:
    at = timezone.localtime(max(change.starts_at for change in waiting))
    return Problem(
        _(
            "With a change that waits until %(when)s this would end messages that nobody has counted. "
            "Ask again once that change counts, or is cancelled."
        )
        % {"when": date_format(at, "DATETIME_FORMAT")},
        field,
    )


def _proposed(level: Level, folder: str, days: int | None, *, removes: bool, by: User | None) -> RuleChange:
    change = RuleChange.objects.create(
        **columns(level),
        folder=folder,
        days=days,
        removes=removes,
        asked_by=by,
        starts_at=timezone.now() + settings.RULE_STARTS_AFTER,
    )
    _record("rule.proposed", change, after=_said(change) | {"rule_starts_at": change.starts_at})
    return change


def _waiting_row(change: RuleChange) -> RuleChange:
    row = waiting_changes().select_for_update().filter(pk=change.pk).first()
    if row is None:
        raise Conflict(_("It counts already, or was cancelled meanwhile."))
    return row


def _cancel(row: RuleChange, now: datetime, action: str) -> None:
    row.cancelled_at = now
    row.save(update_fields=["cancelled_at"])
    run = runs.preview_of(row) if row.folder != RECOVERABLE else None
    if run is not None:
        runs.cancel(run)
    _record(action, row, after=_said(row))


def _make_rule(level: Level, folder: str, days: int | None, *, removes: bool, action: str) -> None:
    """Make something the rule of a level, or take its rule away, and record it as `action`."""
    rows = RetentionRule.objects.filter(**columns(level), folder=folder)
    own = rows.select_for_update().first()
    before = {"rule_folder": folder, "rule_days": _as_said(own.days) if own else "inherit"}
    after = {"rule_folder": folder, "rule_days": "inherit" if removes else _as_said(days)}
    if removes:
        rows.delete()
    elif own is None:
        RetentionRule.objects.create(**columns(level), folder=folder, days=days)
    else:
        rows.update(days=days, version=F("version") + 1, changed_at=timezone.now())
    target = _target(level)
    audit.record(action, target=target, customer_id=_customer_id(level), before=before, after=after)


def _set_recovery_days(level: Level, days: int | None, action: str) -> None:
    """Save a level's own days of recovery, and record it as `action`, unless nothing changes."""
    row = _lock(level)
    if row.recovery_days == days:
        return
    before = {"recovery_days": row.recovery_days}
    rows: QuerySet[Any] = type(row)._default_manager.filter(pk=row.pk)
    rows.update(recovery_days=days, version=F("version") + 1)
    audit.record(
        action,
        target=row,
        customer_id=_customer_id(level),
        before=before,
        after={"recovery_days": days},
    )


def _recoverable_figures(change: RuleChange) -> Figures:
    """Count what would end of the deleted messages of those who have their days from the change's level."""
    level = change.level
    days = change.days if change.days is not None else what_would_count(_target(level)).recovery_days
    rows = RemovedMessage.objects.filter(
        mailbox__in=_having_recovery_from(level).filter(held_at=None).order_by().values("pk"),
        removed_at__lt=change.starts_at - timedelta(days=days),
    ).order_by()
    found = rows.aggregate(
        mailboxes=Count("mailbox", distinct=True),
        messages=Count("pk"),
        oldest=Min("removed_at"),
        newest=Max("removed_at"),
    )
    return Figures(bytes=None, **found)


def _having_recovery_from(level: Level) -> QuerySet[Mailbox]:
    if isinstance(level, Mailbox):
        return Mailbox.objects.filter(pk=level.pk)
    mailboxes = Mailbox.objects.filter(recovery_days=None)
    if isinstance(level, Domain):
        return mailboxes.filter(domain=level)
    mailboxes = mailboxes.filter(domain__recovery_days=None)
    if isinstance(level, Customer):
        return mailboxes.filter(domain__customer=level)
    return mailboxes.filter(domain__customer__recovery_days=None)


def _record(action: str, change: RuleChange, *, after: dict[str, Any]) -> None:
    level = change.level
    audit.record(action, target=_target(level), customer_id=_customer_id(level), after=after)


def _said(change: RuleChange) -> dict[str, Any]:
    days = "inherit" if change.removes else _as_said(change.days)
    return {"rule_folder": change.folder, "rule_days": days}


def _as_said(days: int | None) -> int | str:
    return "never" if days is None else days


def _lock(level: Level) -> Any:
    """Lock what a level's rules hang on, until the transaction ends, and return it as it is now.

    Raises:
        Problem: if it is no more.
    """
    target = _target(level)
    rows: QuerySet[Any] = type(target)._default_manager.select_for_update().filter(pk=target.pk)
    row = rows.first()
    if row is None:
        raise Problem(_("%(name)s was removed for good meanwhile.") % {"name": target})
    return row


def _target(level: Level) -> Any:
    return Installation.objects.get() if level is None else level


def _customer_id(level: Level) -> int | None:
    if isinstance(level, Mailbox):
        return level.domain.customer_id
    if isinstance(level, Domain):
        return level.customer_id
    return None if level is None else level.pk
