"""Writes: customers. What a customer has lies in higher parts, which call these (see panel.addresses.customers)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.db import IntegrityError, transaction
from django.db.models import F, ProtectedError
from django.utils import timezone
from django.utils.translation import gettext as _

from panel.accounts import members
from panel.accounts.models import Customer, Membership, User
from panel.accounts.services import check_line, clean_email, clean_name, create_person
from panel.core import audit
from panel.core.errors import Conflict, Problem
from panel.core.sizes import LARGEST

Saved = TypeVar("Saved")

REASON_MAX = 200
COUNT_MAX = 10_000_000


def create_customer(
    *,
    name: str,
    owner_email: str,
    owner_password: str | None = None,
    max_domains: int | None = None,
    max_mailboxes: int | None = None,
    max_storage_bytes: int | None = None,
) -> Customer:
    """Create a customer and its owner.

    Args:
        name: unique, whatever its letter case.
        owner_email: who owns it.
        owner_password: for a new person; one who exists already becomes the owner and keeps theirs. None invites the
            owner by mail instead: they belong to it once they accept.
        max_domains, max_mailboxes: how many it may have, or None for any number.
        max_storage_bytes: the sum of its mailboxes' quotas, or None for no limit.

    Raises:
        Problem: if a value cannot be used, or the name is taken.
    """
    name = clean_name(name, _("The customer's name"))
    limits = _checked_limits(max_domains, max_mailboxes, max_storage_bytes)
    with transaction.atomic():
        _check_free(name)
        customer = _named(name, lambda: Customer.objects.create(name=name, **limits))
        audit.record("customer.created", target=customer, customer_id=customer.pk, after=limits)
        if owner_password is None:
            members.invite(customer=customer, email=owner_email, role=Membership.Role.OWNER)
            return customer
        owner = User.objects.filter(email=clean_email(owner_email)).first()
        owner = owner or create_person(email=owner_email, password=owner_password)
        members.add_member(customer=customer, person=owner, role=Membership.Role.OWNER)
    return customer


def edit_customer(
    *,
    customer: Customer,
    name: str,
    max_domains: int | None,
    max_mailboxes: int | None,
    max_storage_bytes: int | None,
    version: int | None = None,
) -> None:
    """Change a customer's name and limits. A limit below what it has takes nothing away: nothing is added until then.

    Raises:
        Conflict: if it changed since `version`.
        Problem: if a value cannot be used, or the name is taken.
    """
    name = clean_name(name, _("The customer's name"))
    limits = _checked_limits(max_domains, max_mailboxes, max_storage_bytes)
    with transaction.atomic():
        _check_free(name, besides=customer)
        _named(name, lambda: _update(customer, version, "customer.edited", name=name, **limits))


def mark_suspended(*, customer: Customer, reason: str = "") -> None:
    """Shut a customer's people out of the panel.

    panel.addresses.customers.suspend_customer ends their mail sessions too: call that.

    Args:
        customer: whose people.
        reason: in a line; they are told.

    Raises:
        Problem: if the reason is too long.
    """
    reason = check_line(reason.strip(), _("The reason"), longest=REASON_MAX)
    since = customer.suspended_at or timezone.now()
    _update(customer, None, "customer.suspended", suspended_at=since, suspended_reason=reason)


def resume_customer(*, customer: Customer) -> None:
    """Let a suspended customer's people in again, into the panel and into their mailboxes."""
    _update(customer, None, "customer.resumed", suspended_at=None, suspended_reason="")


def delete_customer(*, customer: Customer) -> None:
    """Delete a customer that has nothing; its people stay, as members of others or of none.

    Raises:
        Problem: if it still has something.
    """
    try:
        with transaction.atomic():
            rows = Customer.objects.select_for_update().filter(pk=customer.pk)
            for row in rows:
                audit.record("customer.deleted", target=row, customer_id=row.pk)
            rows.delete()
    except ProtectedError as err:
        raise Problem(
            _("%(customer)s still has domains. Delete them first.") % {"customer": customer}
        ) from err


def start_acting(*, customer: Customer) -> None:
    """Note that an administrator acts for a customer from now on."""
    audit.record("acting.started", target=customer, customer_id=customer.pk)


def end_acting(*, customer: Customer) -> None:
    """Note that an administrator acts for a customer no more."""
    audit.record("acting.ended", target=customer, customer_id=customer.pk)


def _checked_limits(
    max_domains: int | None, max_mailboxes: int | None, max_storage_bytes: int | None
) -> dict[str, int | None]:
    counts = (
        ("max_domains", max_domains, _("The number of domains must be between 0 and 10,000,000.")),
        ("max_mailboxes", max_mailboxes, _("The number of mailboxes must be between 0 and 10,000,000.")),
    )
    for field, number, problem in counts:
        if number is not None and not 0 <= number <= COUNT_MAX:
            raise Problem(problem, field)
    if max_storage_bytes is not None and not 0 < max_storage_bytes <= LARGEST:
        raise Problem(_("The size must be more than zero and at most 1024 TB."), "max_storage_bytes")
    return {
        "max_domains": max_domains,
        "max_mailboxes": max_mailboxes,
        "max_storage_bytes": max_storage_bytes,
    }


def _check_free(name: str, besides: Customer | None = None) -> None:
    others = Customer.objects.filter(name__iexact=name)
    if besides is not None:
        others = others.exclude(pk=besides.pk)
    if others.exists():
        raise _taken(name)


def _named(name: str, save: Callable[[], Saved]) -> Saved:
    """Save a customer; that its name was taken a moment before is told as if it had been known."""
    try:
        with transaction.atomic():
            return save()
    except IntegrityError as err:
        raise _taken(name) from err


def _taken(name: str) -> Problem:
    return Problem(_("There is a customer named “%(name)s” already.") % {"name": name}, "name")


def _update(customer: Customer, version: int | None, action: str, **values: Any) -> None:
    """Save only `values`, if nobody changed the customer since `version`, and record what changed as `action`."""
    with transaction.atomic():
        rows = Customer.objects.filter(pk=customer.pk)
        old = rows.select_for_update().first()
        if old is None or version not in (None, old.version):
            raise Conflict(
                _(
                    "Somebody else changed this meanwhile. "
                    "Look at it as it is now, then change it if you still want to."
                )
            )
        rows.update(**values, version=F("version") + 1)
        customer.refresh_from_db()
        before, after = audit.changed({name: getattr(old, name) for name in values}, values)
        if after:
            audit.record(action, target=customer, customer_id=customer.pk, before=before, after=after)
