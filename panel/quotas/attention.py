"""What needs attention: mailboxes that will be full soon, and those that crossed a line.

Those that are almost full are told by panel.addresses.attention, and not here too.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from panel.accounts.models import User
from panel.accounts.selectors import own_customers
from panel.addresses.models import Mailbox
from panel.addresses.selectors import ALMOST_FULL, in_state, mailboxes_for
from panel.core.attention import Item
from panel.quotas.models import QuotaWarning


def for_customers_people(person: User) -> Iterator[Item]:
    """Return what needs the people of a customer."""
    customers = own_customers(person)
    if not customers:
        return
    # Asked of those that crossed a line, which are few, and not of all that a person may see.
    mailboxes = in_state(mailboxes_for(person), "").exclude(fullness__gte=ALMOST_FULL)
    soon = mailboxes.filter(_told(QuotaWarning.Kind.SOON)).count()
    crossed = mailboxes.filter(_told(QuotaWarning.Kind.PERCENT)).exclude(_told(QuotaWarning.Kind.SOON))
    if len(customers) == 1:
        url = reverse("customer_storage", args=[customers[0].pk])
    else:
        url = f"{reverse('list_mailboxes')}?sort=-used_bytes"
    if soon:
        text = ngettext(
            "%(number)s mailbox will be full within %(days)s days at its pace.",
            "%(number)s mailboxes will be full within %(days)s days at their pace.",
            soon,
        ) % {"number": soon, "days": settings.FULL_WITHIN_DAYS}
        then = _("A full mailbox refuses new messages: they go back to whoever sent them.")
        yield Item(level="warning", text=text, otherwise=then, url=url, action=_("See which"))
    yield from _crossed(crossed, url)


def soon_full(mailbox: Mailbox) -> QuotaWarning | None:
    """Return the warning that a mailbox will soon be full, where nothing graver is to be said of it."""
    if mailbox.fullness is None or mailbox.fullness >= ALMOST_FULL:
        return None
    return mailbox.quota_warnings.filter(kind=QuotaWarning.Kind.SOON, over_at=None).first()


def _crossed(mailboxes: QuerySet[Mailbox], url: str) -> Iterator[Item]:
    number, line = mailboxes.count(), min(settings.QUOTA_WARNINGS)
    if number:
        text = ngettext(
            "%(number)s mailbox is more than %(percent)s%% full.",
            "%(number)s mailboxes are more than %(percent)s%% full.",
            number,
        ) % {"number": number, "percent": line}
        yield Item(level="info", text=text, url=url, action=_("See which"))


def _told(kind: QuotaWarning.Kind) -> Q:
    return Q(Exists(QuotaWarning.objects.filter(mailbox=OuterRef("pk"), kind=kind, over_at=None)))
