"""Pages of jobs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_safe

from panel.core import jobs
from panel.core.models import Job
from panel.core.said import in_words

PAGE_SIZE = 50


@login_required
@require_safe
def list_jobs(request: HttpRequest) -> HttpResponse:
    """What ran, runs and waits. Polled with `since`: 204 when nothing changed after it."""
    admins_only(request)
    rows = jobs.shown()
    latest = rows.aggregate(at=Max("changed_at"))["at"]
    since = _since(request)
    if since is not None and (latest is None or latest <= since):
        return HttpResponse(status=204)
    page = Paginator(rows, PAGE_SIZE).get_page(request.GET.get("page"))
    for job in page.object_list:
        _describe(job)
    cursor = latest.isoformat() if latest else ""
    template = "core/_jobs.html" if since is not None else "core/list_jobs.html"
    return render(request, template, {"page_obj": page, "cursor": cursor})


@login_required
@require_safe
def show_job(request: HttpRequest, pk: int) -> HttpResponse:
    """One job and what came of it."""
    admins_only(request)
    job = get_object_or_404(Job, pk=pk)
    _describe(job)
    problems = job.report.get("failures", [])
    report = [
        {"label": _report_label(name), "value": value, "size": value if name == "bytes" else None}
        for name, value in job.report.items()
        if not isinstance(value, list | dict)
    ]
    return render(request, "core/show_job.html", {"job": job, "report": report, "problems": problems})


def _report_label(name: str) -> str:
    labels = {
        "mailboxes": _("Mailboxes"),
        "messages": _("Messages"),
        "bytes": _("Size"),
        "renewed": _("Renewed"),
        "expires": _("Valid until"),
        "ended": _("Sessions ended"),
        "completed": _("Mailboxes completed"),
        "asked": _("Domains looked for"),
        "added": _("Of these added"),
        "thorough": _("Of these gone through folder by folder"),
        "found": _("Problems found"),
        "mended": _("Of these mended"),
        "connections": _("Connections"),
        "hours": _("Counts of an hour"),
        "gaps": _("Gaps in the log"),
        "restored": _("Messages recovered"),
    }
    return labels.get(name, name)


def _describe(job: Job) -> None:
    """Add what the templates show of a job: its kind in words, and its outcome in a line."""
    labelled: Any = job
    labelled.kind_label = jobs.kind_label(job.kind)
    labelled.state_label = job.get_state_display()
    labelled.summary = outcome(job)


def outcome(job: Job) -> str:
    """Return what came of a job in a line: its error, or what it looked at and found; empty where nothing says it."""
    if job.error:
        return in_words(job.error)
    failures = job.report.get("failures")
    if failures is None:
        return ""
    count, found = job.report.get("mailboxes", 0), job.report.get("found", len(failures))
    return _("%(mailboxes)s, %(problems)s") % {
        "mailboxes": ngettext("%(count)s mailbox", "%(count)s mailboxes", count) % {"count": count},
        "problems": ngettext("%(count)s problem", "%(count)s problems", found) % {"count": found},
    }


def admins_only(request: HttpRequest) -> None:
    """Stop whoever is no administrator, or acts for a customer at the moment.

    Raises:
        PermissionDenied: if they are not.
    """
    if not getattr(request.user, "sees_all", False):
        raise PermissionDenied


def _since(request: HttpRequest) -> datetime | None:
    try:
        since = parse_datetime(request.GET.get("since", ""))
    except ValueError:
        return None
    # The cursor that the page has bears its zone; a time without one can be compared with nothing.
    return since if since is not None and since.tzinfo is not None else None
