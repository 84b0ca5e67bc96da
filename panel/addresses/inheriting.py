"""Writes: what the platform, a customer or a domain says for those below it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import models, transaction
from django.db.models import F
from django.utils.translation import gettext as _

from panel.accounts.models import Customer
from panel.addresses.inherited import Level, PopPolicy, what_counts
from panel.addresses.limits import check_default_quota
from panel.addresses.models import Domain, Mailbox
from panel.core import audit
from panel.core.errors import Conflict
from panel.core.jobs import start_job
from panel.core.models import Installation


def set_inherited(
    *,
    level: Level,
    default_quota_bytes: int | None,
    pop: PopPolicy | None,
    kept_days: Mapping[str, int] | None = None,
    version: int | None = None,
) -> None:
    """Say what those below a level inherit.

    Args:
        level: the platform, a customer or a domain.
        default_quota_bytes: what new mailboxes start with, 0 for no limit, or None for what the level inherits itself.
        pop: what happens to messages that POP deletes, or None for what the level inherits itself. It counts from the
            next POP connection on.
        kept_days: for how many days the platform keeps the connection log and what was deleted, by the names of
            Installation's columns; None leaves them.
        version: as the form was shown, or None to change whatever is there.

    Raises:
        Conflict: if it changed since `version`.
        Problem: if the quota cannot be used.
    """
    check_default_quota(default_quota_bytes, "default_quota")
    values: dict[str, Any] = {
        "default_quota_bytes": default_quota_bytes,
        "pop_deletes": pop.deletes if pop else "",
        "pop_keep_days": pop.days if pop else None,
    }
    if kept_days:
        if not isinstance(level, Installation):
            raise ValueError("How long things are kept is said by the platform.")
        values |= kept_days
    rows: models.QuerySet[Any] = type(level)._default_manager.filter(pk=level.pk)
    if isinstance(level, Domain):
        rows = rows.filter(deleted_at=None, purging_at=None)
    with transaction.atomic():
        old: Any = rows.select_for_update().first()
        if old is None or version not in (None, old.version):
            raise Conflict(
                _(
                    "Somebody else changed this meanwhile. "
                    "Look at it as it is now, then change it if you still want to."
                )
            )
        rows.update(**values, version=F("version") + 1)
        level.refresh_from_db()
        before, after = audit.changed({name: getattr(old, name) for name in values}, values)
        if after:
            audit.record(
                f"{_kind(level)}.settings_changed",
                target=level,
                customer_id=_customer_id(level),
                before=before,
                after=after,
            )
        # Saved as it was: somebody was told that a job before could not do it.
        again = not after and what_counts(level).pop.deletes == Mailbox.PopDeletes.DELETE
        if again or {"pop_deletes", "pop_keep_days"} & set(after):
            follow_inherited_pop_policy(level)


def follow_inherited_pop_policy(level: Level) -> None:
    """Have what is hidden from POP follow what a level says now, or where a domain came to: a job of the part above."""
    start_job("follow_inherited_pop_policy", level=_kind(level), pk=level.pk)


def _kind(level: Level) -> str:
    if isinstance(level, Domain):
        return "domain"
    return "customer" if isinstance(level, Customer) else "platform"


def _customer_id(level: Level) -> int | None:
    if isinstance(level, Domain):
        return level.customer_id
    return level.pk if isinstance(level, Customer) else None
