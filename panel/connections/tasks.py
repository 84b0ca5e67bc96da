"""Jobs of the connection log."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from panel.addresses.models import Mailbox
from panel.connections import keeping, notices, recoverable
from panel.connections.restoring import Choice, restore
from panel.core.clock import moment
from panel.core.jobs import job_kind, start_alone, start_job
from panel.core.schedule import look


@job_kind(_("Forgetting old connections"))
def forget_connections() -> dict[str, Any]:
    """Delete what is older than the connection log is kept."""
    now = timezone.now()
    return {**keeping.forget_connections(now=now), "notices": notices.forget_old(now=now)}


@job_kind(_("Ending removed mail whose time is over"))
def end_removed_mail(*, at: str | None = None, dry_run: bool = False, after: int = 0) -> dict[str, Any]:
    """End what was removed longer ago than it can be brought back; what one run leaves is another job's."""
    report, last = recoverable.end_old(now=moment(at, dry_run=dry_run), dry_run=dry_run, after=after)
    if last is not None:
        start_job("end_removed_mail", at=at, dry_run=dry_run, after=last)
    return report.as_json()


@job_kind(_("Ending removed mail that is too much"), hidden=True)
def end_too_much_removed_mail() -> dict[str, Any]:
    """End the oldest removed mail where it has become more than the mailbox's quota."""
    return recoverable.end_too_much(now=timezone.now()).as_json()


@job_kind(_("Recovering deleted messages"))
def restore_removed_mail(*, mailbox: int, since: str, until: str, offer_to_pop: bool) -> dict[str, Any]:
    """Bring back what was removed from a mailbox in a time."""
    row = Mailbox.objects.select_related("domain__customer").get(pk=mailbox)
    choice = Choice(since=datetime.fromisoformat(since), until=datetime.fromisoformat(until))
    result = restore(row, choice, offer_to_pop=offer_to_pop)
    return {"asked": result.asked} | result.as_json(row)


@job_kind(_("Finding what owners of mailboxes are to be told"), hidden=True)
def find_mailbox_notices() -> dict[str, Any]:
    """Look through the sessions of the last minutes for what is to be told once."""
    return {"found": notices.find(now=timezone.now())}


@look(_("Looking where removed mail has become too much"))
def start_ending_too_much() -> None:
    """Start the job above where something was removed lately: mostly nothing was."""
    if recoverable.lately_used(timezone.now()).exists():
        start_alone("end_too_much_removed_mail")
