"""Jobs of the part."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from celery import shared_task
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from panel.addresses import selectors
from panel.core.clock import moment
from panel.core.jobs import job_kind, start_job
from panel.core.models import Job
from panel.quotas import checking

#: A check that says nothing of how far it is for so long has ended with its worker: the next one does not wait for it.
SILENT_AFTER = timedelta(minutes=10)


@job_kind(_("Checking what mailboxes hold"), hidden=True)
def check_quotas(
    *, at: str | None = None, dry_run: bool = False, addresses: list[str] | None = None
) -> dict[str, Any]:
    """Make the panel's copy of what mailboxes hold true; compare some, and those of `addresses`, with their files."""
    also = [selectors.get_mailbox(address) for address in addresses or []]
    return checking.check_quotas(now=moment(at, dry_run=dry_run), dry_run=dry_run, also=also).as_json()


@shared_task
def start_checking_quotas() -> None:
    """Start the job above, unless one waits or goes on: there is nothing to gain from two."""
    goes_on = Q(state=Job.State.RUNNING, changed_at__gt=timezone.now() - SILENT_AFTER)
    if not Job.objects.filter(Q(state=Job.State.QUEUED) | goes_on, kind="check_quotas").exists():
        start_job("check_quotas")
