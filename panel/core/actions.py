"""What the audit trail calls what is done to the schedule."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from panel.core.audit import describe_actions

describe_actions(
    {
        "scheduled.paused": _("Paused a job of the schedule"),
        "scheduled.resumed": _("Resumed a job of the schedule"),
        "scheduled.run": _("Ran a job of the schedule by hand"),
    }
)
