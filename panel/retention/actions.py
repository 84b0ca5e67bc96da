"""What the audit trail calls what becomes of kept copies, and its numbers."""

from __future__ import annotations

from django.utils.functional import lazy
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from mailbackend.dovecot.names import RECOVERABLE
from panel.connections.gone import describe_removals
from panel.core.audit import describe_actions
from panel.core.audit_values import Value, describe_values
from panel.retention.changing import KEPT, RECOVERY_KEPT
from panel.retention.kept_copies import ENDED, ENDED_EARLY, SHOWN
from panel.retention.orders import PURGED
from panel.retention.rules import ROLES, folder_name
from panel.retention.runs import ALLOWED, CANCELLED

_folder_name = lazy(folder_name, str)

describe_actions(
    {
        ENDED: _("Ended kept copies of messages that POP deleted"),
        ENDED_EARLY: _("Ended kept copies early, because the mailbox was almost full"),
        SHOWN: _("Offered kept copies to POP again"),
        "rule.changed": _("Changed how long messages in a folder are kept"),
        "rule.proposed": _("Proposed that messages in a folder end earlier"),
        "rule.confirmed": _("Confirmed that messages in a folder end earlier"),
        "rule.cancelled": _("Cancelled a change of how long messages in a folder are kept"),
        "rule.lapsed": _("A change of how long messages in a folder are kept was not confirmed"),
        "rule.started": _("A change of how long messages in a folder are kept started"),
        KEPT: _("Kept messages in a folder as long as before a move, because they would end earlier there"),
        RECOVERY_KEPT: _(
            "Kept deleted messages as long as before a move, because they would end earlier there"
        ),
        "recovery.changed": _("Changed how long deleted messages can be recovered"),
        "recovery.started": _("A change of how long deleted messages can be recovered started"),
        PURGED: _("Purged messages by a rule of retention"),
        ALLOWED: _("Let a purge go on that had stopped to ask"),
        CANCELLED: _("Cancelled a purge"),
        "mailbox.switched_to_imap": _("Switched a mailbox from POP to IMAP"),
        "mailbox.switched_to_pop": _("Switched a mailbox from IMAP to POP"),
    }
)
describe_values(
    {
        "ended_messages": Value(_("Messages ended, which can be recovered")),
        "rule_folder": Value(
            _("Folder"),
            choices={
                RECOVERABLE: _("Deleted messages, to be recovered"),
                **{folder: _folder_name(folder) for folder in ROLES},
            },
        ),
        "rule_days": Value(
            _("Days that messages are kept"), choices={"never": _("For ever"), "inherit": _("Inherited")}
        ),
        "rule_starts_at": Value(_("Starts")),
        "purged_messages": Value(_("Messages purged, which can be recovered")),
        "rule": Value(_("Rule")),
        "shown_messages": Value(_("Messages that POP sees again")),
    }
)


def _by_rules(count: int) -> str:
    return ngettext(
        "A rule of retention purged %(count)s message.",
        "Rules of retention purged %(count)s messages.",
        count,
    ) % {"count": count}


def _by_days(count: int) -> str:
    return ngettext(
        "The days of %(count)s copy of what POP had deleted were over.",
        "The days of %(count)s copies of what POP had deleted were over.",
        count,
    ) % {"count": count}


def _early(count: int) -> str:
    return ngettext(
        "%(count)s copy of what POP had deleted ended early, because the mailbox was almost full.",
        "%(count)s copies of what POP had deleted ended early, because the mailbox was almost full.",
        count,
    ) % {"count": count}


describe_removals(
    {
        PURGED: ("purged_messages", _by_rules),
        ENDED: ("ended_messages", _by_days),
        ENDED_EARLY: ("ended_messages", _early),
    }
)
