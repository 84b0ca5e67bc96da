"""Jobs of history and of warnings."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from panel.core.clock import moment
from panel.core.jobs import job_kind
from panel.quotas import history, warning_mail, warnings


@job_kind(_("Noting what mailboxes hold today"))
def sample_usage(*, at: str | None = None) -> dict[str, Any]:
    """Note what mailboxes and customers hold, thin what is older, and find what will be full soon."""
    now = moment(at, dry_run=False)
    day = history.day_of(now)
    report = {
        "day": day.isoformat(),
        "samples": history.take_samples(day),
        "customers": history.take_totals(day),
        "thinned": history.thin(day),
        "full_soon": warnings.find_soon(now),
        "forgotten_warnings": warnings.forget_old(now),
    }
    if report["full_soon"]:
        warnings.tell_soon()
    return report


@job_kind(_("Looking for mailboxes that are filling up"), hidden=True)
def find_quota_warnings() -> dict[str, Any]:
    """Find mailboxes that crossed a line which nobody noted, and have told what was not."""
    found = warnings.find_crossings(timezone.now())
    if warnings.is_anything_to_tell():
        warnings.tell_soon()
    return {"found": found}


@job_kind(_("Telling that mailboxes are filling up"))
def tell_quota_warnings() -> dict[str, Any]:
    """Tell owners and customers."""
    return dict(warning_mail.tell(timezone.now()))
