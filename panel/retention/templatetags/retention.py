"""What templates of other parts show of this one."""

from __future__ import annotations

from django import template
from django.utils import timezone

from panel.addresses.models import Mailbox
from panel.core.models import AuditEntry
from panel.retention.making_room import last_ended_early

register = template.Library()


@register.simple_tag
def ended_early(mailbox: Mailbox) -> AuditEntry | None:
    """Return when copies of a mailbox ended early last, if that was lately."""
    return last_ended_early(mailbox, timezone.now())
