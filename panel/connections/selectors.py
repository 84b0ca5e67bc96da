"""Reads: the connections that a person may see. What nobody's mailbox or customer is in is the host's alone."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import QuerySet

from panel.accounts.models import User
from panel.accounts.selectors import customers_read_by
from panel.addresses.models import Mailbox
from panel.connections.models import Connection


@dataclass(frozen=True)
class Scope:
    """What of the log a person may see: the rows whose `column` is one of `numbers`.

    Numbers and not a subquery: with them the index of the column is used, whatever others did.
    """

    column: str
    numbers: tuple[int, ...]


def scope_of(person: User) -> Scope | None:
    """Return what a person may see of the log, or None for all of it.

    Members see what their customers' people did, the owner of a mailbox that mailbox.
    """
    if person.sees_all:
        return None
    if person.is_mailbox:
        return Scope("mailbox", tuple(Mailbox.objects.filter(user=person).values_list("pk", flat=True)))
    customers = customers_read_by(person).order_by("pk").values_list("pk", flat=True)
    return Scope("customer", tuple(customers))


def connections_for(person: User) -> QuerySet[Connection]:
    """Return the connections that a person may see, in no order.

    For a list of them in their order see panel.connections.planning, which reads them by an index.
    """
    connections = Connection.objects.order_by()
    scope = scope_of(person)
    return connections if scope is None else connections.filter(**{f"{scope.column}__in": scope.numbers})
