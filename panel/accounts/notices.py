"""Notices of the host: written by administrators, shown on top of pages until they are dismissed or over."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from panel.accounts.models import DismissedNotice, Notice, User
from panel.accounts.services import check_line
from panel.core import audit
from panel.core.errors import Conflict, Problem

#: Characters of a notice.
TEXT_MAX = 500
#: Each process remembers for this long which notices there are, so that pages do not ask: a new one may be that late.
#: Seconds.
REMEMBERED_FOR = 15.0

_remembered: list[tuple[float, list[Notice]]] = []


def create_notice(
    *, text_en: str, text_fr: str, level: str, audience: str, starts_at: datetime, ends_at: datetime | None
) -> Notice:
    """Write a notice.

    Args:
        text_en, text_fr: what is told, in both languages.
        level: a code of Notice.Level.
        audience: a code of Notice.Audience.
        starts_at: from when on it is shown.
        ends_at: until when, or None for until it is ended.

    Raises:
        Problem: if a value cannot be used.
    """
    values = _checked(text_en, text_fr, level, audience, starts_at, ends_at)
    with transaction.atomic():
        notice = Notice.objects.create(**values)
        audit.record("notice.created", target=notice, after=values)
        _changed()
    return notice


def edit_notice(
    *,
    notice: Notice,
    version: int | None,
    text_en: str,
    text_fr: str,
    level: str,
    audience: str,
    starts_at: datetime,
    ends_at: datetime | None,
) -> None:
    """Change a notice. Whoever dismissed it sees it again if its text is another.

    Raises:
        Conflict: if it changed since `version`.
        Problem: if a value cannot be used.
    """
    values = _checked(text_en, text_fr, level, audience, starts_at, ends_at)
    with transaction.atomic():
        before = _update(notice, version, "notice.edited", values)
        if {"text_en", "text_fr"} & set(before):
            DismissedNotice.objects.filter(notice=notice).delete()


def end_notice(*, notice: Notice) -> None:
    """Have nobody see a notice any more, from now on.

    Raises:
        Problem: if it is over.
    """
    now = timezone.now()
    if notice.state_at(now) == Notice.State.OVER:
        raise Problem(_("This notice is over already."))
    _update(notice, None, "notice.ended", {"starts_at": min(notice.starts_at, now), "ends_at": now})


def dismiss(*, notice: Notice, person: User) -> None:
    """Have a person not see a notice again. This is no change of anything, and not recorded."""
    DismissedNotice.objects.get_or_create(notice=notice, user=person)


def shown_to(person: User, now: datetime) -> list[Notice]:
    """Return what is to be shown to a person, the gravest first. Asks nothing while there is no notice for them."""
    found = [
        notice
        for notice in _not_over()
        if notice.state_at(now) == Notice.State.SHOWN and _is_for(notice, person)
    ]
    if not found:
        return []
    dismissed = set(
        DismissedNotice.objects.filter(user=person, notice__in=found).values_list("notice_id", flat=True)
    )
    levels = list(reversed(Notice.Level.values))
    return sorted(
        (notice for notice in found if notice.pk not in dismissed),
        key=lambda notice: (levels.index(notice.level), -notice.pk),
    )


def forget() -> None:
    """Forget which notices there are: the next page asks."""
    _remembered.clear()


def _is_for(notice: Notice, person: User) -> bool:
    if notice.audience == Notice.Audience.CUSTOMERS:
        return not person.is_mailbox and not person.sees_all
    if notice.audience == Notice.Audience.MAILBOXES:
        return person.is_mailbox
    return True


def _not_over() -> list[Notice]:
    known = _remembered[-1:]
    if known and known[0][0] > time.monotonic():
        return known[0][1]
    until = time.monotonic() + REMEMBERED_FOR
    found = list(Notice.objects.filter(Q(ends_at=None) | Q(ends_at__gt=timezone.now())))
    _remembered[:] = [(until, found)]
    return found


def _changed() -> None:
    """Other processes look again within REMEMBERED_FOR."""
    forget()
    transaction.on_commit(forget)


def _checked(
    text_en: str, text_fr: str, level: str, audience: str, starts_at: datetime, ends_at: datetime | None
) -> dict[str, Any]:
    if level not in Notice.Level.values:
        raise Problem(_("Choose what kind of notice it is."), "level")
    if audience not in Notice.Audience.values:
        raise Problem(_("Choose whom it is for."), "audience")
    if ends_at is not None and ends_at <= starts_at:
        raise Problem(_("It ends before it begins."), "ends_at")
    return {
        "text_en": _checked_text(text_en, "text_en"),
        "text_fr": _checked_text(text_fr, "text_fr"),
        "level": level,
        "audience": audience,
        "starts_at": starts_at,
        "ends_at": ends_at,
    }


def _checked_text(text: str, field: str) -> str:
    lines = [line.strip() for line in text.strip().splitlines()]
    if not any(lines):
        raise Problem(_("Write the text in both languages."), field)
    if len(text) > TEXT_MAX:
        raise Problem(_("The text has at most %(most)s characters.") % {"most": TEXT_MAX}, field)
    try:
        return "\n".join(check_line(line, _("The text"), longest=TEXT_MAX) for line in lines)
    except Problem as problem:
        raise Problem(str(problem), field) from problem


def _update(notice: Notice, version: int | None, action: str, values: dict[str, Any]) -> dict[str, Any]:
    """Save values if nobody changed the notice since `version`, and return what was before of those that changed."""
    with transaction.atomic():
        old = Notice.objects.select_for_update().filter(pk=notice.pk).first()
        if old is None or version not in (None, old.version):
            raise Conflict(
                _(
                    "Somebody else changed this meanwhile. "
                    "Look at it as it is now, then change it if you still want to."
                )
            )
        Notice.objects.filter(pk=notice.pk).update(**values, version=F("version") + 1)
        notice.refresh_from_db()
        before, after = audit.changed({name: getattr(old, name) for name in values}, values)
        if after:
            audit.record(action, target=notice, before=before, after=after)
        _changed()
    return before
