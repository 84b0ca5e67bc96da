"""Jobs of the part."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _

from panel.addresses import selectors
from panel.core.clock import moment
from panel.core.jobs import job_kind
from panel.quotas import checking


@job_kind(_("Checking what mailboxes hold"), hidden=True)
def check_quotas(
    *, at: str | None = None, dry_run: bool = False, addresses: list[str] | None = None
) -> dict[str, Any]:
    """Make the panel's copy of what mailboxes hold true; compare some, and those of `addresses`, with their files."""
    also = [selectors.get_mailbox(address) for address in addresses or []]
    return checking.check_quotas(now=moment(at, dry_run=dry_run), dry_run=dry_run, also=also).as_json()
