"""Jobs of the part."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from panel.core.jobs import job_kind
from panel.service import services


@job_kind(_("Renewing the mail certificate"))
def renew_certificate() -> dict[str, Any]:
    """Renew the mail certificate when it is due."""
    return services.renew_certificate(timezone.now())
