"""What the logs hold: no traces of what the sender of a request did wrong, and no line that a request forged."""

from __future__ import annotations

import logging
from typing import Any

from django.core.exceptions import BadRequest, SuspiciousOperation
from django.http import HttpRequest, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from gunicorn.glogging import Logger

from panel.core.error_pages import error_code

#: What a request can be that nobody has to look at: its line in the log is enough.
_SENDERS_MISTAKES = (BadRequest, SuspiciousOperation, MultiPartParserError, UnreadablePostError)


class NoTraceOfBadRequests(logging.Filter):
    """Take the trace from a record about a request that cannot be read: anybody could fill the log with them."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, some shortened."""
        if record.exc_info and isinstance(record.exc_info[1], _SENDERS_MISTAKES):
            record.exc_info = None
        return True


class WithErrorCode(logging.Filter):
    """Add the code that the page of an error shows, so that somebody who reports it can be answered."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass."""
        request = getattr(record, "request", None)
        if isinstance(request, HttpRequest) and getattr(record, "status_code", None) == 500:
            record.msg, record.args = f"{record.getMessage()} (error {error_code(request)})", None
        return True


class QuotingLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's logger, with control characters of a request written as escapes.

    The path is logged decoded: a `%0A` in it would begin a line that looks like another request's.
    """

    def atoms(self, resp: Any, req: Any, environ: Any, request_time: Any) -> dict[str, Any]:
        """Return what the access log's format names."""
        found: dict[str, Any] = super().atoms(resp, req, environ, request_time)
        return {name: quoted(value) if isinstance(value, str) else value for name, value in found.items()}


def quoted(text: str) -> str:
    """Return `text` as one line of plain ASCII: `\\n` for a newline, `\\\\` for a backslash."""
    return text.encode("unicode_escape").decode("ascii")
