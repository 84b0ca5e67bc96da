"""Pages of a domain's DNS: the records that it should have, which of them are there, and all as a zone file."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from panel.accounts.access import person_of
from panel.addresses.models import Domain
from panel.addresses.selectors import living_domains_for
from panel.clients.dns_standing import standing_of
from panel.clients.dns_verdicts import grouped, overall
from panel.clients.records import wanted_records, zone_file

#: The name of a DKIM key (RFC 6376, section 3.1).
_SELECTOR = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,62}[a-z0-9_])?\Z")


@login_required
@require_safe
def domain_dns(request: HttpRequest, name: str) -> HttpResponse:
    """The records of a domain. Polled with `poll`: 204 while the DNS is being looked at.

    With `selector` the DKIM key of this name is looked for too; with `after`, in seconds since 1970, what was looked
    at before counts as old.
    """
    domain = _domain(request, name)
    typed = request.GET.get("selector", "").strip().lower().removesuffix(f"._domainkey.{domain.name}")
    selector = typed if _SELECTOR.match(typed) and ".." not in typed else ""
    standing = standing_of(domain.name, selector, newer_than=_moment(request.GET.get("after", "")))
    if standing.known.looking and "poll" in request.GET:
        return HttpResponse(status=204)
    context = {
        "domain": domain,
        "known": standing.known,
        "overall": overall(domain.name, standing.verdicts, standing.answers),
        "purposes": grouped(standing.verdicts),
        "zone": zone_file(standing.records),
        "typed": typed[:64],
        "selector": selector,
        "now": int(timezone.now().timestamp()),
    }
    return render(request, "clients/domain_dns.html", context)


@login_required
@require_safe
def download_domain_zone(request: HttpRequest, name: str) -> HttpResponse:
    """The records that a domain should have, as a piece of a zone file."""
    domain = _domain(request, name)
    return HttpResponse(
        zone_file(wanted_records(domain.name)),
        content_type="text/plain; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{domain.name}.zone.txt"'},
    )


def _domain(request: HttpRequest, name: str) -> Domain:
    return get_object_or_404(living_domains_for(person_of(request)), name=name)


def _moment(text: str) -> datetime | None:
    """Return the moment that a page's address names, or None if it names none."""
    if not (text.isascii() and text.isdigit() and len(text) <= 11):
        return None
    return datetime.fromtimestamp(int(text), UTC)
