"""Reads: who is who."""

from __future__ import annotations

from panel.accounts.models import Customer, User
from panel.core.errors import Problem


def get_customer(name: str) -> Customer:
    """Return the customer of this name, whatever its letter case.

    Raises:
        Problem: if there is none.
    """
    customer = Customer.objects.filter(name__iexact=name.strip()).first() if "\x00" not in name else None
    if customer is None:
        raise Problem(f"There is no customer named {name[:100]!r}.", "customer")
    return customer


def get_user(email: str) -> User:
    """Return the person with this e-mail.

    Raises:
        Problem: if there is none.
    """
    user = User.objects.filter(email=email.strip().lower()).first() if "\x00" not in email else None
    if user is None:
        raise Problem(f"There is nobody with the e-mail {email[:254]!r}.", "email")
    return user
