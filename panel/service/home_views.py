"""The home of each role: what needs attention, and where to go from here."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe
from django.views.decorators.vary import vary_on_headers

from panel.accounts import own_account
from panel.accounts.access import open_to_owners, person_of
from panel.accounts.models import User
from panel.addresses import attention as of_addresses
from panel.addresses import selectors
from panel.addresses.list_views import mailbox_list
from panel.addresses.models import Mailbox
from panel.core.attention import gravest_first
from panel.quotas import attention as of_quotas
from panel.retention import attention as of_retention
from panel.service import attention, first_steps
from panel.service.selectors import Service, read_supervisor
from panel.service.words import state_words

#: Newest mailboxes that the administrators' home shows.
NEWEST = 5


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
        return mailbox_list(request, _above_list(person))
    return render(request, "service/home.html", _for_admin(person))


@login_required
@require_POST
def hide_first_steps(request: HttpRequest) -> HttpResponse:
    """Close the first steps: they do not come back."""
    own_account.hide_first_steps(user=person_of(request))
    return redirect("home")


def _above_list(person: User) -> dict[str, Any]:
    now = timezone.now()
    found = [
        *attention.of_shut_out(person),
        *of_addresses.for_customers_people(person, now),
        *of_quotas.for_customers_people(person),
        *of_retention.for_customers_people(person, now),
    ]
    steps = first_steps.for_customers_people(person)
    return {"steps": steps, "attention": gravest_first(found) if found or not steps else None}


def _for_admin(person: User) -> dict[str, Any]:
    mailboxes, now = selectors.mailboxes_for(person), timezone.now()
    service = read_supervisor()
    counts = {
        "domains": selectors.living_domains_for(person).count(),
        "mailboxes": selectors.in_state(mailboxes, "").count(),
        "suspended": selectors.in_state(mailboxes, Mailbox.State.SUSPENDED).count(),
    }
    steps = first_steps.for_admin(
        person, service, domains=counts["domains"], mailboxes=counts["mailboxes"], now=now
    )
    # A step that is still to be taken is not told twice.
    told = any(step.url == reverse("show_account") and not step.done for step in steps)
    found = attention.for_admin(person, service, now, second_factors=not told)
    return {
        "counts": counts,
        "steps": steps,
        "attention": found if found or not steps else None,
        "recent": selectors.in_state(mailboxes, "").order_by("-pk")[:NEWEST],
        **_mail(service),
    }


def _mail(service: Service) -> dict[str, Any]:
    status = service.status
    badge, label, meaning = state_words(status.state) if status else ("failed", _("No answer"), "")
    return {
        "mail": status,
        "mail_state": {"badge": badge, "label": label, "meaning": meaning},
        "since": _time(status.since) if status else None,
    }


def _time(text: str | None) -> datetime | None:
    try:
        return parse_datetime(text) if text else None
    except ValueError:
        return None
