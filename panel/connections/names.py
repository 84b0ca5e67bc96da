"""User names that were tried and that no mailbox has: what of them is wrong, if a certain mailbox was meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher
from enum import Enum

from mailbackend.addresses import AddressError, normalise_domain
from panel.accounts.models import User
from panel.addresses.models import Mailbox
from panel.addresses.selectors import mailboxes_for

#: Characters of a name, or of a program's, that are shown.
SHOWN = 80
#: From this likeness on two local parts are taken for a slip of the finger: one letter in five to ten.
ALIKE = 0.8


class Mistake(Enum):
    """What is wrong with a user name."""

    NO_DOMAIN = "no_domain"
    WRONG_DOMAIN = "wrong_domain"
    BADLY_WRITTEN = "badly_written"
    MISSPELT = "misspelt"


def harmless(text: str) -> str:
    """Return what somebody else chose, fit to stand in a sentence: one line, cut, nothing that steers a screen.

    Control characters, line separators, and those that turn the direction of writing become `?`.
    """
    shown = "".join(letter if letter.isprintable() else "?" for letter in text[: SHOWN + 1])
    return shown if len(shown) <= SHOWN else f"{shown[:SHOWN].rstrip()}…"


def mistake_in(tried: str, mailbox: Mailbox) -> Mistake | None:
    """Return what is wrong with a name that was tried, or None if this mailbox was hardly meant.

    Args:
        tried: the name, which no mailbox has.
        mailbox: that may have been meant.
    """
    local_part, at, domain = _tidy(tried).partition("@")
    same_name = _tidy(local_part) == mailbox.local_part
    if not at:
        return Mistake.NO_DOMAIN if same_name else None
    if _ascii(domain) == mailbox.domain.name:
        if same_name:
            return Mistake.BADLY_WRITTEN
        return Mistake.MISSPELT if _alike(local_part, mailbox.local_part) else None
    return Mistake.WRONG_DOMAIN if same_name else None


def mailboxes_meant(person: User, names: Iterable[str]) -> dict[str, Mailbox]:
    """Return which mailbox was meant by names without a domain, as far as a person may see it. One query.

    Args:
        person: who asks.
        names: that were tried. Those that fit several of the person's mailboxes are left out.
    """
    bare = {_tidy(name): name for name in names if "@" not in name and 0 < len(name) <= 64}
    if not bare:
        return {}
    rows = mailboxes_for(person).filter(local_part__in=sorted(bare), deleted_at=None)[: 20 * len(bare)]
    found: dict[str, list[Mailbox]] = {}
    for mailbox in rows:
        found.setdefault(bare[mailbox.local_part], []).append(mailbox)
    return {name: fitting[0] for name, fitting in found.items() if len(fitting) == 1}


def _tidy(text: str) -> str:
    """Return a name without what programs and people add at its ends."""
    return text.strip(" \t\r\n.<>\"',;").lower()


def _ascii(domain: str) -> str:
    try:
        return normalise_domain(domain)
    except AddressError:
        return ""


def _alike(one: str, other: str) -> bool:
    return len(one) <= 64 and SequenceMatcher(None, one, other, autojunk=False).ratio() >= ALIKE
