"""Who asks for a page, and whether they may. What a person may not see does not exist for them (404); what they
may see and not change is forbidden (403)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.shortcuts import get_object_or_404

from panel.accounts.models import Customer, User
from panel.accounts.selectors import customers_read_by, may_manage, may_own

View = TypeVar("View", bound=Callable[..., Any])

#: How a page is marked that owners of mailboxes may open.
_OPEN_TO_OWNERS = "open_to_owners"


def open_to_owners(view: View) -> View:
    """Mark a page that the owner of a mailbox may open; every other is forbidden to them (see the middleware)."""
    setattr(view, _OPEN_TO_OWNERS, True)
    return view


def is_open_to_owners(view: Callable[..., Any]) -> bool:
    """Say whether a page is marked so."""
    return getattr(view, _OPEN_TO_OWNERS, False) is True


def person_of(request: HttpRequest) -> User:
    """Return who asks; the view is for people who signed in."""
    assert isinstance(request.user, User)
    return request.user


def admin_of(request: HttpRequest) -> User:
    """Return the administrator who asks, and who acts for no customer at the moment.

    Raises:
        PermissionDenied: if it is somebody else.
    """
    person = person_of(request)
    if not person.sees_all:
        raise PermissionDenied
    return person


def customer_of(request: HttpRequest, pk: int) -> Customer:
    """Return a customer that whoever asks may see.

    Raises:
        Http404: if they may not, or there is none.
    """
    return get_object_or_404(customers_read_by(person_of(request)), pk=pk)


def manager_of(request: HttpRequest, customer: Customer) -> User:
    """Return who asks, if they may change the customer's domains and mailboxes.

    Raises:
        PermissionDenied: if they may not.
    """
    person = person_of(request)
    if not may_manage(person, customer):
        raise PermissionDenied
    return person


def owner_of(request: HttpRequest, customer: Customer) -> User:
    """Return who asks, if they may invite and remove the customer's people.

    Raises:
        PermissionDenied: if they may not.
    """
    person = person_of(request)
    if not may_own(person, customer):
        raise PermissionDenied
    return person
