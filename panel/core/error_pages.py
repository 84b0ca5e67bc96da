"""Error pages that must not ask for anything: not the host, not the database."""

from __future__ import annotations

import secrets

from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent, TooManyFilesSent
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

_TOO_MUCH = (RequestDataTooBig, TooManyFieldsSent, TooManyFilesSent)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001 - Django's signature
    """Answer 400 without the request: its Host may be the very thing that is refused. 413 if it is too large."""
    if isinstance(exception, _TOO_MUCH):
        return HttpResponse(render_to_string("413.html"), status=413)
    return HttpResponse(render_to_string("400.html"), status=400)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 500 with nothing but a code; the log has it beside the trace."""
    return HttpResponse(render_to_string("500.html", {"code": error_code(request)}), status=500)


def error_code(request: HttpRequest) -> str:
    """Return what tells one request that failed from another: on its page, and in the log."""
    code = getattr(request, "error_code", None)
    if code is None:
        code = secrets.token_hex(4)
        request.error_code = code  # type: ignore[attr-defined]
    return str(code)
