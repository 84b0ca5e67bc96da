"""What pages of storage show: of a mailbox, of a customer, and of the platform."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from django.conf import settings
from django.db.models import BigIntegerField, F, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Coalesce

from mailbackend import maildir
from mailbackend.dovecot.doveadm import DoveadmError, FolderUse
from panel.accounts.models import Customer
from panel.addresses.models import Mailbox
from panel.core import mail
from panel.quotas import chart, forecast, history
from panel.quotas.chart import Chart
from panel.quotas.forecast import Outlook
from panel.quotas.models import UsageSample

#: Folders that are listed; the others are summed up.
FOLDERS_SHOWN = 12
#: Seconds to wait for what the folders hold, less than a page waits (htmx-config in base.html): folders that nobody
#: opened for long take a while, and are known the next time.
WAIT = 8.0
#: Mailboxes that a list of the fullest or of the fastest growing has.
MAILBOXES_SHOWN = 10
#: Growth is told over so many days.
GROWN_IN = 30


@dataclass(frozen=True)
class Storage:
    """What a mailbox holds, held, and is to be expected to hold.

    Attributes:
        used_bytes: at this moment, or None where that is not known.
        quota_bytes: its limit; None for none.
        outlook: what is to be expected.
        chart: of the last days; None where less than two are known.
        known_days: how many days are known.
        expected: the outlook in words, as the end of a sentence; empty where there is none.
        pace: how fast it grows, in a sentence; empty where that is not known.
    """

    used_bytes: int | None
    quota_bytes: int | None
    outlook: Outlook
    chart: Chart | None
    known_days: int
    expected: str
    pace: str

    @property
    def is_full(self) -> bool:
        """Whether nothing fits in any more."""
        return self.outlook.state is forecast.State.FULL


@dataclass(frozen=True)
class Folder:
    """What a folder holds: bytes, messages, since when its oldest message is in it, and its part of all in percent."""

    name: str
    messages: int
    used_bytes: int
    oldest: datetime | None
    share: int


@dataclass(frozen=True)
class Folders:
    """What the folders of a mailbox hold, the largest first.

    Attributes:
        shown: the largest.
        others: how many more there are, and what they hold together.
        removed_messages, removed_bytes: what can be recovered, which the quota does not count.
    """

    shown: list[Folder] = field(default_factory=list)
    others: int = 0
    others_bytes: int = 0
    removed_messages: int = 0
    removed_bytes: int = 0


@dataclass(frozen=True)
class Totals:
    """What mailboxes hold together.

    Attributes:
        mailboxes: how many there are.
        used_bytes: what they hold.
        given_bytes: their quotas together.
        used_of_given_bytes: what those hold that have a quota.
        limit_bytes: what may be given; None for no limit.
        unlimited: how many have no quota.
        chart: of the last days.
        pace: in words.
    """

    mailboxes: int
    used_bytes: int
    given_bytes: int
    used_of_given_bytes: int
    limit_bytes: int | None
    unlimited: int
    chart: Chart | None
    pace: str


def storage_of(mailbox: Mailbox, used_bytes: int | None, now: datetime) -> Storage:
    """Return what there is to be said of a mailbox.

    Args:
        mailbox: which.
        used_bytes: what it holds at this moment, None where that could not be asked; then the last figure counts.
        now: this moment.
    """
    today = history.day_of(now)
    used = mailbox.used_bytes if used_bytes is None else used_bytes
    rows = history.history_of(mailbox, _first(today))
    daily = history.filled(history.with_now(rows, today, used), today)
    found = forecast.outlook([held.used_bytes for held in daily], mailbox.quota_bytes, today)
    return Storage(
        used_bytes=used,
        quota_bytes=mailbox.quota_bytes,
        outlook=found,
        chart=chart.drawn(daily, id="chart", limit=mailbox.quota_bytes),
        known_days=len(daily),
        expected=forecast.in_words(found),
        pace=forecast.pace_in_words(found.pace),
    )


def folders_of(mailbox: Mailbox) -> Folders:
    """Return what the folders of a mailbox hold, asked of Dovecot: two questions, however much there is in them.

    Raises:
        DoveadmError: if the mail service does not answer, or refuses.
    """
    api = mail.doveadm(timeout=WAIT)
    uses = sorted(api.folder_uses(mailbox.address), key=lambda use: (-use.used_bytes, use.name))
    oldest = api.oldest_saved(mailbox.address)
    whole = sum(use.used_bytes for use in uses)
    shown = [use for use in uses if use.messages][:FOLDERS_SHOWN]
    rest = uses[len(shown) :]
    removed = None
    if maildir.has_removed_mail(settings.DATA_DIR.mail, mailbox.home_path):
        removed = api.recoverable(mailbox.address)
    return Folders(
        shown=[_folder(use, oldest.get(use.name), whole) for use in shown],
        others=sum(use.messages > 0 for use in rest),
        others_bytes=sum(use.used_bytes for use in rest),
        removed_messages=removed.messages if removed else 0,
        removed_bytes=removed.used_bytes if removed else 0,
    )


def _folder(use: FolderUse, oldest: datetime | None, whole: int) -> Folder:
    share = use.used_bytes * 100 // whole if whole else 0
    return Folder(use.name, use.messages, use.used_bytes, oldest, share)


def folders_or_none(mailbox: Mailbox) -> Folders | None:
    """Return the same, or None where the mail service does not say."""
    try:
        return folders_of(mailbox)
    except DoveadmError:
        return None


def totals_of(customer: Customer | None, now: datetime) -> Totals:
    """Return what the mailboxes of a customer hold together, or those of the platform for None."""
    today = history.day_of(now)
    rows = living(customer).order_by()
    sums = rows.aggregate(
        used=Sum("used_bytes"),
        given=Sum("quota_bytes"),
        of_given=Sum("used_bytes", filter=Q(quota_bytes__isnull=False)),
    )
    number = rows.count()
    used: int = sums["used"] or 0
    held = history.with_now(history.history_of_total(customer, _first(today)), today, used)
    daily = history.filled(held, today)
    return Totals(
        mailboxes=number,
        used_bytes=used,
        given_bytes=sums["given"] or 0,
        used_of_given_bytes=sums["of_given"] or 0,
        limit_bytes=customer.max_storage_bytes if customer else None,
        unlimited=rows.filter(quota_bytes=None).count(),
        chart=chart.drawn(daily, id="chart"),
        pace=forecast.pace_in_words(forecast.pace_of([each.used_bytes for each in daily])),
    )


def living(customer: Customer | None) -> QuerySet[Mailbox]:
    """Return the mailboxes of a customer that are not deleted, or those of the platform for None."""
    rows = Mailbox.objects.select_related("domain__customer").filter(deleted_at=None, domain__deleted_at=None)
    return rows if customer is None else rows.filter(domain__customer=customer)


def fullest(customer: Customer | None) -> Sequence[Mailbox]:
    """Return the fullest mailboxes, the fullest first; those without a limit are none of them."""
    return list(living(customer).filter(fullness__gt=0).order_by("-fullness", "pk")[:MAILBOXES_SHOWN])


def fastest_growing(customer: Customer | None, today: date) -> Sequence[Mailbox]:
    """Return the mailboxes that grew most lately, each with `grown` in bytes, the fastest first.

    One that is not known for as long grew from what was first known of it.
    """
    # Only those that changed lately are asked for what they held before: there are far fewer of them.
    begin = today - timedelta(days=GROWN_IN)
    lately = UsageSample.objects.filter(day__gt=begin).order_by().values("mailbox")
    rows = living(customer).filter(pk__in=lately).annotate(grown=growth(today))
    return list(rows.filter(grown__gt=0).order_by("-grown", "pk")[:MAILBOXES_SHOWN])


def growth(today: date) -> CombinedExpression:
    """Return by how many bytes mailboxes grew lately, for an annotation: NULL where nothing was noted of one."""
    samples = UsageSample.objects.filter(mailbox=OuterRef("pk"))
    begin = today - timedelta(days=GROWN_IN)
    before = Coalesce(
        Subquery(samples.filter(day__lte=begin).order_by("-day").values("used_bytes")[:1]),
        Subquery(samples.order_by("day").values("used_bytes")[:1]),
        output_field=BigIntegerField(),
    )
    return F("used_bytes") - before


def _first(today: date) -> date:
    """Return the first day that charts show."""
    return today - timedelta(days=chart.DAYS - 1)
