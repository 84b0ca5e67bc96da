"""What this part asks about the owners of mailboxes. The part that has mailboxes answers, and registers itself."""

from __future__ import annotations

from typing import Protocol

from django.db.models import Model

from panel.accounts.models import User


class Mailboxes(Protocol):
    """Answers for the owners of mailboxes."""

    def owner_named(self, name: str) -> User | None:
        """Return the owner of the mailbox with this address, as typed; one who never signed in is not saved."""

    def refusal(self, owner: User) -> str:
        """Return why an owner may not be in the panel, in words, or an empty string."""

    def fits(self, owner: User, password: str) -> bool:
        """Say whether this is the password of the owner's mailbox. Costs one hash."""

    def audited(self, owner: User) -> tuple[Model, int | None]:
        """Return what the audit trail names for an owner, and the customer who may read of it."""

    def other_name(self, person: User) -> str:
        """Return the name of the other one that this person can sign in as too, or an empty string."""


_registered: list[Mailboxes] = []


def register(mailboxes: Mailboxes) -> None:
    """Say who answers; called once, when the programs of all parts are there."""
    _registered[:] = [mailboxes]


def mailboxes() -> Mailboxes:
    """Return who answers."""
    return _registered[0]
