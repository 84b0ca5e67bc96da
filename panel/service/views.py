"""The health check and the mail service's page."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from mailbackend.config import ConfigError
from mailbackend.supervisor.control import ControlRefused, SupervisorDown
from mailbackend.supervisor.watch import Seen
from panel.accounts.access import admin_of, open_to_owners
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
