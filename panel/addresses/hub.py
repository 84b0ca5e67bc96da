"""The pages of one mailbox: what they share, those of other parts included."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.shortcuts import get_object_or_404

from panel.accounts.access import person_of
from panel.accounts.selectors import may_manage, may_own
from panel.addresses.models import Mailbox
from panel.addresses.selectors import mailboxes_for


def mailbox_of_page(request: HttpRequest, pk: int) -> Mailbox:
    """Return a mailbox that whoever asks may see.

    Raises:
        Http404: if they may not, or there is none.
    """
    return get_object_or_404(mailboxes_for(person_of(request)), pk=pk)


def hub(request: HttpRequest, mailbox: Mailbox) -> dict[str, Any]:
    """Return what every page of a mailbox shows: templates extend addresses/mailbox_page.html."""
    person, customer = person_of(request), mailbox.domain.customer
    return {
        "mailbox": mailbox,
        "until": restorable_until(mailbox.deleted_at or mailbox.domain.deleted_at),
        "may_change": may_manage(person, customer),
        "may_hold": may_own(person, customer),
    }


def mailbox_looked_after_by(request: HttpRequest, pk: int) -> Mailbox:
    """Return a mailbox that whoever asks may use as their own: its owner sees no other one.

    Raises:
        Http404: if they may not see it, or there is none.
        PermissionDenied: if they may only see it.
    """
    mailbox, person = mailbox_of_page(request, pk), person_of(request)
    if not (person.is_mailbox or may_manage(person, mailbox.domain.customer)):
        raise PermissionDenied
    return mailbox


def restorable_until(deleted_at: datetime | None) -> datetime | None:
    """Return until when something can be restored, or None if it was not deleted."""
    return deleted_at + settings.DELETION_WINDOW if deleted_at else None
