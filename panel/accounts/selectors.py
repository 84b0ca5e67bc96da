"""Reads: who is who."""

from __future__ import annotations

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from panel.accounts.mailbox_owners import mailboxes
from panel.accounts.models import Customer, Membership, User
from panel.core.errors import Problem

_READ = tuple(Membership.Role)
_MANAGE = (Membership.Role.OWNER, Membership.Role.MANAGER)
_OWN = (Membership.Role.OWNER,)


def may_sign_in(person: User) -> bool:
    """Say whether a person may be in the panel: switched on, and not a member of suspended customers alone.

    The owner of a mailbox may as long as the mailbox may be signed in to.
    """
    if not person.is_active:
        return False
    if person.is_mailbox:
        return not mailboxes().refusal(person)
    if person.is_admin:
        return True
    return not person.standing or any(_counts(membership) for membership in person.standing)


def customers_read_by(person: User) -> QuerySet[Customer]:
    """Return the customers whose domains and mailboxes a person may see."""
    return _customers(person, _READ)


def customers_managed_by(person: User) -> QuerySet[Customer]:
    """Return the customers whose domains and mailboxes a person may change."""
    return _customers(person, _MANAGE)


def customers_owned_by(person: User) -> QuerySet[Customer]:
    """Return the customers whose people a person may invite and remove."""
    return _customers(person, _OWN)


def may_manage(person: User, customer: Customer) -> bool:
    """Say whether a person may change a customer's domains and mailboxes."""
    return customers_managed_by(person).filter(pk=customer.pk).exists()


def may_change_some(person: User) -> bool:
    """Say whether there is any customer whose domains and mailboxes a person may change."""
    if person.sees_all or person.acting_for:
        return True
    return any(_counts(membership) and membership.role in _MANAGE for membership in person.standing)


def own_customers(person: User) -> list[Customer]:
    """Return the customers that a person reads, for the navigation; none where they see all of them, or a mailbox."""
    if person.sees_all or person.is_mailbox:
        return []
    if person.acting_for:
        return [person.acting_for]
    return [membership.customer for membership in person.standing if _counts(membership)]


def suspended_customers_of(person: User) -> QuerySet[Customer]:
    """Return the suspended customers that a person belongs to: they see nothing of these, and are told why."""
    if person.is_admin:
        return Customer.objects.none()
    return Customer.objects.filter(memberships__user=person, suspended_at__isnull=False)


def may_own(person: User, customer: Customer) -> bool:
    """Say whether a person may invite and remove a customer's people."""
    return customers_owned_by(person).filter(pk=customer.pk).exists()


def _counts(membership: Membership) -> bool:
    """A suspended customer gives its members nothing."""
    return membership.customer.suspended_at is None


def _customers(person: User, roles: tuple[Membership.Role, ...]) -> QuerySet[Customer]:
    """A suspended customer is there for the host alone; whoever acts for one has its owner's rights."""
    if person.sees_all:
        return Customer.objects.all()
    if person.acting_for:
        return Customer.objects.filter(pk=person.acting_for.pk)
    memberships = Membership.objects.filter(user=person, role__in=roles)
    return Customer.objects.filter(pk__in=memberships.values("customer"), suspended_at=None)


def get_customer(name: str) -> Customer:
    """Return the customer of this name, whatever its letter case.

    Raises:
        Problem: if there is none.
    """
    customer = Customer.objects.filter(name__iexact=name.strip()).first() if "\x00" not in name else None
    if customer is None:
        raise Problem(_("There is no customer named %(name)s.") % {"name": repr(name[:100])}, "customer")
    return customer


def get_user(email: str) -> User:
    """Return the person with this e-mail.

    Raises:
        Problem: if there is none.
    """
    user = User.objects.filter(email=email.strip().lower()).first() if "\x00" not in email else None
    if user is None:
        raise Problem(_("There is nobody with the e-mail %(email)s.") % {"email": repr(email[:254])}, "email")
    return user
