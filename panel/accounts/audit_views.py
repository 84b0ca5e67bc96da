"""The audit trail's page, and its export."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import UTC, date
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils.dateparse import parse_date
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from panel.accounts.access import person_of
from panel.accounts.audit_selectors import Filters, all_pages, entries_for, filtered, page_before
from panel.accounts.models import Customer
from panel.core import jobs
from panel.core.audit import action_choices, action_label
from panel.core.audit_values import changes_in_words
from panel.core.models import AuditEntry

#: The largest id that both databases take.
_LARGEST = 2**63 - 1
COLUMNS = (
    "id", "at", "action", "who", "kind", "on_behalf_of", "from", "target_kind", "target", "before", "after",
)  # fmt: skip


@login_required
@require_safe
def list_audit(request: HttpRequest) -> HttpResponse:
    """What was changed, newest first."""
    person = person_of(request)
    filters = _filters(request)
    entries, older = page_before(filtered(entries_for(person), filters), _number(request, "before"))
    customers = Customer.objects.in_bulk({entry.customer_id for entry in entries if entry.customer_id})
    context = {
        "entries": [_described(entry, customers) for entry in entries],
        "older": older,
        "newest": "before" not in request.GET,
        "filters": filters,
        "actions": action_choices(),
        "filtered": filters != Filters(),
        "about": entries[0].target if entries and filters.target_id is not None else "",
    }
    return render(request, "accounts/list_audit.html", context)


@login_required
@require_safe
def export_audit(request: HttpRequest) -> StreamingHttpResponse:
    """The same as a CSV file (RFC 4180), read and sent in pieces."""
    entries = filtered(entries_for(person_of(request)), _filters(request))
    return StreamingHttpResponse(
        _lines(all_pages(entries)),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="audit.csv"'},
    )


class _Echo:
    def write(self, text: str) -> str:
        return text


def _lines(entries: Iterator[AuditEntry]) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield writer.writerow(COLUMNS)
    for entry in entries:
        row = (
            entry.pk,
            entry.at.astimezone(UTC).isoformat(),
            entry.action,
            entry.actor,
            entry.actor_kind,
            entry.on_behalf_of,
            entry.remote_ip or "",
            entry.target_kind,
            entry.target,
            json.dumps(entry.before, ensure_ascii=False) if entry.before else "",
            json.dumps(entry.after, ensure_ascii=False) if entry.after else "",
        )
        yield writer.writerow([_harmless(value) for value in row])


def _harmless(value: object) -> object:
    """Keep a spreadsheet from taking a name for a formula."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return value


def _filters(request: HttpRequest) -> Filters:
    return Filters(
        action=_text(request, "action")[:60],
        person=_text(request, "person"),
        target=_text(request, "target"),
        kind=_text(request, "kind")[:30],
        target_id=_number(request, "id"),
        since=_day(request, "since"),
        until=_day(request, "until"),
    )


def _text(request: HttpRequest, name: str) -> str:
    return request.GET.get(name, "").replace("\x00", "").strip()[:254]


def _number(request: HttpRequest, name: str) -> int | None:
    text = request.GET.get(name, "")
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None
    return number if number is not None and number <= _LARGEST else None


def _day(request: HttpRequest, name: str) -> date | None:
    try:
        day = parse_date(request.GET.get(name, "").strip())
    except ValueError:
        return None
    # The ends of the calendar have no day beside them, in no time zone.
    return day if day and 1900 <= day.year <= 9000 else None


def _described(entry: AuditEntry, customers: dict[int, Customer]) -> dict[str, Any]:
    """Return an entry as people read it."""
    return {
        "row": entry,
        "action": action_label(entry.action),
        "who": _who(entry),
        "customer": customers.get(entry.customer_id or 0),
        "changes": changes_in_words(entry),
    }


def _who(entry: AuditEntry) -> str:
    if entry.actor_kind == "command":
        return _("The command %(name)s") % {"name": entry.actor}
    if entry.actor_kind == "job":
        return _("By itself: %(job)s") % {"job": jobs.kind_label(entry.actor)}
    return entry.actor or _("Somebody who was not signed in")
