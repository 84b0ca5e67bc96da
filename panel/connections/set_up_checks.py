"""What pages that show a set-up live are asked: by `start`, where it began, and by `since`, how much they know."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest
from django.utils import timezone

from panel.addresses.models import Mailbox
from panel.connections.models import Connection
from panel.connections.watching import Cursor, News, news_of_check, now_of


@dataclass(frozen=True)
class Check:
    """What came of a set-up.

    Attributes:
        start: where it began.
        cursor: how much the page knows now, to go on from.
        connections: what came since the start, newest first.
    """

    start: Cursor
    cursor: Cursor
    connections: list[Connection]


def check_of(request: HttpRequest, mailbox: Mailbox) -> Check:
    """Return what came since `start`, which is now where the page is opened anew."""
    start = Cursor.read(request.GET.get("start", ""))
    if start is None:
        here = now_of(mailbox)
        return Check(here, here, [])
    news = news_since(request, mailbox, start)
    return Check(start, news.cursor, news.connections)


def cursor_of(request: HttpRequest) -> Cursor | None:
    """Return how much a page that polls knows, by `since`; None where it is no poll."""
    return Cursor.read(request.GET.get("since", ""))


def news_since(request: HttpRequest, mailbox: Mailbox, cursor: Cursor) -> News:
    """Return what came since, with what may have meant the mailbox from where the page is read."""
    return news_of_check(mailbox, cursor, request.META.get("REMOTE_ADDR", ""), timezone.now())
