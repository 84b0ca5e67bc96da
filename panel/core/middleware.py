"""Middleware of the whole panel."""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

logger = logging.getLogger(__name__)

type_of_view = Callable[[HttpRequest], HttpResponse]


class database_unavailable:
    """Answer 503 with a page that says so when the database is locked or gone, instead of a trace."""

    def __init__(self, get_response: type_of_view) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass the request on; errors arrive below."""
        try:
            return self.get_response(request)
        except (OperationalError, InterfaceError) as err:
            return self._unavailable(err)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:  # noqa: ARG002
        """Turn a database error of a view into the page."""
        if isinstance(exception, OperationalError | InterfaceError):
            return self._unavailable(exception)
        return None

    def _unavailable(self, err: Exception) -> HttpResponse:
        logger.error("The database does not answer: %s", err)
        return HttpResponse(render_to_string("503.html"), status=503, headers={"Retry-After": "10"})
