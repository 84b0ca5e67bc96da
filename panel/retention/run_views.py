"""Pages of the runs of the rules: what each counted and purged, live while it runs; going on, and cancelling."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.db.models import Case, QuerySet, When
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from panel.accounts.access import admin_of
from panel.core.forms import VersionedForm
from panel.core.pages import ask_first, page_of, press_button
from panel.core.views import admins_only
from panel.retention import due, runs
from panel.retention.models import PurgeItem, PurgeRun
from panel.retention.rules import folder_name

#: The colour of a state's badge.
_BADGES = {
    PurgeRun.State.COUNTING: "running",
    PurgeRun.State.COUNTED: "waiting",
    PurgeRun.State.PURGING: "running",
    PurgeRun.State.STOPPED: "failed",
    PurgeRun.State.DONE: "done",
    PurgeRun.State.CANCELLED: "deleted",
}
#: The states of items in the order in which they are listed.
_FIRST = (PurgeItem.State.FAILED, PurgeItem.State.LEFT, PurgeItem.State.WAITING)
_ITEM_BADGES = {
    PurgeItem.State.WAITING: "waiting",
    PurgeItem.State.DONE: "done",
    PurgeItem.State.FAILED: "failed",
    PurgeItem.State.LEFT: "suspended",
}


@login_required
@require_safe
def list_purge_runs(request: HttpRequest) -> HttpResponse:
    """All runs, the newest first. It keeps itself up to date."""
    admins_only(request)
    rows = PurgeRun.objects.select_related("change__customer", "change__domain", "change__mailbox__domain")
    page = page_of(request, rows)
    for run in page.object_list:
        _describe(run)
    return render(request, "retention/list_runs.html", {"page_obj": page})


@login_required
@require_safe
def show_purge_run(request: HttpRequest, pk: int) -> HttpResponse:
    """One run: what it counted, what it purged, what failed."""
    admins_only(request)
    run = get_object_or_404(PurgeRun.objects.select_related("change", "allowed_by"), pk=pk)
    _describe(run)
    state = request.GET.get("state", "")
    page = page_of(request, _items(run, state))
    for item in page.object_list:
        labelled: Any = item
        labelled.folder_label = folder_name(item.folder) if item.folder else ""
        labelled.badge = _ITEM_BADGES[PurgeItem.State(item.state)]
    total = due.mailboxes_below(run.change.level if run.change else None).count() if run.is_counting else 0
    context = {
        "run": run,
        "page_obj": page,
        "total": max(total, run.looked_at),
        "states": PurgeItem.State.choices,
        "state": state,
        "left_over": run.items.filter(state=PurgeItem.State.LEFT).count(),
    }
    return render(request, "retention/show_run.html", context)


@login_required
@require_POST
def allow_purge_run(request: HttpRequest, pk: int) -> HttpResponse:
    """Let a run go on that stopped to ask."""
    person = admin_of(request)
    run = get_object_or_404(PurgeRun, pk=pk)
    return press_button(
        request, lambda: runs.allow(run, by=person), _("The purge goes on."), "show_purge_run", pk
    )


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def cancel_purge_run(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask whether to cancel a run, then cancel it."""
    admin_of(request)
    run = get_object_or_404(PurgeRun, pk=pk)
    return ask_first(
        request,
        VersionedForm(request.POST or None),
        lambda: runs.cancel_by_hand(run),
        _("The purge is cancelled. What it had purged can be recovered."),
        "retention/cancel_run.html",
        {"run": run},
        "show_purge_run",
        pk,
    )


def _items(run: PurgeRun, state: str) -> QuerySet[PurgeItem]:
    items = run.items.select_related("mailbox__domain")
    if state in PurgeItem.State.values:
        return items.filter(state=state).order_by("mailbox__address", "folder")
    # What needs somebody first, then what goes on, then the rest.
    first = Case(*(When(state=name, then=place) for place, name in enumerate(_FIRST)), default=len(_FIRST))
    return items.order_by(first, "mailbox__address", "folder")


def _describe(run: PurgeRun) -> None:
    """Add what the templates show of a run: what it is about, its state, and what came of it in a line."""
    labelled: Any = run
    labelled.badge = _BADGES[PurgeRun.State(run.state)]
    labelled.title = _title(run)
    labelled.summary = _summary(run)


def _title(run: PurgeRun) -> str:
    if run.change is None:
        nightly = run.kind == PurgeRun.Kind.NIGHTLY
        return _("All rules, each night") if nightly else _("All rules, asked for")
    level = run.change.level
    whose = _("platform") if level is None else getattr(level, "unicode_name", str(level))
    return _("%(folder)s of %(whose)s") % {"folder": folder_name(run.change.folder), "whose": whose}


def _summary(run: PurgeRun) -> str:
    if run.state in (PurgeRun.State.COUNTING, PurgeRun.State.COUNTED):
        said = ngettext("%(count)s message is due.", "%(count)s messages are due.", run.messages)
        return said % {"count": run.messages}
    said = ngettext(
        "%(purged)s of %(count)s message purged.", "%(purged)s of %(count)s messages purged.", run.messages
    )
    return said % {"purged": run.purged_messages, "count": run.messages}
