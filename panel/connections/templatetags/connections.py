"""What pages of other parts show of the connection log."""

from __future__ import annotations

from datetime import timedelta

from django import template
from django.utils import timezone

from panel.accounts.models import User
from panel.addresses.inherited import what_counts
from panel.addresses.models import Domain, Mailbox
from panel.addresses.selectors import mailboxes_for
from panel.connections.mailbox_pages import Entry, entry_of
from panel.connections.mailbox_selectors import ProtocolUsers, last_connection, users_of_protocol
from panel.connections.models import Connection
from panel.connections.names import mailboxes_meant
from panel.connections.notices import Told, told_to
from panel.connections.words import advice, in_words

register = template.Library()


@register.simple_tag(name="last_connection")
def last_connection_in_words(mailbox: Mailbox) -> Entry | None:
    """Return the connection that began last of a mailbox that the page's reader may see, or None."""
    row = last_connection(mailbox)
    return entry_of(row, mailbox) if row else None


@register.simple_tag
def mailbox_notices(mailbox: Mailbox, person: User) -> list[Told]:
    """Return what a page's reader is told of how a mailbox is used."""
    return told_to(person, mailbox)


@register.simple_tag
def protocol_users(domain: Domain, protocol: str) -> ProtocolUsers:
    """Return how many mailboxes of a domain that the page's reader may see used a protocol in the last 30 days."""
    return users_of_protocol(domain, protocol, since=timezone.now() - timedelta(days=30))


@register.simple_tag
def connection_in_words(row: Connection, person: User) -> dict[str, str]:
    """Return what a connection that a person may see did, as `words`, and what to do about it, as `advice`."""
    if row.mailbox_id is not None:
        mailbox = mailboxes_for(person).filter(pk=row.mailbox_id).first()
    else:
        mailbox = mailboxes_meant(person, [row.address]).get(row.address)
    pop = what_counts(mailbox).pop if mailbox else None
    return {"words": in_words(row, pop=pop), "advice": advice(row, mailbox=mailbox, pop=pop)}
