"""What the audit trail calls changes of people and customers, and their values."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from panel.accounts.models import Membership, Notice
from panel.core.audit import describe_actions
from panel.core.audit_values import Value, describe_values

describe_actions(
    {
        "admin.created": _("Created an administrator"),
        "customer.created": _("Created a customer"),
        "customer.edited": _("Changed a customer"),
        "customer.suspended": _("Suspended a customer"),
        "customer.resumed": _("Resumed a customer"),
        "customer.deleted": _("Deleted a customer"),
        "member.invited": _("Invited somebody"),
        "member.invited_again": _("Sent an invitation again"),
        "member.invitation_withdrawn": _("Withdrew an invitation"),
        "member.joined": _("Became a member"),
        "member.role_changed": _("Changed a member's role"),
        "member.removed": _("Removed a member"),
        "notice.created": _("Wrote a notice"),
        "notice.edited": _("Changed a notice"),
        "notice.ended": _("Ended a notice"),
        "acting.started": _("Began to act for a customer"),
        "acting.ended": _("Ended acting for a customer"),
    }
)
describe_values(
    {
        "name": Value(_("Name")),
        "role": Value(_("Role"), choices={str(code): label for code, label in Membership.Role.choices}),
        "max_domains": Value(_("Domains at most"), nothing=_("No limit")),
        "max_mailboxes": Value(_("Mailboxes at most"), nothing=_("No limit")),
        "max_storage_bytes": Value(_("Storage at most"), nothing=_("No limit")),
        "text_en": Value(_("Text in English")),
        "text_fr": Value(_("Text in French")),
        "level": Value(_("Kind"), choices={str(code): label for code, label in Notice.Level.choices}),
        "audience": Value(
            _("For whom"), choices={str(code): label for code, label in Notice.Audience.choices}
        ),
        "starts_at": Value(_("From")),
        "ends_at": Value(_("Until"), nothing=_("Until it is ended")),
        "suspended_at": Value(_("Suspended since")),
        "suspended_reason": Value(_("Reason")),
    }
)
