"""The public page that helps to choose between POP and IMAP."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from panel.accounts.access import open_to_owners
from panel.addresses.inherited import what_counts
from panel.core.models import Installation


@open_to_owners
@require_safe
def pop_or_imap(request: HttpRequest) -> HttpResponse:
    """What POP and IMAP are, who should choose which, and what to back up: the same for whoever asks."""
    return render(request, "clients/pop_or_imap.html", {"kept": what_counts(Installation.objects.first())})
