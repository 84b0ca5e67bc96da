"""Rows of the list as its page writes them: put together here, because a template takes several times as long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache

from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from mailbackend.addresses import domain_for_people
from panel.addresses.models import Mailbox
from panel.addresses.selectors import ALMOST_FULL
from panel.core.sizes import format_size

#: From here on a bar warns; from ALMOST_FULL on it alarms. Percent.
FULL_SOON = 80

_people = lru_cache(maxsize=4096)(domain_for_people)


@dataclass(frozen=True, slots=True)
class Listed:
    """A mailbox as a list shows it."""

    pk: str
    url: str
    address: str
    name: str
    usage: SafeString
    state: str
    state_label: str
    created: SafeString
    seen_at: datetime | None
    is_held: bool


def listed(mailboxes: Sequence[Mailbox]) -> list[Listed]:
    """Return mailboxes as the list shows them, in the same order."""
    words = {state: str(state.label) for state in Mailbox.State}
    days: dict[date, str] = {}
    found = []
    for mailbox in mailboxes:
        state = mailbox.state
        found.append(
            Listed(
                pk=str(mailbox.pk),
                url=reverse("show_mailbox", args=[mailbox.pk]),
                address=f"{mailbox.local_part}@{_people(mailbox.domain.name)}",
                name=mailbox.display_name,
                usage=usage_html(mailbox),
                state=str(state),
                state_label=words[state],
                created=_day(mailbox.created_at, days),
                seen_at=mailbox.last_seen_at,
                is_held=mailbox.held_at is not None,
            )
        )
    return found


def usage_html(mailbox: Mailbox) -> SafeString:
    """Return what a mailbox holds, of what it may hold, with a bar."""
    used, limit = mailbox.used_bytes, mailbox.quota_bytes
    if used is None:
        of = f" / {format_size(limit)}" if limit else ""
        return format_html('<span class="soft" title="{}">–{}</span>', _("Not yet known"), of)
    if not limit:
        return format_html('<span class="nowrap">{}</span>', format_size(used))
    percent = used * 100 // limit
    tone = " bar-danger" if percent >= ALMOST_FULL else " bar-warning" if percent >= FULL_SOON else ""
    return format_html(
        '<span class="nowrap">{} <span class="soft">/ {}</span></span>'
        '<progress class="bar{}" max="100" value="{}" aria-label="{}"></progress>',
        format_size(used),
        format_size(limit),
        tone,
        min(percent, 100),
        _("Storage used"),
    )


def _day(at: datetime, days: dict[date, str]) -> SafeString:
    local = timezone.localtime(at)
    day = local.date()
    if day not in days:
        days[day] = date_format(day, "SHORT_DATE_FORMAT")
    return format_html(
        '<time datetime="{}" title="{} {}">{}</time>',
        local.isoformat(timespec="seconds"),
        days[day],
        local.strftime("%H:%M %Z"),
        days[day],
    )
