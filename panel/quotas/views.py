"""Pages of storage: of a mailbox, of a customer, and of the platform."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from panel.accounts.access import admin_of, customer_of, open_to_owners
from panel.accounts.models import Customer
from panel.addresses.hub import hub, mailbox_of_page
from panel.addresses.usage import read_usage
from panel.quotas import history, storage
from panel.quotas.export import usage_csv


@open_to_owners
@login_required
@require_safe
def mailbox_storage(request: HttpRequest, pk: int) -> HttpResponse:
    """What a mailbox holds, held, and will hold. With `folders`, what each of its folders does.

    That takes longer where nobody opened them for long, so that it is asked for once the page is there, by a link where
    no script runs.
    """
    mailbox = mailbox_of_page(request, pk)
    usage = read_usage(mailbox)
    asked = "folders" in request.GET
    alive = mailbox.state in (mailbox.State.ACTIVE, mailbox.State.SUSPENDED)
    context = {
        **hub(request, mailbox),
        "storage": storage.storage_of(mailbox, usage.used_bytes if usage else None, timezone.now()),
        "answers": usage is not None,
        "messages_held": usage.messages if usage else None,
        "asked": asked,
        "alive": alive,
        "folders": storage.folders_or_none(mailbox) if asked and alive else None,
    }
    return render(request, "quotas/mailbox_storage.html", context)


@login_required
@require_safe
def customer_storage(request: HttpRequest, pk: int) -> HttpResponse:
    """What the mailboxes of a customer hold together, and which of them are full or will be."""
    customer = customer_of(request, pk)
    return render(request, "quotas/customer_storage.html", {"customer": customer, **_totals(customer)})


@login_required
@require_safe
def platform_storage(request: HttpRequest) -> HttpResponse:
    """The same of all mailboxes, for the host."""
    admin_of(request)
    return render(request, "quotas/platform_storage.html", _totals(None))


@login_required
@require_safe
def export_customer_storage(request: HttpRequest, pk: int) -> StreamingHttpResponse:
    """What each mailbox of a customer holds, as a CSV file (RFC 4180), read and sent in pieces."""
    return _file(customer_of(request, pk))


@login_required
@require_safe
def export_platform_storage(request: HttpRequest) -> StreamingHttpResponse:
    """The same of all mailboxes."""
    admin_of(request)
    return _file(None)


def _totals(customer: Customer | None) -> dict[str, Any]:
    now = timezone.now()
    return {
        "totals": storage.totals_of(customer, now),
        "fullest": storage.fullest(customer),
        "growing": storage.fastest_growing(customer, history.day_of(now)),
        "grown_in": storage.GROWN_IN,
    }


def _file(customer: Customer | None) -> StreamingHttpResponse:
    lines = usage_csv(storage.living(customer), history.day_of(timezone.now()))
    return StreamingHttpResponse(
        lines,
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="storage.csv"'},
    )
