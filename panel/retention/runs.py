"""Runs of the rules: the row by which a change is counted before it counts."""

from __future__ import annotations

from django.utils import timezone

from panel.retention.models import PurgeRun, RuleChange


def start_preview(change: RuleChange) -> PurgeRun:
    """Make the run that counts what a change would end when it starts, and that purges it then."""
    return PurgeRun.objects.create(kind=PurgeRun.Kind.CHANGE, change=change, now=change.starts_at)


def preview_of(change: RuleChange) -> PurgeRun | None:
    """Return the run that counts a change, or None where there is none."""
    return PurgeRun.objects.filter(change=change, kind=PurgeRun.Kind.CHANGE).first()


def cancel(run: PurgeRun) -> None:
    """Have a run purge nothing, unless it is over."""
    over = [PurgeRun.State.DONE, PurgeRun.State.CANCELLED]
    PurgeRun.objects.filter(pk=run.pk).exclude(state__in=over).update(
        state=PurgeRun.State.CANCELLED, finished_at=timezone.now()
    )
