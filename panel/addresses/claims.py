"""A customer's own way to a domain: it is claimed, proved by a record in its DNS, and then created as any other.

An unproved domain is no Domain: nothing is served under its name, and Dovecot does not know it.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from panel.accounts.limits import Busy, Turnstile
from panel.accounts.models import Customer, User
from panel.accounts.selectors import customers_read_by
from panel.addresses.limits import check_limits, locked_customer
from panel.addresses.models import Domain, DomainClaim
from panel.addresses.proof import Outcome, can_have_record, look_for
from panel.addresses.services import add_domain, clean_domain_name
from panel.core import audit
from panel.core.errors import Problem

#: Claims that a customer may have at a time, those included that are not looked for any more.
CLAIMS_MAX = 20
#: A claim is looked for at most once in this time, whoever asks.
AGAIN_AFTER = timedelta(seconds=10)
#: How often a claim is looked for by itself, by how old it is. The schedule looks each minute which are due.
WAITS = (
    (timedelta(hours=2), timedelta(minutes=5)),
    (timedelta(days=1), timedelta(minutes=15)),
    (timedelta.max, timedelta(hours=1)),
)
#: Claims that the job takes together, how many of them it asks about at once, and when it takes no more. Seconds.
TOGETHER, AT_ONCE, TIME_LIMIT = 50, 10, 200.0

#: An answer may take seconds, and a process has few threads for its pages: most of them stay free.
_asking = Turnstile(at_once=4, waiting=2, patience=2.0)


def claims_for(person: User) -> QuerySet[DomainClaim]:
    """Return the claims that a person may see, which know whether they are taken."""
    claims = DomainClaim.objects.select_related("customer").annotate(hosted=Exists(_hosted()))
    return claims if person.sees_all else claims.filter(customer__in=customers_read_by(person))


def due_claims(now: datetime) -> QuerySet[DomainClaim]:
    """Return the claims that are to be looked for at a moment, those that wait longest first."""
    return (
        DomainClaim.objects.select_related("customer")
        .filter(_not_asked_lately(now), next_at__lte=now, expires_at__gt=now, customer__suspended_at=None)
        .exclude(Exists(_hosted()))
        .order_by("next_at", "pk")
    )


def make_claim(*, customer: Customer, name: str) -> DomainClaim:
    """Claim a domain for a customer. A claim that it has already is returned, and begins anew if it was over.

    Args:
        customer: who wants it.
        name: as a person writes it.

    Raises:
        Problem: if it is no domain, is hosted here already, or the customer has no room for it, waits for too many
            already, or is suspended.
    """
    ascii_name = clean_domain_name(name)
    if not can_have_record(ascii_name):
        raise Problem(_("This name is too long to be proved by a record: ask your host to add it."), "name")
    with transaction.atomic():
        customer = _room_for_one(customer, ascii_name)
        own = DomainClaim.objects.filter(customer=customer)
        claim = own.filter(name=ascii_name).first()
        if claim is not None:
            _look_for_again(claim)
            return claim
        if own.count() >= CLAIMS_MAX:
            raise Problem(
                _("%(limit)s domains wait for their records already. Give up one that is not needed.")
                % {"limit": CLAIMS_MAX}
            )
        now = timezone.now()
        claim = DomainClaim.objects.create(
            customer=customer,
            name=ascii_name,
            expires_at=now + settings.DOMAIN_CLAIM_LIFE,
            next_at=now + WAITS[0][1],
        )
        audit.record(
            "domain_claim.made",
            target=claim,
            customer_id=customer.pk,
            after={"expires_at": claim.expires_at},
        )
        return claim


def renew_claim(*, claim: DomainClaim) -> None:
    """Look for the record of a claim again that is not looked for any more. The record stays what it was.

    Raises:
        Problem: as `make_claim` does, or if the claim is gone.
    """
    with transaction.atomic():
        _room_for_one(claim.customer, claim.name)
        _look_for_again(_locked(claim))


def cancel_claim(*, claim: DomainClaim) -> None:
    """Give up a claim.

    Raises:
        Problem: if it is gone.
    """
    with transaction.atomic():
        row = _locked(claim)
        audit.record("domain_claim.cancelled", target=row, customer_id=row.customer_id)
        row.delete()


def check_claim(*, claim: DomainClaim) -> Domain | Outcome:
    """Look for the record of a claim now, because a person wants to know.

    Args:
        claim: as `claims_for` gives it.

    Returns:
        the domain, if it is proved, or what came of asking.

    Raises:
        Problem: if it was looked for a moment ago or is not looked for any more, too many wait for an answer, or the
            domain is proved and cannot be added.
    """
    if claim.state == claim.State.TAKEN:
        raise _taken(claim.name)
    if claim.state == claim.State.EXPIRED:
        raise Problem(_("It is not looked for any more. Renew it first."))
    _check_active(claim.customer)
    try:
        with _asking.turn():
            if not _take(claim, timezone.now()):
                raise Problem(_("It was looked for a moment ago. Wait some seconds, then check again."))
            outcome = look_for(domain=claim.name, token=claim.token)
    except Busy as busy:
        raise Problem(_("Too many domains are looked for at this moment. Check again in a minute.")) from busy
    return settle(claim=claim, outcome=outcome) or outcome


def check_due() -> dict[str, int]:
    """Look for the records of all claims that are due, as far as time allows.

    Returns:
        how many were asked for, and how many domains were added.
    """
    ends = time.monotonic() + TIME_LIMIT
    asked = added = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while time.monotonic() < ends:
            claims = _take_due(timezone.now())
            if not claims:
                break
            # The threads know nothing of the database: a connection of their own would have to be closed.
            outcomes = pool.map(lambda claim: look_for(domain=claim.name, token=claim.token), claims)
            for claim, outcome in zip(claims, outcomes, strict=True):
                asked += 1
                added += _settled(claim, outcome)
    return {"asked": asked, "added": added}


def settle(*, claim: DomainClaim, outcome: Outcome) -> Domain | None:
    """Note what came of asking, and create the domain where the record is there.

    Returns:
        the domain, also where somebody else was quicker to add it for this customer, or None.

    Raises:
        Problem: if the record is there and the domain cannot be added.
    """
    try:
        if outcome == Outcome.FOUND:
            return _add(claim)
    finally:
        DomainClaim.objects.filter(pk=claim.pk).update(last_result=outcome)
    return None


def _hosted() -> QuerySet[Domain]:
    """Return the domain of a claim's name that is hosted here, for a query of claims."""
    return Domain.objects.filter(name=OuterRef("name"), deleted_at=None)


