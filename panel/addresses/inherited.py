"""What mailboxes inherit: built in, from the platform, from their customer, from their domain. What is nearer wins.

A quota is inherited when a mailbox is created, and is its own from then on: limits of storage count what was given.
What POP deletes is inherited at every connection (panel.addresses.views_for_dovecot), until a mailbox has its own.
For how long deleted messages can be recovered is inherited at every look, until a mailbox has its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from panel.accounts.models import Customer
from panel.addresses.models import Domain, Mailbox
from panel.core.errors import Problem
from panel.core.models import Installation
from panel.core.sizes import format_size

POP_KEEP_DAYS, POP_KEEP_DAYS_MAX = 30, 3650
#: For how long deleted messages can be recovered where nobody says it. Days.
RECOVERY_DAYS: int = Installation._meta.get_field("recovery_days").default
#: The longest that the connection log, or what was deleted, may be kept. Days.
KEPT_DAYS_MAX = 3650

#: What has settings that others inherit.
Level = Installation | Customer | Domain

_KEEP = re.compile(r"keep:([0-9]{1,4})\Z")


@dataclass(frozen=True)
class PopPolicy:
    """What happens to a message that a POP program deletes.

    Attributes:
        deletes: a code of Mailbox.PopDeletes.
        days: for how many a copy is kept, where it is for some days.
    """

    deletes: str
    days: int | None = None

    @property
    def as_command(self) -> str:
        """As commands write it: keep:30, keep or delete."""
        return f"keep:{self.days}" if self.deletes == Mailbox.PopDeletes.KEEP_DAYS else self.deletes

    @property
    def shown_until(self) -> date | None:
        """Until which day IMAP shows what a POP program deletes today; None where no day says it."""
        if self.deletes != Mailbox.PopDeletes.KEEP_DAYS:
            return None
        return timezone.localdate() + timedelta(days=self.days or POP_KEEP_DAYS)

    @property
    def in_words(self) -> str:
        """In a few words."""
        if self.deletes == Mailbox.PopDeletes.KEEP:
            return _("keep it until it is deleted over IMAP")
        if self.deletes == Mailbox.PopDeletes.DELETE:
            return _("delete it at once")
        days = self.days or POP_KEEP_DAYS
        return ngettext("keep a copy for %(days)s day", "keep a copy for %(days)s days", days) % {
            "days": days
        }


@dataclass(frozen=True)
class Origin:
    """Where a value comes from.

    Attributes:
        row: the level or mailbox that says it, or None where it is built in.
        is_own: whether that is the one that was asked about.
    """

    row: Level | Mailbox | None
    is_own: bool

    @property
    def in_words(self) -> str:
        """From whom, in a few words, to stand in brackets."""
        return self._said(_("from the platform"), _("from %(name)s"))

    @property
    def remark(self) -> str:
        """From whom, in a few words, to stand beside the value."""
        return self._said(_("inherited from the platform"), _("inherited from %(name)s"))

    def _said(self, of_platform: str, of_name: str) -> str:
        if self.is_own:
            return _("set here")
        if self.row is None:
            return _("built in")
        if isinstance(self.row, Installation):
            return of_platform
        return of_name % {"name": self.row.unicode_name if isinstance(self.row, Domain) else self.row}


@dataclass(frozen=True)
class Inherited:
    """What counts somewhere, and where it comes from.

    Attributes:
        quota_bytes: what new mailboxes start with, or None for no limit.
        quota_from: who says so.
        pop: what happens to messages that POP deletes.
        pop_from: who says so.
        recovery_days: for how long deleted messages can be recovered.
        recovery_from: who says so.
    """

    quota_bytes: int | None
    quota_from: Origin
    pop: PopPolicy
    pop_from: Origin
    recovery_days: int
    recovery_from: Origin

    @property
    def quota_in_words(self) -> str:
        """The quota, as people write it."""
        return _("No limit") if self.quota_bytes is None else format_size(self.quota_bytes)


def what_counts(row: Level | Mailbox | None) -> Inherited:
    """Return what counts for a domain, customer or mailbox, or for the platform. Costs one query.

    Args:
        row: which; None for what is built in. A mailbox's `quota_bytes` is what a new one beside it would get.
    """
    levels = _levels(row)
    quota = next((each for each in levels if _says_quota(each)), None)
    quota_bytes = quota.default_quota_bytes if quota is not None else settings.DEFAULT_QUOTA_BYTES
    pop = next((each for each in levels if each.pop_deletes), None)
    recovery = next((each for each in levels if _says_recovery(each)), None)
    return Inherited(
        quota_bytes=quota_bytes or None,
        quota_from=Origin(quota, is_own=quota is not None and quota is row),
        pop=_policy(pop),
        pop_from=Origin(pop, is_own=pop is not None and pop is row),
        recovery_days=recovery.recovery_days if recovery is not None else RECOVERY_DAYS,
        recovery_from=Origin(recovery, is_own=recovery is not None and recovery is row),
    )


def what_would_count(row: Level | Mailbox) -> Inherited:
    """Return what would count if this one said nothing itself."""
    return what_counts(_above(row))


def pop_policies(mailboxes: Iterable[Mailbox]) -> dict[int, PopPolicy]:
    """Return what happens to messages that POP deletes in several mailboxes, by their keys. Costs one query.

    Args:
        mailboxes: read with `domain__customer`.
    """
    platform = Installation.objects.first()
    found = {}
    for mailbox in mailboxes:
        levels = (mailbox, mailbox.domain, mailbox.domain.customer, platform)
        found[mailbox.pk] = _policy(
            next((row for row in levels if row is not None and row.pop_deletes), None)
        )
    return found


def recovery_days_of(mailboxes: Iterable[Mailbox]) -> dict[int, int]:
    """Return for how many days deleted messages of several mailboxes can be recovered, by their keys. Costs one query.

    Args:
        mailboxes: read with `domain__customer`.
    """
    platform = Installation.objects.first()
    found = {}
    for mailbox in mailboxes:
        levels = (mailbox, mailbox.domain, mailbox.domain.customer, platform)
        said = (row.recovery_days for row in levels if row is not None)
        found[mailbox.pk] = next(filter(None, said), RECOVERY_DAYS)
    return found


def inheriting_pop_policy(level: Level) -> QuerySet[Mailbox]:
    """Return the mailboxes that have from this level, or through it, what happens to messages that POP deletes."""
    mailboxes = Mailbox.objects.filter(pop_deletes="")
    if isinstance(level, Domain):
        return mailboxes.filter(domain=level)
    mailboxes = mailboxes.filter(domain__pop_deletes="")
    if isinstance(level, Customer):
        return mailboxes.filter(domain__customer=level)
    return mailboxes.filter(domain__customer__pop_deletes="")


def read_pop_policy(text: str) -> PopPolicy | None:
    """Return what `keep:N`, `keep` or `delete` means, or None for `inherit`.

    Raises:
        Problem: if it is none of these.
    """
    match = _KEEP.match(text)
    days = int(match[1]) if match else 0
    if match and 1 <= days <= POP_KEEP_DAYS_MAX:
        return PopPolicy(Mailbox.PopDeletes.KEEP_DAYS.value, days)
    if text in (Mailbox.PopDeletes.KEEP, Mailbox.PopDeletes.DELETE):
        return PopPolicy(str(text))
    if text == "inherit":
        return None
    raise Problem(
        _("Write keep:N with 1 to %(most)s days, keep, delete, or inherit.") % {"most": POP_KEEP_DAYS_MAX},
        "pop_deletes",
    )


def _levels(row: Level | Mailbox | None) -> Sequence[Any]:
    """Return a row and what it inherits from, the nearest first."""
    found: list[Any] = []
    while row is not None:
        found.append(row)
        row = _above(row)
    return found


def _above(row: Level | Mailbox) -> Level | None:
    if isinstance(row, Mailbox):
        return row.domain
    if isinstance(row, Domain):
        return row.customer
    if isinstance(row, Customer):
        return Installation.objects.first()
    return None


def _says_quota(row: Any) -> bool:
    return not isinstance(row, Mailbox) and row.default_quota_bytes is not None


def _says_recovery(row: Any) -> bool:
    """Say whether a level says for how long messages can be recovered; the platform's column is never empty."""
    is_built_in = isinstance(row, Installation) and row.recovery_days == RECOVERY_DAYS
    return bool(row.recovery_days) and not is_built_in


def _policy(row: Any) -> PopPolicy:
    if row is None:
        return PopPolicy(Mailbox.PopDeletes.KEEP_DAYS.value, POP_KEEP_DAYS)
    if row.pop_deletes == Mailbox.PopDeletes.KEEP_DAYS:
        return PopPolicy(row.pop_deletes, row.pop_keep_days or POP_KEEP_DAYS)
    return PopPolicy(row.pop_deletes)
