"""Reads, each for the person who asks: what they may not see does not exist for them."""

from __future__ import annotations

from django.db.models import Count, Q, QuerySet
from django.utils.translation import gettext as _

from mailbackend.addresses import AddressError, normalise_domain, parse_address
from panel.accounts.models import User
from panel.accounts.selectors import customers_managed_by, customers_read_by
from panel.addresses.models import DevicePassword, Domain, Mailbox
from panel.core.errors import Problem

#: A mailbox is almost full from here on. Percent.
ALMOST_FULL = 95
#: How lists ask for those: beside Mailbox.State, because it is none.
FULL = "full"
#: What lists call the mailboxes under a legal hold.
HELD = "held"


def domains_for(person: User) -> QuerySet[Domain]:
    """Return the domains that a person may see, deleted ones included, with `mailbox_count`."""
    domains = Domain.objects.select_related("customer").annotate(
        mailbox_count=Count("mailboxes", filter=Q(mailboxes__deleted_at=None))
    )
    return domains if person.sees_all else domains.filter(customer__in=customers_read_by(person))


def living_domains_for(person: User) -> QuerySet[Domain]:
    """Return the domains that a person may see and that are not deleted, by name, without counting mailboxes."""
    domains = Domain.objects.filter(deleted_at=None).order_by("name")
    return domains if person.sees_all else domains.filter(customer__in=customers_read_by(person))


def domains_managed_by(person: User) -> QuerySet[Domain]:
    """Return the domains whose mailboxes a person may change, deleted ones included."""
    domains = Domain.objects.select_related("customer")
    return domains if person.sees_all else domains.filter(customer__in=customers_managed_by(person))


def domain_to_create_on(person: User, name: str) -> Domain | None:
    """Return the living domain of this name that a person may change, else the first that they may, if any."""
    domains = domains_in_state(domains_managed_by(person), "")
    return domains.filter(name=name.replace("\x00", "")).first() or domains.first()


def mailboxes_for(person: User) -> QuerySet[Mailbox]:
    """Return the mailboxes that a person may see, deleted ones included; the owner of one sees that one."""
    mailboxes = Mailbox.objects.select_related("domain__customer")
    if person.is_mailbox:
        return mailboxes.filter(user=person)
    if person.sees_all:
        return mailboxes
    return mailboxes.filter(domain__in=Domain.objects.filter(customer__in=customers_read_by(person)))


def living_mailboxes() -> QuerySet[Mailbox]:
    """Return the mailboxes that have an inbox, with what they inherit from. Suspended ones are among them."""
    there = Mailbox.objects.filter(
        provisioned_at__isnull=False, deleted_at=None, domain__deleted_at=None, purging_at=None
    )
    return there.select_related("domain__customer")


def devices_for(person: User, mailbox: Mailbox) -> QuerySet[DevicePassword]:
    """Return the device passwords of a mailbox that a person may see, revoked ones included."""
    devices = DevicePassword.objects.select_related("mailbox__domain__customer", "created_by")
    return devices.filter(mailbox__in=mailboxes_for(person).filter(pk=mailbox.pk))


def get_device(mailbox: Mailbox, label: str) -> DevicePassword:
    """Return the device password of this name that is not revoked, for a command.

    Raises:
        Problem: if there is none.
    """
    rows = DevicePassword.objects.select_related("mailbox__domain__customer").filter(revoked_at=None)
    device = rows.filter(mailbox=mailbox, label=label.replace("\x00", "")).first()
    if device is None:
        raise Problem(
            _("%(address)s has no device password of this name.") % {"address": mailbox.address}, "label"
        )
    return device


