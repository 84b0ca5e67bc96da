"""Reads: the connections that a person may see. What nobody's mailbox or customer is in is the host's alone."""

from __future__ import annotations

from django.db.models import QuerySet

from panel.accounts.models import User
from panel.accounts.selectors import customers_read_by
from panel.addresses.models import Mailbox
from panel.connections.models import Connection


def connections_for(person: User) -> QuerySet[Connection]:
    """Return the connections that a person may see, in no order.

    An administrator sees all, members those of their customers, the owner of a mailbox those of that mailbox. Where
    many rows are to be read in their order, `parts_for` has the same in parts that an index gives in order.
    """
    connections = Connection.objects.order_by()
    if person.sees_all:
        return connections
    if person.is_mailbox:
        return connections.filter(mailbox_id__in=_mailboxes_of(person))
    return connections.filter(customer_id__in=customers_seen_by(person))


def parts_for(person: User) -> list[QuerySet[Connection]]:
    """Return the same in parts that have no row in common, each led by one column: one customer, or one mailbox."""
    connections = Connection.objects.order_by()
    if person.sees_all:
        return [connections]
    if person.is_mailbox:
        return [connections.filter(mailbox_id=mailbox) for mailbox in _mailboxes_of(person)]
    return [connections.filter(customer_id=customer) for customer in customers_seen_by(person)]


def customers_seen_by(person: User) -> list[int]:
    """Return the numbers of the customers whose connections a person sees, who does not see all of them.

    Numbers and not a subquery: with them the index of a customer's rows is used, whatever others did.
    """
    return list(customers_read_by(person).order_by("pk").values_list("pk", flat=True))


def _mailboxes_of(owner: User) -> list[int]:
    return list(Mailbox.objects.filter(user=owner).values_list("pk", flat=True))
