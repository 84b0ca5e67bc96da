"""Error pages that must not ask for anything: not the host, not the database."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001 - Django's signature
    """Answer 400 without the request: its Host may be the very thing that is refused."""
    return HttpResponse(render_to_string("400.html"), status=400)
