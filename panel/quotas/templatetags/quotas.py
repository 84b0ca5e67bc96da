"""Template tags of storage, for pages of lower parts."""

from __future__ import annotations

from django import template

from panel.addresses.models import Mailbox
from panel.quotas import attention
from panel.quotas.models import QuotaWarning

register = template.Library()


@register.simple_tag
def soon_full(mailbox: Mailbox) -> QuotaWarning | None:
    """Return the warning that a mailbox will soon be full, or None."""
    return attention.soon_full(mailbox)
