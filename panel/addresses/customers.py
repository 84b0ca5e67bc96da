"""Customers and what they have: usage against limits, suspension with its mail sessions, deletion once empty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _

from panel.accounts import customers
from panel.accounts.models import Customer
from panel.addresses.models import Domain, Mailbox
from panel.addresses.sessions import end_sessions_of_customer
from panel.core.errors import Problem

#: How many domains a refusal names.
NAMED_IN_MESSAGE = 5


@dataclass(frozen=True)
class Usage:
    """What a customer has of what it may have.

    Attributes:
        domains, mailboxes: how many live.
        given_bytes: the quotas of its mailboxes in all.
        unlimited: how many mailboxes have no quota.
    """

    domains: int
    mailboxes: int
    given_bytes: int
    unlimited: int


def usage_of(customer: Customer) -> Usage:
    """Return what a customer has."""
    living = Mailbox.objects.filter(domain__customer=customer, deleted_at=None, domain__deleted_at=None)
    found = living.aggregate(number=Count("pk"), limited=Count("quota_bytes"), given=Sum("quota_bytes"))
    return Usage(
        domains=Domain.objects.filter(customer=customer, deleted_at=None).count(),
        mailboxes=found["number"],
        given_bytes=found["given"] or 0,
        unlimited=found["number"] - found["limited"],
    )


def usages_of(several: Sequence[Customer]) -> dict[int, Usage]:
    """Return what each of several customers has, by its id, in two queries."""
    living = Mailbox.objects.filter(domain__customer__in=several, deleted_at=None, domain__deleted_at=None)
    of_mailboxes = {
        row["domain__customer"]: row
        for row in living.order_by()
        .values("domain__customer")
        .annotate(number=Count("pk"), limited=Count("quota_bytes"), given=Sum("quota_bytes"))
    }
    rows = Domain.objects.filter(customer__in=several, deleted_at=None).order_by()
    of_domains = dict(rows.values_list("customer").annotate(number=Count("pk")))
    found = {}
    for customer in several:
        row = of_mailboxes.get(customer.pk, {"number": 0, "limited": 0, "given": 0})
        found[customer.pk] = Usage(
            domains=of_domains.get(customer.pk, 0),
            mailboxes=row["number"],
            given_bytes=row["given"] or 0,
            unlimited=row["number"] - row["limited"],
        )
    return found


def with_numbers(rows: QuerySet[Customer]) -> QuerySet[Customer]:
    """Return customers with `domain_count` and `mailbox_count`, each counted by itself."""
    domains = Domain.objects.filter(customer=OuterRef("pk"), deleted_at=None)
    mailboxes = Mailbox.objects.filter(
        domain__customer=OuterRef("pk"), deleted_at=None, domain__deleted_at=None
    )
    return rows.annotate(
        domain_count=_count(domains, "customer"), mailbox_count=_count(mailboxes, "domain__customer")
    )


def search_customers(rows: QuerySet[Customer], text: str) -> QuerySet[Customer]:
    """Return the customers whose name holds `text`, or which have a member whose e-mail does."""
    text = text.replace("\x00", "").strip()[:254]
    if not text:
        return rows
    by_member = Customer.objects.filter(members__email__icontains=text).values("pk")
    return rows.filter(name__icontains=text) | rows.filter(pk__in=by_member)


def suspend_customer(*, customer: Customer, reason: str = "") -> None:
    """Shut a customer's people out of the panel, and all its mailboxes' owners out of mail. Mail still arrives.

    Args:
        customer: which.
        reason: in a line; its people are told.

    Raises:
        Problem: if the reason is too long.
    """
    with transaction.atomic():
        customers.mark_suspended(customer=customer, reason=reason)
        end_sessions_of_customer(customer)


def delete_customer(*, customer: Customer) -> None:
    """Delete a customer that has no domain any more, not even a deleted one that could be restored.

    Raises:
        Problem: naming what is in the way.
    """
    with transaction.atomic():
        Customer.objects.select_for_update().filter(pk=customer.pk).first()
        problem = in_the_way(customer)
        if problem:
            raise Problem(problem)
        customers.delete_customer(customer=customer)


def in_the_way(customer: Customer) -> str:
    """Return what keeps a customer from being deleted, in words, or an empty string."""
    domains = Domain.objects.filter(customer=customer).order_by("name")
    living = [domain.unicode_name for domain in domains.filter(deleted_at=None)[: NAMED_IN_MESSAGE + 1]]
    if living:
        named = ", ".join(living[:NAMED_IN_MESSAGE]) + ("…" if len(living) > NAMED_IN_MESSAGE else "")
        return _("It still has domains: %(domains)s. Delete them, or give them to another customer.") % {
            "domains": named
        }
    held = Mailbox.objects.filter(domain__in=domains, held_at__isnull=False).order_by("address").first()
    if held is not None:
        return _(
            "The deleted mailbox %(address)s is under a legal hold: it, and its customer, stay until it is released."
        ) % {"address": held.address}
    if domains.exists():
        return _(
            "Its deleted domains can still be restored. The customer can be deleted once they are removed for good."
        )
    return ""


def _count(rows: QuerySet[Domain] | QuerySet[Mailbox], group: str) -> Coalesce:
    counted = rows.order_by().values(group).annotate(number=Count("pk")).values("number")
    return Coalesce(Subquery(counted, output_field=IntegerField()), 0)
