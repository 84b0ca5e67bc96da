"""What every page knows of whoever asks."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from panel.accounts.models import User
from panel.accounts.selectors import customers_read_by

#: Customers that the navigation names.
NAMED = 5


def standing(request: HttpRequest) -> dict[str, Any]:
    """Return the customer that is acted for, and a person's own customers; asked for only where a page shows them."""
    user = getattr(request, "user", None)
    if not isinstance(user, User):
        return {}
    return {
        "acting_for": user.acting_for,
        "own_customers": SimpleLazyObject(
            lambda: [] if user.sees_all else list(customers_read_by(user)[:NAMED])
        ),
    }
