"""What the audit trail calls what becomes of kept copies, and its numbers."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from panel.core.audit import describe_actions
from panel.core.audit_values import Value, describe_values
from panel.retention.kept_copies import ENDED, ENDED_EARLY, SHOWN

describe_actions(
    {
        ENDED: _("Ended kept copies of messages that POP deleted"),
        ENDED_EARLY: _("Ended kept copies early, because the mailbox was almost full"),
        SHOWN: _("Offered kept copies to POP again"),
        "mailbox.switched_to_imap": _("Switched a mailbox from POP to IMAP"),
        "mailbox.switched_to_pop": _("Switched a mailbox from IMAP to POP"),
    }
)
describe_values(
    {
        "ended_messages": Value(_("Messages ended, which can be recovered")),
        "shown_messages": Value(_("Messages that POP sees again")),
    }
)
