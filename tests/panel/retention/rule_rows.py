"""What tests of rules share: rows as they would be after a job had counted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from panel.addresses.models import Mailbox
from panel.retention import changing
from panel.retention.models import PurgeItem, PurgeRun, RuleChange
from panel.retention.rules import Level

DAY = timedelta(days=1)


def counted(change: RuleChange | None, mailbox: Mailbox | None = None, *, messages: int = 3) -> PurgeRun:
    """Let a change's preview be counted, with messages of one mailbox."""
    assert change is not None
    run = PurgeRun.objects.get(change=change)
    figures: dict[str, Any] = {
        "messages": messages,
        "bytes": messages * 1000,
        "oldest": change.starts_at - 90 * DAY,
        "newest": change.starts_at - 31 * DAY,
    }
    if mailbox is not None and messages:
        PurgeItem.objects.create(
            run=run, mailbox=mailbox, folder=change.folder, rule="x", cutoff=change.starts_at, **figures
        )
    PurgeRun.objects.filter(pk=run.pk).update(
        state=PurgeRun.State.COUNTED, mailboxes=1 if messages else 0, counted_at=change.asked_at, **figures
    )
    run.refresh_from_db()
    return run


def confirmed(level: Level, folder: str, days: int | None, **given: Any) -> RuleChange:
    """Propose a change, let it be counted, and confirm it."""
    change = changing.propose(level, folder, days, **given)
    assert change is not None
    counted(change)
    figures = changing.figures_of(change)
    assert figures is not None
    changing.confirm(change, figures)
    return change


def rule(level: Level, folder: str, days: int | None) -> None:
    """Let a rule count, as if it had started long ago."""
    change = changing.propose(level, folder, days)
    if change is not None:
        RuleChange.objects.filter(pk=change.pk).update(confirmed_at=change.asked_at)
        changing.start_due(change.starts_at)
