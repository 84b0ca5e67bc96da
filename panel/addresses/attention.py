"""What needs attention: of a customer's people, and of a mailbox's owner. The number of questions is constant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Max, Q
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from panel.accounts.models import Customer, Invitation, User
from panel.accounts.selectors import customers_owned_by, own_customers
from panel.addresses import selectors
from panel.addresses.customers import usages_of
from panel.addresses.models import Domain, Mailbox, PasswordLink
from panel.core.attention import Item, gravest_first
from panel.core.sizes import format_size

#: A limit is told when so much of it is used. Percent.
NEARLY = 90
#: What was deleted is told when so little is left of the time in which it can be restored.
LAST_DAYS = timedelta(days=3)


def for_customers_people(person: User, now: datetime) -> list[Item]:
    """Return what needs the people of a customer, the gravest first."""
    if not own_customers(person):
        return []
    found = [
        *_full(person),
        *_limits(own_customers(person)),
        *_suspended(person),
        *_about_to_end(person, now),
        *_invitations(person, now),
    ]
    return gravest_first(found)


def for_owner(mailbox: Mailbox, used_bytes: int | None, now: datetime) -> list[Item]:
    """Return what needs the owner of a mailbox.

    Args:
        mailbox: theirs, which they may sign in to.
        used_bytes: what it holds, or None where that is not known.
        now: this moment.
    """
    return gravest_first([*_own_storage(mailbox, used_bytes), *_own_access(mailbox, now)])


def _full(person: User) -> Iterator[Item]:
    full = selectors.in_state(selectors.mailboxes_for(person), selectors.FULL)
    known = full.aggregate(most=Max("fullness"))["most"]
    if known is None:
        return
    number = full.count()
    yield Item(
        level="error" if known >= 100 else "warning",
        text=ngettext("%(number)s mailbox is almost full.", "%(number)s mailboxes are almost full.", number)
        % {"number": number},
        otherwise=_("A full mailbox refuses new messages: they go back to whoever sent them."),
        url=f"{reverse('list_mailboxes')}?state={selectors.FULL}&sort=-used_bytes",
        action=_("See which"),
    )


def _limits(customers: Sequence[Customer]) -> Iterator[Item]:
    limited = [
        each
        for each in customers
        if any(limit is not None for limit in (each.max_domains, each.max_mailboxes, each.max_storage_bytes))
    ]
    if not limited:
        return
    usages = usages_of(limited)
    for customer in limited:
        usage = usages[customer.pk]
        words = {"customer": customer}
        if _nearly(usage.mailboxes, customer.max_mailboxes):
            text = _("%(customer)s has %(used)s of the %(limit)s mailboxes that it may have.")
            then = _("With the last one used, no mailbox can be created or restored.")
            numbers = {"used": usage.mailboxes, "limit": customer.max_mailboxes}
            yield _limit(customer, text % {**words, **numbers}, then)
        if _nearly(usage.domains, customer.max_domains):
            text = _("%(customer)s has %(used)s of the %(limit)s domains that it may have.")
            then = _("With the last one used, no domain can be added or restored.")
            numbers = {"used": usage.domains, "limit": customer.max_domains}
            yield _limit(customer, text % {**words, **numbers}, then)
        if customer.max_storage_bytes is not None and _nearly(usage.given_bytes, customer.max_storage_bytes):
            text = _("%(customer)s has given its mailboxes %(used)s of the %(limit)s that it may give.")
            then = _("With all of it given, no mailbox can be created, and no quota raised.")
            sizes = {
                "used": format_size(usage.given_bytes),
                "limit": format_size(customer.max_storage_bytes),
            }
            yield _limit(customer, text % {**words, **sizes}, then)


def _nearly(used: int, limit: int | None) -> bool:
    return limit is not None and used > 0 and used * 100 >= limit * NEARLY


def _limit(customer: Customer, text: str, then: str) -> Item:
    url = reverse("show_customer", args=[customer.pk])
    return Item(level="info", text=text, otherwise=then, url=url, action=_("See the limits"))


def _suspended(person: User) -> Iterator[Item]:
    number = selectors.in_state(selectors.mailboxes_for(person), Mailbox.State.SUSPENDED).count()
    if number:
        yield Item(
            level="info",
            text=ngettext("%(number)s mailbox is suspended.", "%(number)s mailboxes are suspended.", number)
            % {"number": number},
            otherwise=_("Nobody can read a suspended mailbox until it is resumed. Arriving mail is kept."),
            url=f"{reverse('list_mailboxes')}?state={Mailbox.State.SUSPENDED}",
            action=_("See which"),
        )


def _about_to_end(person: User, now: datetime) -> Iterator[Item]:
    ends = now - settings.DELETION_WINDOW + LAST_DAYS
    domains = Domain.objects.filter(deleted_at__lte=ends).order_by()
    soon = Q(deleted_at__lte=ends) | Q(domain__in=domains)
    number = selectors.mailboxes_for(person).filter(soon, purging_at=None).count()
    if number:
        yield Item(
            level="warning",
            text=ngettext(
                "%(number)s deleted mailbox can be restored for a short time only.",
                "%(number)s deleted mailboxes can be restored for a short time only.",
                number,
            )
            % {"number": number},
            otherwise=_("Within 3 days they are removed for good, with all their mail."),
            url=f"{reverse('list_mailboxes')}?state={Mailbox.State.DELETED}",
            action=_("See which"),
        )


def _invitations(person: User, now: datetime) -> Iterator[Item]:
    """Told to those who may send them again or withdraw them."""
    rows = Invitation.objects.filter(customer__in=customers_owned_by(person), accepted_at=None)
    waiting = list(rows.order_by("expires_at").values_list("customer", "expires_at")[:100])
    if not waiting:
        return
    customer, first_ends = waiting[0]
    if first_ends <= now:
        then = _("The link of at least one has run out: send it again, or withdraw it.")
    else:
        then = _("The first link works until %(date)s, and must be sent again after that.") % {
            "date": _day(first_ends)
        }
    yield Item(
        level="info",
        text=ngettext(
            "%(number)s invitation waits for an answer.",
            "%(number)s invitations wait for an answer.",
            len(waiting),
        )
        % {"number": len(waiting)},
        otherwise=then,
        url=reverse("list_members", args=[customer]),
        action=_("See the people"),
    )


def _own_storage(mailbox: Mailbox, used_bytes: int | None) -> Iterator[Item]:
    used = mailbox.used_bytes if used_bytes is None else used_bytes
    if used is None or not mailbox.quota_bytes:
        return
    percent = used * 100 // mailbox.quota_bytes
    help_yourself = _(
        "In your mail program, delete large messages and empty the Trash; or ask whoever gave you this mailbox "
        "for more room."
    )
    if percent >= 100:
        yield Item(
            level="error",
            text=f"{_('Your mailbox is full.')} {help_yourself}",
            otherwise=_("Until then new messages are refused: they go back to whoever sent them."),
        )
    elif percent >= selectors.ALMOST_FULL:
        yield Item(
            level="warning",
            text=f"{_('Your mailbox is almost full.')} {help_yourself}",
            otherwise=_("Once it is full, new messages are refused: they go back to whoever sent them."),
        )


def _own_access(mailbox: Mailbox, now: datetime) -> Iterator[Item]:
    if not mailbox.protocols:
        yield Item(
            level="warning",
            text=_("IMAP and POP are both switched off: no mail program can read this mailbox."),
            otherwise=_("Arriving mail is kept. Whoever gave you this mailbox can switch them on."),
        )
    links = PasswordLink.objects.filter(mailbox=mailbox, used_at=None, expires_at__gt=now)
    ends = links.aggregate(last=Max("expires_at"))["last"]
    if ends:
        yield Item(
            level="info",
            text=_(
                "Whoever looks after this mailbox made a link by which a new password can be chosen, until %(date)s. "
                "If you did not ask for it, ask them."
            )
            % {"date": _day(ends)},
            otherwise=_("Choosing a password yourself makes the link useless at once."),
            url=reverse("change_own_mailbox_password"),
            action=_("Change password"),
        )


def _day(at: datetime) -> str:
    return date_format(localtime(at), "DATETIME_FORMAT")
