"""Which rule counts: after how many days messages in a folder end, by mailbox, domain, customer, platform.

A folder's rule holds for the folders below it too (not that of INBOX), unless one of them has a rule of its own at
the same level or nearer. The special folders bear the names that they are made with, on every mailbox: a rule for
Trash is one for its role.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from mailbackend.maildir import SPECIAL_FOLDERS
from panel.accounts.models import Customer
from panel.addresses.models import Domain, Mailbox
from panel.retention.models import RetentionRule, RuleChange

#: For whom a rule is said; None is the platform.
Level = Customer | Domain | Mailbox | None

INBOX = "INBOX"
#: The folders that every mailbox has, in the order in which people look for them.
ROLES = (INBOX, *SPECIAL_FOLDERS)


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
    return list(RetentionRule.objects.filter(Q(**columns(level))).order_by("folder"))


def effective_rules(mailboxes: Iterable[Mailbox]) -> dict[int, list[Effective]]:
    """Return what counts in some mailboxes, by their keys, each by folder. Costs one query.

    Args:
        mailboxes: read with `domain__customer`; at most some hundred.
    """
    page = list(mailboxes)
    by_level = _said_for(page)
    return {mailbox.pk: _effective(mailbox, by_level) for mailbox in page}


def said_in(mailboxes: Iterable[Mailbox]) -> dict[int, list[Effective]]:
    """Return everything that is said for some mailboxes, by their keys, what counts and what does not. One query.

    Args:
        mailboxes: read with `domain__customer`; at most some hundred.
    """
    page = list(mailboxes)
    by_level = _said_for(page)
    return {
        mailbox.pk: [
            Effective(rule.folder, rule.days, rule, level)
            for level in (mailbox, mailbox.domain, mailbox.domain.customer, None)
            for rule in by_level.get(_key_of(level), [])
        ]
        for mailbox in page
    }


def with_change(said: Iterable[Effective], change: RuleChange) -> list[Effective]:
    """Return what would be said somewhere below a change's level, once it counts."""
    key = _key_of(change.level)
    after = [each for each in said if (_key_of(each.level), each.folder) != (key, change.folder)]
    if not change.removes:
        rule = RetentionRule(folder=change.folder, days=change.days)
        after.append(Effective(change.folder, change.days, rule, change.level))
    return after


def effective_at(level: Level) -> list[Effective]:
    """Return what counts for whatever is below a level, or in a mailbox, by folder. Costs one query."""
    levels = levels_of(level)
    said = Q()
    for each in levels:
        said |= Q(**columns(each))
    by_level: dict[tuple[str, int | None], list[RetentionRule]] = {}
    for rule in RetentionRule.objects.filter(said):
        by_level.setdefault(_key(rule), []).append(rule)
    return _nearest(levels, by_level)


def said_at(level: Level) -> list[Effective]:
    """Return everything that is said for a level and above it, what counts and what does not. Costs one query."""
    levels = {_key_of(each): each for each in levels_of(level)}
    said = Q()
    for each in levels.values():
        said |= Q(**columns(each))
    rules = RetentionRule.objects.filter(said).order_by("folder")
    return [Effective(rule.folder, rule.days, rule, levels[_key(rule)]) for rule in rules]


def for_folder(said: Iterable[Effective], folder: str) -> Effective | None:
    """Return which of the rules counts for one folder, or None where none does: nothing in it ends.

    The nearest level wins; of what one level says, the rule of the folder itself, or of the nearest folder above it.

    Args:
        said: what is said somewhere, as `effective_rules`, `effective_at` or `said_at` give it.
        folder: as Dovecot names it.
    """
    fitting = [rule for rule in said if rule.folder == folder or is_below(folder, rule.folder)]
    return min(fitting, key=lambda rule: (_distance(rule.level), -len(rule.folder)), default=None)


def is_below(folder: str, above: str) -> bool:
    """Say whether a folder lies in another one, at any depth. In the inbox lies none: what is named so is beside it."""
    return above != INBOX and folder.startswith(f"{above}/")


def ends_more(level: Level, folder: str, days: int | None, *, inherit: bool = False) -> bool:
    """Say whether messages would end that do not end now, or earlier than now, if a level said something else.

    Args:
        level: for whom it would be said.
        folder: as Dovecot names it.
        days: after how many days messages would end; None is never.
        inherit: whether the level would say nothing of the folder itself instead.
    """
    said = said_at(level)
    after = _with(said, level, folder, days, inherit=inherit)
    return any(_is_sooner(_days(after, each), _days(said, each)) for each in _concerned(said, folder))


