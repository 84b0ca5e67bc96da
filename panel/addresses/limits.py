"""What a customer may have: numbers of domains and mailboxes, and the storage that is given to them.

A domain may have a limit of its own for the storage that is given on it: then both count.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import models
from django.db.models import Count, Sum
from django.utils.translation import gettext as _

from panel.accounts.models import Customer
from panel.addresses.models import Domain, Mailbox
from panel.core.errors import Problem
from panel.core.sizes import LARGEST


def check_limits(
    customer: Customer,
    *,
    more_domains: int = 0,
    more: models.QuerySet[Mailbox] | None = None,
    more_mailboxes: int = 0,
    more_bytes: int | None = 0,
) -> None:
    """Check that a customer has room for more. Its row is locked, so that two cannot take one place.

    Args:
        customer: whose.
        more_domains: how many domains are to be added.
        more: the mailboxes that are to be added; instead of these two:
        more_mailboxes: how many.
        more_bytes: their quotas in all, or None if one has no limit.

    Raises:
        Problem: if there is no room.
    """
    if more is not None:
        more_mailboxes = more.count()
        unlimited = more.filter(quota_bytes=None).exists()
        more_bytes = None if unlimited else more.aggregate(total=Sum("quota_bytes"))["total"] or 0
    customer = locked_customer(customer)
    if more_domains:
        _check_domains(customer, more_domains)
    number, given = _given(customer, None)
    if customer.max_mailboxes is not None and number + more_mailboxes > customer.max_mailboxes:
        raise Problem(
            _("%(customer)s may have %(limit)s mailboxes and has no room for more.")
            % {"customer": customer, "limit": customer.max_mailboxes}
        )
    if more_mailboxes:
        _check_storage(customer, given, more_bytes)


def check_storage(customer: Customer, more_bytes: int | None, *, instead_of: Mailbox) -> None:
    """Check that a customer has room for another quota of a mailbox. Its row is locked.

    Args:
        customer: whose.
        more_bytes: the new quota, or None for no limit.
        instead_of: the mailbox whose present quota does not count.

    Raises:
        Problem: if there is no room.
    """
    customer = locked_customer(customer)
    _check_storage(customer, _given(customer, instead_of)[1], more_bytes)


def check_domain_storage(
    domain: Domain, more_bytes: int | None, *, instead_of: Mailbox | None = None, field: str = "quota"
) -> None:
    """Check that a domain has room for another quota of a mailbox, beside what its customer may give.

    Args:
        domain: which; locked by the caller, so that two cannot take one place.
        more_bytes: the new quotas in all, or None if one has no limit.
        instead_of: a mailbox whose present quota does not count.
        field: what a refusal is about.

    Raises:
        Problem: if there is no room.
    """
    if domain.max_storage_bytes is None:
        return
    words = {"domain": domain.unicode_name}
    if more_bytes is None:
        raise Problem(_("%(domain)s has a storage limit: give the mailbox a quota.") % words, field)
    if given_on(domain, besides=instead_of).given_bytes + more_bytes > domain.max_storage_bytes:
        raise Problem(_("%(domain)s has no room for this quota: choose a smaller one.") % words, field)


@dataclass(frozen=True)
class Given:
    """What the living mailboxes of a domain were given.

    Attributes:
        given_bytes: their quotas in all.
        unlimited: how many have none.
    """

    given_bytes: int
    unlimited: int


def given_on(domain: Domain, *, besides: Mailbox | None = None) -> Given:
    """Return what the mailboxes of a domain were given, without that of one of them."""
    living = Mailbox.objects.filter(domain=domain, deleted_at=None)
    if besides is not None:
        living = living.exclude(pk=besides.pk)
    found = living.aggregate(number=Count("pk"), limited=Count("quota_bytes"), given=Sum("quota_bytes"))
    return Given(found["given"] or 0, found["number"] - found["limited"])


def sum_of_quotas(quotas: Iterable[int | None]) -> int | None:
    """Return several quotas in all, or None if one of them has no limit."""
    total = 0
    for quota in quotas:
        if quota is None:
            return None
        total += quota
    return total


def is_more(new: int | None, old: int | None) -> bool:
    """Whether one quota is larger than another; None is no limit. A smaller one is always welcome."""
    if old is None:
        return False
    return new is None or new > old


def check_quota(quota_bytes: int | None, field: str) -> None:
    """Check that a quota is one.

    Raises:
        Problem: about `field`, if it is not.
    """
    if quota_bytes is not None and not 0 < quota_bytes <= LARGEST:
        raise Problem(_("The quota must be more than zero and at most 1024 TB."), field)


def check_default_quota(quota_bytes: int | None, field: str) -> None:
    """Check that a quota for new mailboxes is one: None is inherited, 0 is no limit.

    Raises:
        Problem: about `field`, if it is not.
    """
    check_quota(quota_bytes or None, field)


def locked_customer(customer: Customer) -> Customer:
    """Return a customer as it is now, its row locked until the transaction ends.

    Raises:
        Problem: if it was deleted.
    """
    found = Customer.objects.select_for_update().filter(pk=customer.pk).first()
    if found is None:
        raise Problem(_("%(customer)s was deleted meanwhile.") % {"customer": customer}, "customer")
    return found


def _check_domains(customer: Customer, more: int) -> None:
    if customer.max_domains is None:
        return
    living = Domain.objects.filter(customer=customer, deleted_at=None).count()
    if living + more > customer.max_domains:
        raise Problem(
            _("%(customer)s may have %(limit)s domains and has no room for more.")
            % {"customer": customer, "limit": customer.max_domains}
        )


def _check_storage(customer: Customer, given: int, more_bytes: int | None) -> None:
    if customer.max_storage_bytes is None:
        return
    if more_bytes is None:
        raise Problem(
            _("%(customer)s has a storage limit: give the mailbox a quota.") % {"customer": customer}, "quota"
        )
    if given + more_bytes > customer.max_storage_bytes:
        raise Problem(
            _("%(customer)s has no room for this quota: choose a smaller one.") % {"customer": customer},
            "quota",
        )


def _given(customer: Customer, instead_of: Mailbox | None) -> tuple[int, int]:
    """Return how many living mailboxes a customer has, without this one, and their quotas in all."""
    if customer.max_mailboxes is None and customer.max_storage_bytes is None:
        return 0, 0
    living = Mailbox.objects.filter(domain__customer=customer, deleted_at=None, domain__deleted_at=None)
    if instead_of is not None:
        living = living.exclude(pk=instead_of.pk)
    found = living.aggregate(number=Count("pk"), given=Sum("quota_bytes"))
    return found["number"], found["given"] or 0
