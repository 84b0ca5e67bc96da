"""Which rule counts: after how many days messages in a folder end, by mailbox, domain, customer, platform.

A folder's rule holds for the folders below it too (not that of INBOX), unless one of them has a rule of its own at
the same level or nearer. The special folders bear the names that they are made with, on every mailbox: a rule for
Trash is one for its role.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Q

from panel.accounts.models import Customer
from panel.addresses.models import Domain, Mailbox
from panel.retention.models import RetentionRule

#: For whom a rule is said; None is the platform.
Level = Customer | Domain | Mailbox | None


@dataclass(frozen=True)
class Effective:
    """What counts for one folder somewhere.

    Attributes:
        folder: as Dovecot names it.
        days: after how many days in it a message ends; None is never.
        rule: which rule says so.
        level: for whom that is said: the mailbox itself or what it inherits from; None is the platform.
    """

    folder: str
    days: int | None
    rule: RetentionRule
    level: Level


def rules_of(level: Level) -> list[RetentionRule]:
    """Return what is said for just this level, by folder."""
    return list(RetentionRule.objects.filter(_of(level)).order_by("folder"))


def effective_rules(mailboxes: Iterable[Mailbox]) -> dict[int, list[Effective]]:
    """Return what counts in some mailboxes, by their keys, each by folder. Costs one query.

    Args:
        mailboxes: read with `domain__customer`; at most some hundred.
    """
    page = list(mailboxes)
    said = RetentionRule.objects.filter(
        Q(customer=None, domain=None, mailbox=None)
        | Q(mailbox__in=page)
        | Q(domain__in={each.domain_id for each in page})
        | Q(customer__in={each.domain.customer_id for each in page})
    )
    by_level: dict[tuple[str, int | None], list[RetentionRule]] = {}
    for rule in said:
        by_level.setdefault(_key(rule), []).append(rule)
    return {mailbox.pk: _effective(mailbox, by_level) for mailbox in page}


def effective_at(level: Level) -> list[Effective]:
    """Return what counts for whatever is below a level, or in a mailbox, by folder. Costs one query."""
    levels = levels_of(level)
    said = Q()
    for each in levels:
        said |= _of(each)
    by_level: dict[tuple[str, int | None], list[RetentionRule]] = {}
    for rule in RetentionRule.objects.filter(said):
        by_level.setdefault(_key(rule), []).append(rule)
    return _nearest(levels, by_level)


def levels_of(level: Level) -> list[Level]:
    """Return a level and those that it inherits from, the nearest first; the last is the platform."""
    found: list[Level] = []
    while level is not None:
        found.append(level)
        level = level.domain if isinstance(level, Mailbox) else getattr(level, "customer", None)
    return [*found, None]


def _effective(
    mailbox: Mailbox, by_level: dict[tuple[str, int | None], list[RetentionRule]]
) -> list[Effective]:
    return _nearest([mailbox, mailbox.domain, mailbox.domain.customer, None], by_level)


def _nearest(
    levels: Iterable[Level], by_level: dict[tuple[str, int | None], list[RetentionRule]]
) -> list[Effective]:
    found: dict[str, Effective] = {}
    for level in levels:
        for rule in by_level.get(_key_of(level), []):
            found.setdefault(rule.folder, Effective(rule.folder, rule.days, rule, level))
    return [found[folder] for folder in sorted(found)]


def _of(level: Level) -> Q:
    if level is None:
        return Q(customer=None, domain=None, mailbox=None)
    return Q(**{type(level).__name__.lower(): level})


def _key(rule: RetentionRule) -> tuple[str, int | None]:
    for name in ("mailbox", "domain", "customer"):
        if (pk := getattr(rule, f"{name}_id")) is not None:
            return name, pk
    return "platform", None


def _key_of(level: Level) -> tuple[str, int | None]:
    return ("platform", None) if level is None else (type(level).__name__.lower(), level.pk)
