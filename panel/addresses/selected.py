"""The same done to several mailboxes: each on its own, so that one that cannot be done keeps no other from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from django.utils.translation import gettext as _

from panel.accounts.models import User
from panel.accounts.selectors import customers_managed_by
from panel.addresses.models import Mailbox
from panel.core.errors import Problem


@dataclass(frozen=True)
class Refusal:
    """A mailbox that nothing was done to, and why, in a sentence."""

    mailbox: Mailbox
    reason: str


@dataclass
class Outcome:
    """What became of each."""

    done: list[Mailbox] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)


def do_to_each(person: User, mailboxes: Sequence[Mailbox], act: Callable[[Mailbox], object]) -> Outcome:
    """Do something to each mailbox that a person may change, each in a transaction and with an entry of its own.

    Args:
        person: who asks.
        mailboxes: which; the person may see all of them.
        act: does it to one, and raises a Problem where it cannot.
    """
    outcome = Outcome()
    managed = set(customers_managed_by(person).values_list("pk", flat=True))
    for mailbox in mailboxes:
        if mailbox.domain.customer_id not in managed:
            outcome.refused.append(Refusal(mailbox, _("You may see it, and not change it.")))
            continue
        try:
            act(mailbox)
        except Problem as problem:
            outcome.refused.append(Refusal(mailbox, str(problem)))
        else:
            outcome.done.append(mailbox)
    return outcome
