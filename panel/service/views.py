"""The home page and the health check."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from mailbackend.supervisor.control import ControlRefused, Status, SupervisorDown
from panel.accounts.models import User
from panel.addresses import selectors
from panel.addresses.models import Domain, Mailbox
from panel.core import jobs, mail
from panel.service import health


@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:  # noqa: ARG001 - a view
    """Say which parts work: 200 when all do, else 503."""
    parts = health.parts()
    fine = all(state == health.OK for state in parts.values())
    return JsonResponse({"status": "ok" if fine else "failing", "parts": parts}, status=200 if fine else 503)


@login_required
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """What needs attention, and where to go from here."""
    person = request.user
    assert isinstance(person, User)
    domains = selectors.domains_for(person)
    mailboxes = selectors.mailboxes_for(person)
    counts = {
        "domains": selectors.domains_in_state(domains, "").count(),
        "mailboxes": selectors.in_state(mailboxes, "").count(),
        "suspended": selectors.in_state(mailboxes, Mailbox.State.SUSPENDED).count(),
    }
    status = _mail_status() if person.is_admin else None
    context = {
        "counts": counts,
        "mail": status,
        "since": parse_datetime(status.since) if status and status.since else None,
        "attention": _attention(person, status, domains, mailboxes),
        "recent": selectors.in_state(mailboxes, "").order_by("-pk")[:5],
        "checklist": _checklist(counts) if person.is_admin else [],
    }
    return render(request, "service/home.html", context)


def _mail_status() -> Status | None:
    try:
        return mail.service_status()
    except (SupervisorDown, ControlRefused):
        return None


def _attention(person: User, status: Status | None, domains: Any, mailboxes: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if person.is_admin:
        found += _service_troubles(status)
        found += [
            {
                "level": "error",
                "text": _("%(job)s failed: %(error)s")
                % {"job": jobs.kind_label(job.kind), "error": job.error},
                "url": reverse("show_job", args=[job.pk]),
                "action": _("See the job"),
            }
            for job in jobs.unresolved()[:5]
        ]
    unfinished = selectors.in_state(mailboxes, Mailbox.State.CREATING).count()
    if unfinished:
        found.append(
            {
                "level": "warning",
                "text": ngettext(
                    "%(count)s mailbox was left half-created. The nightly check completes it, or run: "
                    "manage.py checkmail --repair",
                    "%(count)s mailboxes were left half-created. The nightly check completes them, or run: "
                    "manage.py checkmail --repair",
                    unfinished,
                )
                % {"count": unfinished},
                "url": f"{reverse('list_mailboxes')}?state=creating",
                "action": _("See which"),
            }
        )
    suspended = selectors.domains_in_state(domains, Domain.State.SUSPENDED).count()
    if suspended:
        found.append(
            {
                "level": "info",
                "text": ngettext(
                    "%(count)s domain is suspended.", "%(count)s domains are suspended.", suspended
                )
                % {"count": suspended},
                "url": f"{reverse('list_domains')}?state=suspended",
                "action": _("See which"),
            }
        )
    return found


def _service_troubles(status: Status | None) -> list[dict[str, Any]]:
    if status is None:
        text = _("The mail service does not answer: nobody can read mail. Its log is DATA_DIR/logs/mail.log.")
        return [{"level": "error", "text": text, "url": "", "action": ""}]
    if status.state != "RUNNING":
        text = _("The mail service is %(state)s: %(error)s") % {
            "state": status.state,
            "error": status.error or "-",
        }
        return [{"level": "error", "text": text, "url": "", "action": ""}]
    if status.error:
        return [{"level": "warning", "text": status.error, "url": "", "action": ""}]
    return []


def _checklist(counts: dict[str, int]) -> list[dict[str, Any]]:
    steps = [
        {"done": True, "text": _("Choose your own password"), "url": ""},
        {"done": counts["domains"] > 0, "text": _("Add your first domain"), "url": reverse("create_domain")},
        {
            "done": counts["mailboxes"] > 0,
            "text": _("Create your first mailbox"),
            "url": reverse("create_mailbox"),
        },
    ]
    return [] if all(step["done"] for step in steps) else steps
