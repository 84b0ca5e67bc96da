"""Jobs of the connection log."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from panel.connections import keeping
from panel.core.jobs import job_kind


@job_kind(_("Forgetting old connections"))
def forget_connections() -> dict[str, Any]:
    """Delete what is older than the connection log is kept."""
    return dict(keeping.forget_connections(now=timezone.now()))
