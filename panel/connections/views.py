"""Pages of the connection log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext, ngettext, pgettext
from django.views.decorators.http import require_safe

from panel.accounts.access import person_of
from panel.accounts.models import Customer, User
from panel.addresses.models import DevicePassword, Mailbox
from panel.addresses.selectors import domains_for, mailboxes_for
from panel.connections.export import client_of, csv_lines, json_lines
from panel.connections.filters import Filters, read_filters
from panel.connections.histogram import histogram_of_log
from panel.connections.listed import (
    address_url,
    column_labels,
    ip_url,
    listed,
    marks,
    state_of,
)
from panel.connections.models import Connection
from panel.connections.names import harmless
from panel.connections.networks import parse_ip
from panel.connections.planning import Plan, all_rows, page_of_plan, parse_key, plan_for
from panel.connections.selectors import connections_for
from panel.connections.summaries import summary_of
from panel.connections.words import duration_in_words
from panel.core.models import Installation

#: Customers that one may choose from; with more of them the customer's page leads here.
CUSTOMERS_NAMED = 200


@login_required
@require_safe
def list_connections(request: HttpRequest) -> HttpResponse:
    """Who came, and who was refused, newest first. Polled with `was`: 204 while the newest page is still the same."""
    person = person_of(request)
    filters = read_filters(request.GET, person)
    plan = plan_for(person, filters)
    if "was" in request.GET:
        return _what_is_new(request, plan)
    context = {
        **_page(request, plan),
        **_choices(person, filters),
        "histogram": histogram_of_log(person, filters, timezone.now()),
        "kept_days": _kept_days(),
    }
    return render(request, "connections/list_connections.html", context)


@login_required
@require_safe
def show_connection_ip(request: HttpRequest, ip: str) -> HttpResponse:
    """What came from one IP address: in sum, and all of it."""
    try:
        address = str(parse_ip(ip))
    except ValueError as err:
        raise Http404 from err
    if address != ip:
        return redirect(ip_url(address))
    return _about(request, {"ip": address}, "address", {})


@login_required
@require_safe
def show_connection_address(request: HttpRequest) -> HttpResponse:
    """What was done with one address: in sum, and all of it."""
    filters = read_filters(request.GET, person_of(request))
    if not filters.address:
        return redirect("list_connections")
    mailbox = mailboxes_for(person_of(request)).filter(address=filters.address, deleted_at=None).first()
    return _about(request, {"address": filters.address}, "remote_ip", {"mailbox": mailbox})


@login_required
@require_safe
def show_connection(request: HttpRequest, pk: int) -> HttpResponse:
    """Everything that is known of one session, or of one refusal."""
    person = person_of(request)
    row = get_object_or_404(connections_for(person).select_related("device"), pk=pk)
    state, outcome, reason = state_of(row)
    context = {
        "row": row,
        "state": state,
        "outcome": outcome,
        "reason": reason,
        "lasted": duration_in_words(row.started_at, row.ended_at) if row.ended_at else "",
        "client": client_of(row),
        "address_url": address_url(row.address),
        "ip_url": ip_url(row.remote_ip),
        "mailbox": _mailbox(person, row),
        "domain": domains_for(person).filter(pk=row.domain_id).first() if row.domain_id else None,
        "customer": _customer(person, row),
        "protocol": Connection.Protocol(row.protocol).label
        if row.protocol in Connection.Protocol.values
        else "",
    }
    return render(request, "connections/show_connection.html", context)


@login_required
@require_safe
def export_csv(request: HttpRequest) -> StreamingHttpResponse:
    """The rows that fit as a CSV file (RFC 4180), read and sent in pieces."""
    return _file(csv_lines(all_rows(_plan(request))), "text/csv; charset=utf-8", "connections.csv")


@login_required
@require_safe
def export_json(request: HttpRequest) -> StreamingHttpResponse:
    """The same as one JSON document."""
    return _file(json_lines(all_rows(_plan(request))), "application/json", "connections.json")


def _plan(request: HttpRequest) -> Plan:
    person = person_of(request)
    return plan_for(person, read_filters(request.GET, person))


def _file(lines: Iterator[str], content_type: str, name: str) -> StreamingHttpResponse:
    return StreamingHttpResponse(
        lines,
        content_type=content_type,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _about(
    request: HttpRequest, fixed: Mapping[str, str], other: str, context: dict[str, Any]
) -> HttpResponse:
    """Answer with the page of one IP address, or of one address."""
    person = person_of(request)
    filters = read_filters({**request.GET.dict(), **fixed}, person)
    plan = plan_for(person, filters)
    if "was" in request.GET:
        return _what_is_new(request, plan)
    context = {
        **context,
        **_page(request, plan),
        **_choices(person, filters),
        "fixed": {**fixed},
        "ip": fixed.get("ip", ""),
        "about": next(iter(fixed.values())),
        "summary": summary_of(plan, other) if plan.network is None else None,
        "filtered": len(filters.typed) > len(fixed),
        "kept_days": _kept_days(),
    }
    return render(request, "connections/about_connections.html", context)


def _page(request: HttpRequest, plan: Plan) -> dict[str, Any]:
    """Return what the list of a page shows. Only its newest page goes on by itself."""
    before = parse_key(request.GET.get("before", ""))
    found = page_of_plan(plan, before)
    latest = max((row.pk for row in found.rows), default=0)
    return {
        "columns": column_labels().values(),
        "shown": listed(found, newest=before is None),
        "found": found,
        "older": str(found.older or ""),
        "newest": before is None,
        "cursor": f"{latest}-{_mark(found.rows)}",
        "path": request.path,
    }


def _what_is_new(request: HttpRequest, plan: Plan) -> HttpResponse:
    """Answer with the list as it is now, or with nothing (204) while it is as it `was`."""
    was = request.GET.get("was", "")[:100]
    context = _page(request, plan)
    if context["cursor"] == was:
        return HttpResponse(status=204)
    latest, _sep, _mark = was.partition("-")
    if latest.isascii() and latest.isdigit() and len(latest) < 20:
        new = sum(1 for row in context["found"].rows if row.pk > int(latest))
        if new:
            context["told"] = ngettext("%(count)s new connection", "%(count)s new connections", new) % {
                "count": new
            }
    return render(request, "connections/_connections.html", context)


def _mark(rows: list[Connection]) -> str:
    """Return a short text that differs when anything of a page does."""
    return sha256(" ".join(marks(rows)).encode()).hexdigest()[:16]


def _choices(person: User, filters: Filters) -> dict[str, Any]:
    """Return what the fields of the search show."""
    customers: list[tuple[str, str]] = []
    if person.sees_all:
        rows = Customer.objects.order_by("name").values_list("pk", "name")[:CUSTOMERS_NAMED]
        customers = [(str(pk), name) for pk, name in rows]
        if filters.customer is not None and str(filters.customer) not in dict(customers):
            customers.append((str(filters.customer), Customer.objects.get(pk=filters.customer).name))
    typed = filters.typed
    return {
        "filters": filters,
        "typed": typed,
        "problems": filters.problems,
        "filtered": bool(typed),
        "more_typed": any(
            name in typed
            for name in ("domain", "reason", "customer", "protocol", "device", "open", "since", "until")
        ),
        "customers": customers,
        "protocols": Connection.Protocol.choices,
        "outcomes": Connection.Outcome.choices,
        "reasons": [*Connection.Refusal.choices, *Connection.End.choices],
        "devices": _devices(person, filters),
        "opens": [("1", pgettext("connection", "Open now"))],
    }


def _devices(person: User, filters: Filters) -> list[tuple[str, str]]:
    """Return the kinds of passwords, and the device password that is looked for if the person may see it."""
    found = [("main", gettext("The mailbox's own")), ("device", gettext("A device password"))]
    if filters.device_pk is not None:
        rows = DevicePassword.objects.filter(mailbox__in=mailboxes_for(person).order_by())
        label = rows.filter(pk=filters.device_pk).values_list("label", flat=True).first()
        found.append(
            (str(filters.device_pk), harmless(label) if label else gettext("Another device password"))
        )
    return found


def _kept_days() -> int:
    installation = Installation.objects.only("connection_days").first()
    return installation.connection_days if installation else Installation().connection_days


def _mailbox(person: User, row: Connection) -> Mailbox | None:
    return mailboxes_for(person).filter(pk=row.mailbox_id).first() if row.mailbox_id else None


def _customer(person: User, row: Connection) -> Customer | None:
    """Return whose it was, where the host asks: others know."""
    return (
        Customer.objects.filter(pk=row.customer_id).first() if person.sees_all and row.customer_id else None
    )
