"""What the audit trail calls this part's changes and their values."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from panel.addresses.models import Mailbox
from panel.core.audit import describe_actions
from panel.core.audit_values import Value, describe_values

describe_actions(
    {
        "domain.created": _("Added a domain"),
        "domain.edited": _("Changed a domain"),
        "domain.protocols_set": _("Switched protocols of a domain on or off"),
        "domain.storage_limited": _("Changed how much may be given to a domain's mailboxes"),
        "domain.left": _("Took a domain away, to another customer"),
        "domain.joined": _("Brought a domain, from another customer"),
        "domain.suspended": _("Suspended a domain"),
        "domain.resumed": _("Resumed a domain"),
        "domain.deleted": _("Deleted a domain"),
        "domain.restored": _("Restored a domain"),
        "domain.purged": _("Removed a deleted domain for good"),
        "domain_claim.made": _("Asked for a domain, to be proved by a DNS record"),
        "domain_claim.renewed": _("Had a domain's DNS record looked for again"),
        "domain_claim.cancelled": _("Gave up asking for a domain"),
        "domain_claim.proved": _("Proved a domain by its DNS record"),
        "domain.settings_changed": _("Changed what a domain's mailboxes inherit"),
        "customer.settings_changed": _("Changed what a customer's domains inherit"),
        "platform.settings_changed": _("Changed what all customers inherit"),
        "mailbox.created": _("Created a mailbox"),
        "mailbox.not_created": _("Took back a mailbox that could not be made"),
        "mailbox.edited": _("Changed a mailbox"),
        "mailbox.renamed": _("Gave a mailbox another address"),
        "mailbox.password_set": _("Set a mailbox's password"),
        "mailbox.own_password_set": _("Changed the password of their own mailbox"),
        "mailbox.link_made": _("Made a link to choose a mailbox's password"),
        "mailbox.password_chosen": _("Chose a mailbox's password by a link"),
        "mailbox.pop_policy_set": _("Changed what POP deletes"),
        "mailbox.device_created": _("Made a device password"),
        "mailbox.device_renewed": _("Gave a device a new password"),
        "mailbox.device_edited": _("Changed a device password"),
        "mailbox.device_revoked": _("Revoked a device password"),
        "mailbox.sessions_ended": _("Disconnected whatever was signed in to a mailbox"),
        "mailbox.devices_required": _("Changed whether mail programs need a device password"),
        "mailbox.suspended": _("Suspended a mailbox"),
        "mailbox.resumed": _("Resumed a mailbox"),
        "mailbox.deleted": _("Deleted a mailbox"),
        "mailbox.restored": _("Restored a mailbox"),
        "mailbox.held": _("Put a mailbox under a legal hold"),
        "mailbox.released": _("Released a mailbox from its legal hold"),
        "mailbox.purged": _("Removed a deleted mailbox for good"),
    }
)
describe_values(
    {
        "default_quota_bytes": Value(
            _("Quota of new mailboxes"), nothing=_("Inherited"), choices={"0": _("No limit")}
        ),
        "domain": Value(_("Domain")),
        "address": Value(_("Address")),
        "local_part": Value(_("Before the @")),
        "display_name": Value(_("Name")),
        "quota_bytes": Value(_("Quota"), nothing=_("No limit")),
        "device": Value(_("Device password")),
        "device_required": Value(_("Mail programs need a device password")),
        "imap": Value("IMAP"),
        "pop3": Value("POP"),
        "pop_deletes": Value(
            _("What happens to messages that POP deletes"),
            nothing=_("Inherited"),
            choices={str(code): label for code, label in Mailbox.PopDeletes.choices},
        ),
        "pop_keep_days": Value(_("Days that a copy is kept")),
        "connection_days": Value(_("Days that the connection log goes back")),
        "recovery_days": Value(_("Days that deleted messages can be recovered")),
        "held_at": Value(_("Under legal hold since")),
        "hold_reason": Value(_("Reason of the legal hold")),
        "deleted_at": Value(_("Deleted")),
        "expires_at": Value(_("Works until")),
    }
)