def in_state(mailboxes: QuerySet[Mailbox], state: str) -> QuerySet[Mailbox]:
    """Return the mailboxes in a state of Mailbox.State, the almost FULL, those HELD, or all but the deleted.

    Domains are asked for apart and not joined: there are few that are suspended or deleted, and mailboxes are then
    read by their own indexes, however many there are.
    """
    domains = Domain.objects.order_by()
    deleted = Q(deleted_at__isnull=False) | Q(domain__in=domains.filter(deleted_at__isnull=False))
    suspended = Q(suspended_at__isnull=False) | Q(
        domain__in=domains.filter(Q(suspended_at__isnull=False) | Q(customer__suspended_at__isnull=False))
    )
    if state == Mailbox.State.DELETED:
        return mailboxes.filter(deleted)
    living = mailboxes.filter(deleted_at=None).exclude(domain__in=domains.filter(deleted_at__isnull=False))
    if state == Mailbox.State.SUSPENDED:
        return living.filter(suspended, provisioned_at__isnull=False)
    if state == Mailbox.State.ACTIVE:
        return living.filter(provisioned_at__isnull=False).exclude(suspended)
    if state == Mailbox.State.CREATING:
        return living.filter(provisioned_at=None)
    if state == HELD:
        return living.filter(held_at__isnull=False)
    if state == FULL:
        return living.filter(fullness__gte=ALMOST_FULL)
    return living


def domains_in_state(domains: QuerySet[Domain], state: str) -> QuerySet[Domain]:
    """Return the domains in a state of Domain.State, or all that are not deleted for an empty one."""
    if state == Domain.State.DELETED:
        return domains.filter(deleted_at__isnull=False)
    living = domains.filter(deleted_at=None)
    suspended = Q(suspended_at__isnull=False) | Q(customer__suspended_at__isnull=False)
    if state == Domain.State.SUSPENDED:
        return living.filter(suspended)
    if state == Domain.State.ACTIVE:
        return living.exclude(suspended)
    return living


def search_mailboxes(mailboxes: QuerySet[Mailbox], text: str) -> QuerySet[Mailbox]:
    """Return the mailboxes whose address or name holds `text`, as typed: domains in either form."""
    text = _searchable(text)
    if not text:
        return mailboxes
    found = Q(address__contains=text.lower()) | Q(display_name__icontains=text)
    local_part, _at, domain = text.rpartition("@")
    ascii_domain = _ascii_domain(domain)
    ending = f"{local_part.lower()}@{ascii_domain}"
    # Asked of the address and not of its domain: no row beside the index is read then, and no other table.
    if ascii_domain and text.lower() not in ending:
        found |= Q(address__endswith=ending)
    return mailboxes.filter(found)


def search_domains(domains: QuerySet[Domain], text: str) -> QuerySet[Domain]:
    """Return the domains whose name or customer holds `text`."""
    text = _searchable(text)
    if not text:
        return domains
    return domains.filter(
        Q(name__contains=text.lower()) | Q(name=_ascii_domain(text)) | Q(customer__name__icontains=text)
    )


def get_domain(name: str) -> Domain:
    """Return the domain of this name, for a command.

    Raises:
        AddressError: if it is no domain.
        Problem: if it is not hosted here.
    """
    ascii_name = normalise_domain(name)
    domain = Domain.objects.select_related("customer").filter(name=ascii_name, deleted_at=None).first()
    if domain is None:
        raise Problem(_("The domain %(name)s is not hosted here.") % {"name": ascii_name}, "domain")
    return domain


def get_mailbox(address: str) -> Mailbox:
    """Return the mailbox with this address, for a command.

    Raises:
        AddressError: if it is no address.
        Problem: if there is none.
    """
    parsed = parse_address(address)
    mailbox = (
        Mailbox.objects.select_related("domain__customer")
        .filter(address=str(parsed), deleted_at=None, domain__deleted_at=None)
        .first()
    )
    if mailbox is None:
        raise Problem(_("There is no mailbox %(address)s.") % {"address": parsed}, "address")
    return mailbox


def _searchable(text: str) -> str:
    return text.replace("\x00", "").strip()[:254]


def _ascii_domain(text: str) -> str:
    try:
        return normalise_domain(text)
    except AddressError:
        return ""