def ends_more_with(
    level: Level, folder: str, days: int | None, *, inherit: bool, waiting: Iterable[RuleChange]
) -> bool:
    """Say whether a change and others that wait would end together what neither it nor they would end alone.

    Args:
        level, folder, days, inherit: as for `ends_more`.
        waiting: changes of the level, and of those that it inherits from.
    """
    said = said_at(level)
    alone = _with(said, level, folder, days, inherit=inherit)
    together, without = alone, said
    for change in waiting:
        together, without = with_change(together, change), with_change(without, change)
    return any(
        _is_sooner(_days(together, each), _days(alone, each))
        and _is_sooner(_days(together, each), _days(without, each))
        for each in _concerned([*said, *together], folder)
    )


def ends_sooner(after: Sequence[Effective], before: Sequence[Effective]) -> list[tuple[str, int | None]]:
    """Return the folders in which messages end that did not, or earlier than before, and after how many days before.

    Args:
        after, before: what is said somewhere, as `said_at` gives it.
    """
    folders = sorted({rule.folder for rule in (*after, *before)})
    return [
        (folder, _days(before, folder))
        for folder in folders
        if _is_sooner(_days(after, folder), _days(before, folder))
    ]


def folder_name(folder: str) -> str:
    """Return what people call a folder."""
    names = {
        INBOX: _("Inbox"),
        "Sent": pgettext("a mail folder", "Sent"),
        "Drafts": pgettext("a mail folder", "Drafts"),
        "Junk": pgettext("a mail folder", "Junk"),
        "Trash": pgettext("a mail folder", "Trash"),
        "Archive": pgettext("a mail folder", "Archive"),
    }
    return names.get(folder, folder)


def columns(level: Level) -> dict[str, Any]:
    """Return the references of a row that is said for a level."""
    columns: dict[str, Any] = {"customer": None, "domain": None, "mailbox": None}
    if level is not None:
        columns[type(level).__name__.lower()] = level
    return columns


def levels_of(level: Level) -> list[Level]:
    """Return a level and those that it inherits from, the nearest first; the last is the platform."""
    found: list[Level] = []
    while level is not None:
        found.append(level)
        level = level.domain if isinstance(level, Mailbox) else getattr(level, "customer", None)
    return [*found, None]


def _said_for(page: list[Mailbox]) -> dict[tuple[str, int | None], list[RetentionRule]]:
    said = RetentionRule.objects.filter(
        Q(customer=None, domain=None, mailbox=None)
        | Q(mailbox__in=page)
        | Q(domain__in={each.domain_id for each in page})
        | Q(customer__in={each.domain.customer_id for each in page})
    )
    by_level: dict[tuple[str, int | None], list[RetentionRule]] = {}
    for rule in said:
        by_level.setdefault(_key(rule), []).append(rule)
    return by_level


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


def _with(
    said: list[Effective], level: Level, folder: str, days: int | None, *, inherit: bool
) -> list[Effective]:
    """Return what would be said if a level said something else of a folder, or nothing."""
    key = _key_of(level)
    after = [rule for rule in said if (_key_of(rule.level), rule.folder) != (key, folder)]
    if not inherit:
        after.append(Effective(folder, days, RetentionRule(folder=folder, days=days), level))
    return after


def _concerned(said: Iterable[Effective], folder: str) -> set[str]:
    """Return a folder and those below it of which something is said: there too something else may count then."""
    return {folder} | {rule.folder for rule in said if is_below(rule.folder, folder)}


def _days(said: Iterable[Effective], folder: str) -> int | None:
    rule = for_folder(said, folder)
    return None if rule is None else rule.days


def _is_sooner(after: int | None, before: int | None) -> bool:
    return after is not None and (before is None or after < before)


def _distance(level: Level) -> int:
    """How far a level is from a mailbox."""
    return next((n for n, kind in enumerate((Mailbox, Domain, Customer)) if isinstance(level, kind)), 3)


def _key(rule: RetentionRule) -> tuple[str, int | None]:
    for name in ("mailbox", "domain", "customer"):
        if (pk := getattr(rule, f"{name}_id")) is not None:
            return name, pk
    return "platform", None


def _key_of(level: Level) -> tuple[str, int | None]:
    return ("platform", None) if level is None else (type(level).__name__.lower(), level.pk)
