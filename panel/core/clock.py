"""Which moment a job takes for now: a test's or a rehearsal's, where that is allowed."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from panel.core.errors import Problem

#: While DATA_DIR holds a file of this name, commands may take another time for now and change things by it.
TEST_CLOCK = "test-clock-allowed"
#: A time that somebody writes is taken in these years: far from both ends of what a program can reckon with.
FIRST_YEAR, LAST_YEAR = 1900, 9000


def moment(at: str | None, *, dry_run: bool) -> datetime:
    """Return the time that `--at` names, or now.

    Args:
        at: ISO 8601; without a zone it is in the installation's.
        dry_run: whether nothing is changed by it.

    Raises:
        Problem: if it is no time, or may not be chosen here.
    """
    if at is None:
        return timezone.now()
    try:
        found = parse_datetime(at)
    except ValueError:
        found = None
    if found is None or not FIRST_YEAR <= found.year <= LAST_YEAR:
        raise Problem(
            _("%(text)s is not a time: write it like 2026-12-31T03:00:00+00:00.") % {"text": repr(at[:40])},
            "at",
        )
    if not dry_run and not (settings.DATA_DIR.root / TEST_CLOCK).exists():
        raise Problem(
            _(
                "Another time than now needs --dry-run: it could end what people may still restore. "
                "Only a DATA_DIR for tests, which holds a file %(name)s, allows it."
            )
            % {"name": TEST_CLOCK},
            "at",
        )
    return found if timezone.is_aware(found) else timezone.make_aware(found)
