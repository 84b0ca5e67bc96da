"""The home page, the health check and the mail service's page."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe
from django.views.decorators.vary import vary_on_headers

from mailbackend.config import ConfigError
from mailbackend.supervisor.control import ControlRefused, Status, SupervisorDown
from mailbackend.supervisor.watch import Seen
from panel.accounts.access import admin_of, open_to_owners, person_of
from panel.accounts.models import User
from panel.accounts.selectors import customers_read_by, suspended_customers_of
from panel.addresses import selectors
from panel.addresses.list_views import mailbox_list
from panel.addresses.models import Domain, Mailbox
from panel.core import jobs, mail
from panel.core.said import in_words
from panel.service import health, services
from panel.service import selectors as selectors_of_service
from panel.service.words import happened, is_bad, state_words, went_wrong

#: What can be asked for in each state.
VERBS = {
    "RUNNING": ("reload", "restart", "stop"),
    "STOPPED": ("start",),
    "BACKOFF": ("start", "stop"),
    "FATAL": ("start", "stop"),
    "STARTING": ("stop",),
}
#: States that pass by themselves: worth looking again after a second.
MOVING = ("STARTING", "STOPPING", "BACKOFF")

_ASKED = {
    "start": gettext_lazy("The mail service was asked to start. This page shows how it goes."),
    "stop": gettext_lazy("The mail service was asked to stop. This page shows how it goes."),
    "restart": gettext_lazy("The mail service was asked to restart. This page shows how it goes."),
    "reload": gettext_lazy(
        "The mail service was asked to read its configuration again. This page shows whether it took it."
    ),
}


@open_to_owners
@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:  # noqa: ARG001 - a view
    """Say which parts work: 200 when all do, else 503."""
    parts = health.parts()
    fine = all(state == health.OK for state in parts.values())
    return JsonResponse({"status": "ok" if fine else "failing", "parts": parts}, status=200 if fine else 503)


@open_to_owners
@login_required
@require_safe
@vary_on_headers("HX-Request")
def home(request: HttpRequest) -> HttpResponse:
    """What needs attention, and where to go from here; for a customer's people their mailboxes, for an owner theirs."""
    person = person_of(request)
    if person.is_mailbox:
        return redirect("show_mailbox", get_object_or_404(selectors.mailboxes_for(person)).pk)
    if not person.sees_all:
        return mailbox_list(request, _shut_out(person))
    domains = selectors.domains_for(person)
    mailboxes = selectors.mailboxes_for(person)
    counts = {
        "domains": selectors.domains_in_state(domains, "").count(),
        "mailboxes": selectors.in_state(mailboxes, "").count(),
        "suspended": selectors.in_state(mailboxes, Mailbox.State.SUSPENDED).count(),
    }
    status = _mail_status()
    badge, label, meaning = state_words(status.state) if status else ("failed", _("No answer"), "")
    context = {
        "counts": counts,
        "mail": status,
        "mail_state": {"badge": badge, "label": label, "meaning": meaning},
        "since": _time(status.since) if status else None,
        "attention": _attention(status, domains, mailboxes),
        "recent": selectors.in_state(mailboxes, "").order_by("-pk")[:5],
        "checklist": _checklist(counts),
        "may_change": True,
    }
    return render(request, "service/home.html", context)


@login_required
@require_safe
def show_service(request: HttpRequest) -> HttpResponse:
    """The mail service. Polled with `since`: 204 when nothing changed after it; `was` is the state shown then."""
    admin_of(request)
    now = timezone.now()
    service = selectors_of_service.read_service()
    cursor = service.fingerprint(now)
    if request.GET.get("since") == cursor:
        return HttpResponse(status=204)
    state = service.status.state if service.status else ""
    badge, label, meaning = state_words(state) if state else ("failed", _("No answer"), "")
    report = service.report
    context = {
        "service": service,
        "state": {"name": state, "badge": badge, "label": label, "meaning": meaning},
        "changed": request.GET.get("was", state) != state,
        "pace": 1 if state in MOVING else 3,
        "verbs": VERBS.get(state, ()),
        "since": _time(service.status.since) if service.status else None,
        "supervisor_since": _time(report.supervisor_since) if report else None,
        "certificate": selectors_of_service.served_certificate(service, now),
        "history": [
            {"at": _time(entry.at), "words": happened(entry), "bad": is_bad(entry)}
            for entry in report.history
        ]
        if report
        else [],
        "troubles": [_trouble(seen) for seen in report.troubles] if report else [],
        "cursor": cursor,
    }
    return render(request, "service/show_service.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def control_service(request: HttpRequest, verb: str) -> HttpResponse:
    """Ask whether to start, stop, restart or reload the mail service, then ask it to."""
    admin_of(request)
    if request.method == "POST":
        try:
            services.control(verb, wait=False)
        except (SupervisorDown, ControlRefused, ConfigError, OSError) as err:
            messages.error(request, in_words(str(err)))
        else:
            messages.success(request, _ASKED[verb])
        return redirect("show_service")
    service = selectors_of_service.read_service()
    return render(request, "service/control_service.html", {"verb": verb, "service": service})


def _trouble(seen: Seen) -> dict[str, Any]:
    what, advice = went_wrong(seen.trouble)
    return {
        "what": what,
        "advice": advice,
        "words": seen.trouble.message,
        "at": _time(seen.trouble.at),
        "first_at": _time(seen.first_at),
        "count": seen.count,
    }


def _time(text: str | None) -> datetime | None:
    try:
        return parse_datetime(text) if text else None
    except ValueError:
        return None


def _mail_status() -> Status | None:
    try:
        return mail.service_status()
    except (SupervisorDown, ControlRefused):
        return None


def _attention(status: Status | None, domains: Any, mailboxes: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = _service_troubles(status)
    found += [
        {
            "level": "error",
            "text": _("%(job)s failed: %(error)s") % {"job": jobs.kind_label(job.kind), "error": job.error},
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


def _shut_out(person: User) -> list[dict[str, Any]]:
    """Tell a person why they see nothing of a customer of theirs, or nothing at all."""
    found = []
    for customer in suspended_customers_of(person):
        text = _(
            "%(customer)s is suspended: its people see nothing of it here, and nobody can sign in to its mailboxes. "
            "Arriving mail is kept."
        )
        if customer.suspended_reason:
            text += " " + _("Reason: %(reason)s")
        given = {"customer": customer, "reason": customer.suspended_reason}
        found.append({"level": "warning", "text": text % given})
    if not found and not person.is_admin and not customers_read_by(person).exists():
        text = _("You belong to no customer at the moment. Ask whoever invited you, or your host.")
        found.append({"level": "info", "text": text})
    return found


def _service_troubles(status: Status | None) -> list[dict[str, Any]]:
    level, text = "error", ""
    if status is None:
        text = _("The mail service does not answer: nobody can read mail.")
    elif status.state not in ("RUNNING", "STARTING"):
        _badge, label, meaning = state_words(status.state)
        reason = in_words(status.error or "") or meaning
        text = _("Mail service: %(state)s. %(reason)s") % {"state": label, "reason": reason}
    elif status.error:
        level, text = "warning", in_words(status.error)
    if not text:
        return []
    url, action = reverse("show_service"), _("See the mail service")
    return [{"level": level, "text": text, "url": url, "action": action}]


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
