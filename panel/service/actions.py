"""What the audit trail calls changes of the mail service, and their values."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from panel.core.audit import describe_actions
from panel.core.audit_values import Value, describe_values

describe_actions(
    {
        "service.start": _("Started the mail service"),
        "service.stop": _("Stopped the mail service"),
        "service.restart": _("Restarted the mail service"),
        "service.reload": _("Had the mail service read its configuration again"),
        "certificate.renewed": _("Renewed the mail certificate"),
    }
)
describe_values({"valid_until_at": Value(_("Valid until"))})
