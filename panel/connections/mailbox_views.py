"""Pages of a mailbox's connections: its log in words, and the check of a mail program's set-up while it happens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import pgettext
from django.views.decorators.http import require_POST, require_safe

from panel.accounts.access import open_to_owners, person_of
from panel.addresses.hub import hub, mailbox_looked_after_by, mailbox_of_page
from panel.addresses.models import Mailbox
from panel.connections import gone, notices
from panel.connections.mailbox_pages import entries_of, entry_of, folded, in_days, level_of
from panel.connections.mailbox_selectors import SHOWN, Place, gaps_between, open_now, page_before
from panel.connections.models import Connection
from panel.connections.recorder import is_at_work
from panel.connections.removals import recovery_time
from panel.connections.set_up_checks import check_of, cursor_of, news_since
from panel.connections.watching import news_of, now_of, plain_ip
from panel.core.models import Installation

#: Microseconds since then name a moment in the address of a page.
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@open_to_owners
@login_required
@require_safe
def mailbox_connections(request: HttpRequest, pk: int) -> HttpResponse:
    """What connected to a mailbox, newest first. Polled with `since`: 204 when nothing happened after it."""
    mailbox = mailbox_of_page(request, pk)
    since = cursor_of(request)
    if since is not None and not news_of(mailbox, since).connections:
        return HttpResponse(status=204)
    cursor = now_of(mailbox)
    show = request.GET.get("show", "")
    show = show if show in SHOWN else ""
    before = _read_place(request.GET.get("before", ""))
    page = page_before(mailbox, before, show)
    now = timezone.now()
    gaps = gaps_between(
        max(page.older.at, mailbox.created_at) if page.older else mailbox.created_at,
        before.at if before else None,
    )
    open_rows = [] if before else open_now(mailbox)
    context = {
        **hub(request, mailbox),
        "days": in_days(entries_of(page.rows, mailbox), gaps, now),
        "open": entries_of(open_rows, mailbox),
        "older": _write_place(page.older) if page.older else "",
        "newest": before is None,
        "show": show,
        "choices": [
            ("", _("All")),
            ("refused", pgettext("connections", "Refused")),
            ("imap", "IMAP"),
            ("pop", "POP"),
        ],
        "cursor": cursor,
        "days_kept": _days_kept(),
        "at_work": is_at_work(settings.DATA_DIR),
    }
    template = "connections/_mailbox_connections.html" if since else "connections/mailbox_connections.html"
    return render(request, template, context)


@open_to_owners
@login_required
@require_safe
def show_gone_mail(request: HttpRequest, pk: int) -> HttpResponse:
    """Where a mailbox's mail went: what removed messages, newest first, and the way to get them back.

    With `session`, only what these sessions did.
    """
    mailbox, person = mailbox_of_page(request, pk), person_of(request)
    numbers = gone.numbers_in(request.GET.getlist("session")[: gone.NAMED])
    before = None if numbers else _read_place(request.GET.get("before", ""))
    page = gone.gone_in(person, mailbox, numbers) if numbers else gone.gone_page(person, mailbox, before)
    oldest = max(page.older.at, mailbox.created_at) if page.older else mailbox.created_at
    gaps = [] if numbers else gaps_between(oldest, before.at if before else None)
    context = {
        **hub(request, mailbox),
        "here_tab": "mailbox_connections",
        "days": in_days(page.entries, gaps, timezone.now(), fold=False),
        "older": _write_place(page.older) if page.older else "",
        "newest": before is None,
        "chosen": bool(numbers),
        "days_kept": _days_kept(),
        "recovery_days": recovery_time(mailbox).days,
        "at_work": is_at_work(settings.DATA_DIR),
    }
    return render(request, "connections/gone_mail.html", context)


@open_to_owners
@login_required
@require_POST
def dismiss_mailbox_notice(request: HttpRequest, pk: int, kind: str) -> HttpResponse:
    """Have nobody told again what a notice of a mailbox says."""
    mailbox = mailbox_looked_after_by(request, pk)
    last = request.POST.get("last", "")
    if last.isascii() and last.isdigit() and len(last) < 19:
        notices.dismiss(person=person_of(request), mailbox=mailbox, kind=kind, last=int(last))
    return redirect("show_mailbox", pk)


@open_to_owners
@login_required
@require_safe
def set_up_check(request: HttpRequest, pk: int) -> HttpResponse:
    """What a mail program's attempts come to while they are made, since `start`.

    Polled with `since`: 204 when nothing happened after it. Without a script a link asks again with `start`.
    """
    mailbox = mailbox_of_page(request, pk)
    since = cursor_of(request)
    latest = news_since(request, mailbox, since) if since else None
    if latest is not None and not latest.connections:
        return HttpResponse(status=204)
    check = check_of(request, mailbox)
    context = {
        **hub(request, mailbox),
        "here_tab": "set_up_mailbox",
        "entries": list(folded(entries_of(check.connections, mailbox))),
        "latest": entry_of(latest.connections[0], mailbox) if latest else None,
        "start": check.start,
        "cursor": check.cursor,
        "at_work": is_at_work(settings.DATA_DIR),
        "remote_ip": plain_ip(request.META.get("REMOTE_ADDR", "")),
    }
    template = "connections/_set_up_check.html" if since else "connections/set_up_check.html"
    return render(request, template, context)


@open_to_owners
@login_required
@require_safe
def set_up_check_events(request: HttpRequest, pk: int) -> HttpResponse:
    """The same for programs, as JSON: `{"cursor", "events"}`.

    Asked without `since` it gives the cursor of this moment and no events; with one what happened after it, newest
    first, or 204. A connection that is told again, because it has ended, has the same `id`.
    """
    mailbox = mailbox_of_page(request, pk)
    since = cursor_of(request)
    if since is None:
        return JsonResponse({"cursor": str(now_of(mailbox)), "events": []})
    news = news_since(request, mailbox, since)
    if not news.connections:
        return HttpResponse(status=204)
    events = [_event(row, mailbox) for row in news.connections]
    return JsonResponse({"cursor": str(news.cursor), "events": events})


def _event(row: Connection, mailbox: Mailbox) -> dict[str, Any]:
    entry = entry_of(row, mailbox)
    return {
        "id": entry.key,
        "at": row.started_at.astimezone(UTC).isoformat(),
        "ended_at": row.ended_at.astimezone(UTC).isoformat() if row.ended_at else None,
        "protocol": row.protocol,
        "outcome": row.outcome,
        "reason": row.reason or None,
        "remote_ip": row.remote_ip or None,
        "level": level_of(row),
        "words": entry.words,
        "advice": entry.advice,
    }


def _days_kept() -> int | None:
    installation = Installation.objects.only("connection_days").first()
    return installation.connection_days if installation else None


def _write_place(place: Place) -> str:
    return f"{(place.at - _EPOCH) // timedelta(microseconds=1)}-{place.pk}"


def _read_place(text: str) -> Place | None:
    """Return the place that a page's address names, or None if it names none."""
    at, _dash, pk = text.partition("-")
    if not all(part.isascii() and part.isdigit() and len(part) < 19 for part in (at, pk)):
        return None
    try:
        return Place(_EPOCH + timedelta(microseconds=int(at)), int(pk))
    except OverflowError:
        return None