def _add(claim: DomainClaim) -> Domain:
    with transaction.atomic():
        # In this order everywhere: the customer, then its claim.
        customer = locked_customer(claim.customer)
        row = DomainClaim.objects.select_for_update().filter(pk=claim.pk).first()
        if row is None:
            domain = Domain.objects.filter(customer=customer, name=claim.name, deleted_at=None).first()
            if domain is None:
                raise _gone()
            return domain
        _check_active(customer)
        domain = add_domain(name=row.name, customer=customer)
        audit.record("domain_claim.proved", target=row, customer_id=customer.pk)
        row.delete()
        return domain


def _settled(claim: DomainClaim, outcome: Outcome) -> bool:
    """Whether a claim became a domain. Why not is seen on its page: it is taken, or has no room."""
    try:
        return settle(claim=claim, outcome=outcome) is not None
    except Problem:
        return False


def _take_due(now: datetime) -> list[DomainClaim]:
    """Return some claims that are due and that nobody else looks for."""
    return [claim for claim in due_claims(now)[:TOGETHER] if _take(claim, now)]


def _take(claim: DomainClaim, now: datetime) -> bool:
    """Note that a claim is looked for now, unless it was a moment ago. Returns whether it may be."""
    age = now - (claim.expires_at - settings.DOMAIN_CLAIM_LIFE)
    wait = next(wait for until, wait in WAITS if age < until)
    rows = DomainClaim.objects.filter(_not_asked_lately(now), pk=claim.pk)
    return rows.update(asked_at=now, next_at=now + wait) == 1


def _not_asked_lately(now: datetime) -> Q:
    return Q(asked_at=None) | Q(asked_at__lte=now - AGAIN_AFTER)


def _room_for_one(customer: Customer, name: str) -> Customer:
    """Return a customer, locked, that may have this domain too.

    Raises:
        Problem: if it may not.
    """
    customer = locked_customer(customer)
    _check_active(customer)
    found = Domain.objects.filter(name=name, deleted_at=None).first()
    if found is not None and found.customer_id == customer.pk:
        raise Problem(_("%(customer)s has this domain already.") % {"customer": customer}, "name")
    if found is not None:
        raise _taken(name)
    check_limits(customer, more_domains=1)
    return customer


def _look_for_again(claim: DomainClaim) -> None:
    """Let a claim that is over begin anew."""
    now = timezone.now()
    if claim.expires_at > now:
        return
    before = {"expires_at": claim.expires_at}
    claim.expires_at, claim.next_at = now + settings.DOMAIN_CLAIM_LIFE, now
    claim.save(update_fields=["expires_at", "next_at"])
    audit.record(
        "domain_claim.renewed",
        target=claim,
        customer_id=claim.customer_id,
        before=before,
        after={"expires_at": claim.expires_at},
    )


def _locked(claim: DomainClaim) -> DomainClaim:
    """Return a claim as it is now, locked until the transaction ends.

    Raises:
        Problem: if it is gone.
    """
    row = DomainClaim.objects.select_for_update().filter(pk=claim.pk).first()
    if row is None:
        raise _gone()
    return row


def _check_active(customer: Customer) -> None:
    if customer.suspended_at:
        raise Problem(_("%(customer)s is suspended: no domain can be added.") % {"customer": customer})


def _taken(name: str) -> Problem:
    return Problem(
        _("%(name)s is hosted here already. If it should be yours, ask your host.") % {"name": name}, "name"
    )


def _gone() -> Problem:
    return Problem(_("It does not wait any more: it was added or cancelled meanwhile."))
