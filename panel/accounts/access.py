"""Who asks for a page, and whether they may. What a person may not see does not exist for them (404); what they
may see and not change is forbidden (403)."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.shortcuts import get_object_or_404

from panel.accounts.models import Customer, User
from panel.accounts.selectors import customers_read_by, may_manage, may_own


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
