"""What every page knows of whoever asks."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from panel.accounts import notices
from panel.accounts.mailbox_owners import mailboxes
from panel.accounts.models import User
from panel.accounts.selectors import own_customers

#: Customers that the navigation names.
NAMED = 5


def standing(request: HttpRequest) -> dict[str, Any]:
    """Return whom is acted for, a person's own customers, and the name of the other one that they can sign in as.

    What costs a query is asked for only where a page shows it.
    """
    user = getattr(request, "user", None)
    if not isinstance(user, User):
        return {}
    return {
        "acting_for": user.acting_for,
        "other_name": SimpleLazyObject(lambda: mailboxes().other_name(user)),
        "own_customers": own_customers(user)[:NAMED],
        "notices": SimpleLazyObject(lambda: notices.shown_to(user, timezone.now())),
    }
