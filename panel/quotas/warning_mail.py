"""Telling that mailboxes fill up: their owners by a message in the inbox, their customers' people by mail.

The message is put into the inbox without asking the quota: over LMTP a full mailbox would refuse the very message that
says so.
"""

from __future__ import annotations

import smtplib
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from mailbackend import maildir
from panel.accounts.mails import public_url, send_to
from panel.accounts.models import Customer, Membership, User
from panel.accounts.selectors import may_sign_in
from panel.addresses.models import Mailbox
from panel.addresses.welcome import service_message
from panel.core import jobs, mail
from panel.core.errors import Problem
from panel.core.sizes import format_size
from panel.quotas.models import QuotaWarning
from panel.quotas.warnings import worst_of

#: Mailboxes that a mail to a customer names; the page it leads to has all.
NAMED = 50
#: A job that was telling a customer's people for so long has died: longer than one may take.
CLAIMED_FOR = timedelta(hours=3)
#: Who of a customer is told.
_ROLES = (Membership.Role.OWNER, Membership.Role.MANAGER)
#: Failures that are named in one sentence.
_FAILURES_NAMED = 3

_TO_TELL = QuotaWarning.objects.filter(over_at=None)


def tell(now: datetime) -> dict[str, int]:
    """Tell owners and customers what they were not told yet, each once, however many jobs do it at once.

    Returns:
        how many owners and how many people of customers were told.

    Raises:
        Problem: if some could not be told: the others were. The next run tries those again.
    """
    failed: list[str] = []
    told = {"owners": _tell_owners(now, failed), "people": _tell_customers(now, failed)}
    if failed:
        named = " ".join(failed[:_FAILURES_NAMED])
        raise Problem(
            _("%(number)s warnings could not be delivered, and are tried again. %(named)s")
            % {"number": len(failed), "named": named}
        )
    return told


# -- owners: a message in the inbox ---------------------------------------------------------------------------------


def _tell_owners(now: datetime, failed: list[str]) -> int:
    mail.check_mail_root()
    told, last = 0, 0
    while True:
        rows = _TO_TELL.filter(owner_told_at=None, mailbox__gt=last).order_by("mailbox")
        pk = rows.values_list("mailbox", flat=True).first()
        if pk is None:
            return told
        last = pk
        try:
            told += _tell_owner(pk, now)
        except OSError as err:
            failed.append(str(err))
        jobs.note_progress({"owners": told})


def _tell_owner(mailbox_id: int, now: datetime) -> bool:
    """Deliver what is to be told of a mailbox, as one message. Whoever does the same at once waits for its end."""
    with transaction.atomic():
        mailbox = (
            Mailbox.objects.select_for_update(of=("self",))
            .select_related("domain__customer", "user")
            .filter(pk=mailbox_id, deleted_at=None, domain__deleted_at=None, provisioned_at__isnull=False)
            .first()
        )
        rows = list(_TO_TELL.filter(owner_told_at=None, mailbox=mailbox_id))
        if mailbox is None or not rows:
            return False
        row = worst_of(rows)
        _TO_TELL.filter(pk__in=[each.pk for each in rows]).update(owner_told_at=now)
        with translation.override(_language_of(mailbox)):
            message = warning_message(mailbox, row)
        name = f"{int(row.crossed_at.timestamp())}.Quota{row.pk}"
        # Within the transaction: where the disk refuses, it is still to be told. Where the row cannot be saved after
        # that, the name keeps the same message from being put there twice.
        return maildir.put_message(
            settings.DATA_DIR.mail, mailbox.home_path, mailbox.home_token, message, name=name
        )


def warning_message(mailbox: Mailbox, row: QuotaWarning) -> bytes:
    """Return the message that tells a mailbox's owner, in the language that is active."""
    context = {
        "mailbox": mailbox,
        "used": row.used_bytes,
        "quota": row.quota_bytes,
        "percent": row.percent,
        "is_full": row.percent >= 100,
        "full_on": row.full_on,
        "link": public_url(reverse("mailbox_storage", args=[mailbox.pk])),
    }
    return service_message(mailbox, _subject(row), render_to_string("quotas/warning.txt", context))


def _subject(row: QuotaWarning) -> str:
    if row.kind == QuotaWarning.Kind.SOON:
        return _("Your mailbox will soon be full")
    if row.percent >= 100:
        return _("Your mailbox is full")
    return _("Your mailbox is %(percent)s%% full") % {"percent": row.percent}


