"""What needs the host's administrators, and what the people of suspended customers are told."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.core.cache import cache
from django.db.models import Exists, OuterRef
from django.urls import reverse
from django.utils.formats import date_format, number_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from panel.accounts.models import Customer, User
from panel.accounts.selectors import customers_read_by, suspended_customers_of
from panel.addresses import selectors
from panel.addresses.models import Domain, Mailbox
from panel.core import jobs, schedule
from panel.core.attention import Item, gravest_first
from panel.core.models import Job
from panel.core.said import in_words
from panel.core.sizes import format_size
from panel.core.tasks import WORKER_SEEN
from panel.retention import attention as of_retention
from panel.service.selectors import Served, Service, served_certificate
from panel.service.words import state_words

#: Failed jobs that are named.
JOBS_NAMED = 5
#: How long what a check of quotas found is told.
TOLD_FOR = timedelta(days=1)
#: A disk is told when so little of it is free: nearly full, and almost. Percent.
LITTLE, VERY_LITTLE = 10, 3


def for_admin(person: User, service: Service, now: datetime, *, second_factors: bool = True) -> list[Item]:
    """Return what needs an administrator, the gravest first.

    Args:
        person: who asks.
        service: the mail service as it is.
        now: this moment.
        second_factors: whether to tell who has none; it is told elsewhere on the page otherwise.
    """
    found = [
        *_mail_service(service),
        *_background(),
        *_certificate(served_certificate(service, now)),
        *_disks(),
        *_failed_jobs(),
        *_paused(),
        *of_retention.for_admins(),
        *_findings(),
        *_miscounted(now),
        *_half_created(person),
        *(_second_factors() if second_factors else ()),
        *_suspended(person),
    ]
    return gravest_first(found)


def of_shut_out(person: User) -> list[Item]:
    """Tell a person why they see nothing of a customer of theirs, or nothing at all."""
    found = []
    for customer in suspended_customers_of(person):
        text = _("%(customer)s is suspended. Arriving mail is kept.")
        if customer.suspended_reason:
            text += " " + _("Reason: %(reason)s")
        given = {"customer": customer, "reason": customer.suspended_reason}
        found.append(
            Item(
                level="warning",
                text=text % given,
                otherwise=_(
                    "Until your host resumes it, its people see nothing of it here, and nobody can sign in to its "
                    "mailboxes."
                ),
            )
        )
    if not found and not person.is_admin and not customers_read_by(person).exists():
        text = _("You belong to no customer at the moment. Ask whoever invited you, or your host.")
        found.append(Item(level="info", text=text))
    return found


def _mail_service(service: Service) -> Iterator[Item]:
    status = service.status
    level, text, then = (
        "error",
        "",
        _("Until it runs nobody can read mail, and arriving mail waits elsewhere."),
    )
    if status is None:
        text = _("The mail service does not answer: nobody can read mail.")
        then = _("Its mailboxes are safe on disk. It is started again by itself within seconds.")
    elif status.state not in ("RUNNING", "STARTING"):
        _badge, label, meaning = state_words(status.state)
        text = _("Mail service: %(state)s. %(reason)s") % {
            "state": label,
            "reason": in_words(status.error or "") or meaning,
        }
    elif status.error:
        level, text = "warning", in_words(status.error)
        then = _("Mail goes on for now, with the configuration from before.")
    if text:
        yield Item(level, text, then, reverse("show_service"), _("See the mail service"))


def _background() -> Iterator[Item]:
    if not cache.get(WORKER_SEEN):
        yield Item(
            level="warning",
            text=_("Background work stands still: no worker has been seen for a minute."),
            otherwise=_(
                "Mail flows, and what waits is not lost. But nothing is mailed, checked, renewed or removed until "
                "the worker and Redis run again: look into DATA_DIR/logs."
            ),
            url=reverse("list_jobs"),
            action=_("See the jobs"),
        )


def _certificate(served: Served | None) -> Iterator[Item]:
    if served is None:
        return
    words = {
        "date": date_format(localtime(served.expires), "DATE_FORMAT"),
        "host": settings.ENVIRONMENT.mail_host,
    }
    url, action = reverse("show_service"), _("See the certificate")
    by_itself = _("It should have been renewed by itself by now: look at the job that renews it.")
    by_you = _("Put the new one where TLS_CERTIFICATE and TLS_KEY say; it is read again within a day.")
    if served.state == "expired":
        text = (
            _("The certificate of the mail service ended on %(date)s: mail programs refuse it or warn.")
            % words
        )
        yield Item("error", text, by_itself if served.ours else by_you, url, action)
    elif served.state == "soon":
        text = _(
            "The certificate of the mail service ends on %(date)s. Then mail programs refuse it or warn."
        )
        yield Item("warning", text % words, by_itself if served.ours else by_you, url, action)
    if not served.fits:
        text = _(
            "The certificate of the mail service is not for %(host)s, the name that mail programs are told."
        )
        then = _(
            "They warn or refuse to connect, until the certificate bears this name or MAIL_HOST names another."
        )
        yield Item("error", text % words, then, url, action)


def _disks() -> Iterator[Item]:
    """Tell of the disk of the mail and of that of all else, each once."""
    told: set[int] = set()
    for folder in (settings.DATA_DIR.mail, settings.DATA_DIR.root):
        try:
            device, usage = folder.stat().st_dev, shutil.disk_usage(folder)
        except OSError:
            continue  # a missing mail root is what the mail service itself tells
        if device in told or not usage.total:
            continue
        told.add(device)
        free = usage.free * 100 / usage.total
        if free >= LITTLE:
            continue
        yield Item(
            level="error" if free < VERY_LITTLE else "warning",
            text=_("The disk of %(folder)s is nearly full: %(free)s (%(percent)s%%) are free.")
            % {"folder": folder, "free": format_size(usage.free), "percent": number_format(free, 1)},
            otherwise=_(
                "When it is full, new messages are refused for the time being and nothing can be changed here. "
                "Free some room, or give it a larger disk."
            ),
        )


def _failed_jobs() -> Iterator[Item]:
    for job in jobs.unresolved()[:JOBS_NAMED]:
        yield Item(
            level="error",
            text=_("%(job)s failed: %(error)s")
            % {"job": jobs.kind_label(job.kind), "error": in_words(job.error)},
            otherwise=_(
                "It was given up. What is done each night is tried again then; what was asked for once is not."
            ),
            url=reverse("show_job", args=[job.pk]),
            action=_("See the job"),
        )


def _paused() -> Iterator[Item]:
    paused = schedule.paused()
    if paused:
        first = schedule.entry_named(paused[0].name)
        yield Item(
            level="warning",
            text=ngettext(
                "%(count)s job of the schedule is paused: %(first)s.",
                "%(count)s jobs of the schedule are paused, %(first)s the longest.",
                len(paused),
            )
            % {"count": len(paused), "first": first.label if first else paused[0].name},
            otherwise=_("Until it is resumed, its work is not done."),
            url=reverse("list_scheduled_jobs"),
            action=_("See the schedule"),
        )


def _findings() -> Iterator[Item]:
    """Tell what the last check of the mail folders left unmended."""
    job = Job.objects.filter(kind="check_mail", state=Job.State.DONE).order_by("-pk").first()
    if job is None:
        return
    left = job.report.get("found", 0) - job.report.get("mended", 0)
    if left > 0:
        yield Item(
            level="warning",
            text=ngettext(
                "The last check of the mail folders left %(left)s problem.",
                "The last check of the mail folders left %(left)s problems.",
                left,
            )
            % {"left": left},
            otherwise=_(
                "What can be mended without loss is mended each night. The rest waits for your decision."
            ),
            url=reverse("show_job", args=[job.pk]),
            action=_("See what it found"),
        )


def _miscounted(now: datetime) -> Iterator[Item]:
    """Tell what the checks of quotas found lately, mended or not: only the one that found it says so."""
    lately = Job.objects.filter(kind="check_quotas", state=Job.State.DONE, changed_at__gte=now - TOLD_FOR)
    job = lately.filter(report__found__gt=0).order_by("-changed_at").first()
    if job is None:
        return
    left = job.report["found"] - job.report["mended"]
    yield Item(
        level="warning" if left else "info",
        text=ngettext(
            "A check of quotas found %(found)s problem.",
            "A check of quotas found %(found)s problems.",
            job.report["found"],
        )
        % {"found": job.report["found"]},
        otherwise=_("What mailboxes hold may be counted wrongly there, and mail be refused or taken by it.")
        if left
        else _("It is put right: Dovecot has counted anew. Find out what changes mail files without it."),
        url=reverse("show_job", args=[job.pk]),
        action=_("See what it found"),
    )


def _half_created(person: User) -> Iterator[Item]:
    number = selectors.in_state(selectors.mailboxes_for(person), Mailbox.State.CREATING).count()
    if number:
        yield Item(
            level="warning",
            text=ngettext(
                "%(count)s mailbox is only half created.",
                "%(count)s mailboxes are only half created.",
                number,
            )
            % {"count": number},
            otherwise=_(
                "A job completes it within a minute, or else the nightly check, or: manage.py checkmail --repair"
            ),
            url=f"{reverse('list_mailboxes')}?state={Mailbox.State.CREATING}",
            action=_("See which"),
        )


def _second_factors() -> Iterator[Item]:
    """Tell where passwords alone let somebody do everything."""
    second = Authenticator.objects.filter(user=OuterRef("pk")).exclude(type=Authenticator.Type.RECOVERY_CODES)
    admins = list(
        User.objects.filter(is_admin=True, is_active=True)
        .annotate(has_second=Exists(second))
        .values_list("has_second", flat=True)
    )
    without = admins.count(False)
    if not without:
        return
    if without == len(admins):
        text = _("No administrator has a second factor.")
    else:
        text = ngettext(
            "%(without)s of %(all)s administrators has no second factor.",
            "%(without)s of %(all)s administrators have no second factor.",
            without,
        ) % {"without": without, "all": len(admins)}
    yield Item(
        level="warning" if without == len(admins) else "info",
        text=text,
        otherwise=_(
            "Whoever finds out one password can then do everything here. An app or a passkey takes two minutes."
        ),
        url=reverse("show_account"),
        action=_("Your second factor"),
    )


def _suspended(person: User) -> Iterator[Item]:
    customers = Customer.objects.filter(suspended_at__isnull=False).count()
    kept = _("Nobody there can read mail until this is resumed. Arriving mail is kept, and takes room.")
    if customers:
        yield Item(
            level="info",
            text=ngettext("%(count)s customer is suspended.", "%(count)s customers are suspended.", customers)
            % {"count": customers},
            otherwise=kept,
            url=f"{reverse('list_customers')}?state={Customer.State.SUSPENDED}",
            action=_("See which"),
        )
    number = selectors.living_domains_for(person).filter(suspended_at__isnull=False).count()
    if number:
        yield Item(
            level="info",
            text=ngettext("%(count)s domain is suspended.", "%(count)s domains are suspended.", number)
            % {"count": number},
            otherwise=kept,
            url=f"{reverse('list_domains')}?state={Domain.State.SUSPENDED}",
            action=_("See which"),
        )
