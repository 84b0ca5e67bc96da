"""What the audit trail calls what is done with removed mail, and its numbers."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from panel.core.audit import describe_actions
from panel.core.audit_values import Value, describe_values

describe_actions(
    {
        "mailbox.mail_restore_asked": _("Asked for deleted messages to be recovered"),
        "mailbox.mail_restored": _("Recovered deleted messages"),
        "mailbox.mail_erased": _("Erased deleted messages for good"),
    }
)
describe_values(
    {
        "removed_since": Value(_("Deleted since")),
        "restored_messages": Value(_("Messages recovered")),
        "erased_messages": Value(_("Messages erased")),
    }
)