def _language_of(mailbox: Mailbox) -> str:
    """Return the language of a mailbox's owner, or else that of whoever owns its customer."""
    if mailbox.user is not None and mailbox.user.language:
        return mailbox.user.language
    owners = User.objects.filter(
        memberships__customer=mailbox.domain.customer, memberships__role=Membership.Role.OWNER
    )
    chosen = owners.exclude(language="").order_by("pk").values_list("language", flat=True).first()
    return chosen or settings.LANGUAGE_CODE


# -- customers: one mail for all that is new --------------------------------------------------------------------------


def _tell_customers(now: datetime, failed: list[str]) -> int:
    told = 0
    waiting = _unclaimed().order_by("mailbox__domain__customer")
    customers = waiting.values_list("mailbox__domain__customer", flat=True).distinct()
    for customer in Customer.objects.filter(pk__in=list(customers)).order_by("pk"):
        rows = _claim(customer)
        if rows:
            told += _tell_customer(customer, rows, now, failed)
    return told


def _unclaimed() -> QuerySet[QuotaWarning]:
    """Return what customers are to be told and nobody is telling."""
    free = Q(customer_claimed_at=None) | Q(customer_claimed_at__lt=timezone.now() - CLAIMED_FOR)
    return _TO_TELL.filter(free, customer_told_at=None)


def _claim(customer: Customer) -> list[QuotaWarning]:
    """Take what a customer is to be told: a mail server takes its time, in which no transaction may be open."""
    with transaction.atomic():
        rows = list(
            _unclaimed()
            .filter(mailbox__domain__customer=customer)
            .select_for_update(of=("self",))
            .select_related("mailbox__domain")
            .order_by("mailbox__address", "mailbox")
        )
        QuotaWarning.objects.filter(pk__in=_keys(rows)).update(customer_claimed_at=timezone.now())
    return rows


def _tell_customer(customer: Customer, rows: Sequence[QuotaWarning], now: datetime, failed: list[str]) -> int:
    """Mail a customer's people what was taken. Where nobody could be reached it is to be told again."""
    told, trouble = 0, []
    for person in _people_of(customer):
        try:
            _mail_person(person, customer, rows)
        except (OSError, smtplib.SMTPException) as err:
            trouble.append(f"{person.email}: {err}")
        else:
            told += 1
    failed.extend(trouble)
    reached = told or not trouble
    QuotaWarning.objects.filter(pk__in=_keys(rows)).update(
        customer_claimed_at=None, customer_told_at=now if reached else None
    )
    return told


def _people_of(customer: Customer) -> Iterator[User]:
    """Yield whom to mail. Where the host sends no mail, nobody: their home page tells them."""
    if not settings.ENVIRONMENT.email_url:
        return
    members = customer.memberships.filter(role__in=_ROLES, user__kind=User.Kind.PERSON).select_related("user")
    for membership in members.order_by("user__email"):
        if customer.suspended_at is None and may_sign_in(membership.user):
            yield membership.user


def _mail_person(person: User, customer: Customer, rows: Sequence[QuotaWarning]) -> None:
    """Mail one person what became of mailboxes.

    Raises:
        OSError, smtplib.SMTPException: if the mail server does not take it.
    """
    with translation.override(person.language or settings.LANGUAGE_CODE):
        by_mailbox = [
            worst_of(list(some)) for _mailbox, some in groupby(rows, key=lambda row: row.mailbox_id)
        ]
        context = {
            "customer": customer,
            "total": len(by_mailbox),
            "lines": [_line(row) for row in by_mailbox[:NAMED]],
            "more": max(len(by_mailbox) - NAMED, 0),
            "link": public_url(reverse("customer_storage", args=[customer.pk])),
        }
        subject = _("Mailboxes of %(customer)s are filling up") % {"customer": customer}
        send_to(person, subject, "quotas/digest.txt", context)


def _line(row: QuotaWarning) -> str:
    words = {
        "address": row.mailbox.display_address,
        "percent": row.percent,
        "used": format_size(row.used_bytes),
        "quota": format_size(row.quota_bytes),
    }
    if row.full_on is not None:
        date = date_format(row.full_on, "DATE_FORMAT")
        return _("%(address)s: %(used)s of %(quota)s, full on about %(date)s at this pace") % {
            **words,
            "date": date,
        }
    if row.percent >= 100:
        return _("%(address)s: full, %(used)s of %(quota)s") % words
    return _("%(address)s: more than %(percent)s%% full, %(used)s of %(quota)s") % words


def _keys(rows: Sequence[QuotaWarning]) -> list[int]:
    return [row.pk for row in rows]
