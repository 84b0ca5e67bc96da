"""What pages of other parts show of the connection log."""

from __future__ import annotations

from django import template

from panel.addresses.models import Mailbox
from panel.connections.mailbox_pages import Entry, entry_of
from panel.connections.mailbox_selectors import last_connection

register = template.Library()


@register.simple_tag(name="last_connection")
def last_connection_in_words(mailbox: Mailbox) -> Entry | None:
    """Return the connection that began last of a mailbox that the page's reader may see, or None."""
    row = last_connection(mailbox)
    return entry_of(row, mailbox) if row else None
