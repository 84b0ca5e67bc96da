"""Moving a mailbox from POP to IMAP, and back."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from mailbackend.dovecot.doveadm import DoveadmError
from panel.addresses import services
from panel.addresses.inherited import POP_KEEP_DAYS, what_counts
from panel.addresses.models import Mailbox
from panel.connections.models import RemovedMessage
from panel.connections.removals import recovery_time
from panel.connections.restoring import INBOX, Choice, restore
from panel.core import audit
from panel.core.errors import Problem
from panel.core.jobs import start_job
from panel.retention.kept_copies import hidden_in

#: Seconds that a page waits to be told what POP hides.
WAIT = 5.0
RESTORING = "restore_what_pop_deleted"


def hidden_count(mailbox: Mailbox) -> int | None:
    """Return how many messages POP hides in a mailbox, or None where the mail service does not say."""
    if mailbox.state in (Mailbox.State.DELETED, Mailbox.State.CREATING):
        return None
    try:
        return len(hidden_in(mailbox, timeout=WAIT))
    except DoveadmError:
        return None


def removed_by_pop(mailbox: Mailbox) -> QuerySet[RemovedMessage]:
    """Return the messages that POP removed and that can be recovered, those included that ended as a kept copy.

    What jobs remove from an inbox is kept copies, and nothing else.
    """
    by_pop = Q(protocol="pop3") | Q(protocol="doveadm", folder=INBOX)
    rows = RemovedMessage.objects.filter(by_pop, mailbox=mailbox)
    if mailbox.held_at:
        return rows  # Nothing of it has ended.
    return rows.filter(removed_at__gt=timezone.now() - recovery_time(mailbox))


def switch_to_imap(*, mailbox: Mailbox, pop_off: bool) -> int | None:
    """Have nothing of a mailbox be deleted by POP any more, and bring back what was.

    Args:
        mailbox: which.
        pop_off: whether POP programs are refused from now on.

    Returns:
        the number of the job that brings messages back, or None where there are none.

    Raises:
        Problem: if it is deleted, or IMAP is switched off for its whole domain.
    """
    services.check_alive(mailbox)
    if not mailbox.domain.imap:
        raise Problem(_("IMAP is switched off for the whole domain %(name)s.") % {"name": mailbox.domain})
    with transaction.atomic():
        changes: dict[str, Any] = {"imap": True} if not mailbox.imap else {}
        if pop_off and mailbox.pop3:
            changes["pop3"] = False
        if changes:
            services.edit_mailbox(mailbox=mailbox, **changes)
        # Before anything comes back: nothing that does is ended or deleted again.
        services.set_pop_policy(mailbox=mailbox, policy=Mailbox.PopDeletes.KEEP.value)
        audit.record("mailbox.switched_to_imap", target=mailbox, customer_id=mailbox.domain.customer_id)
        if not removed_by_pop(mailbox).exists():
            return None
        return start_job(RESTORING, mailbox=mailbox.pk, until=timezone.now().isoformat()).pk


def switch_to_pop(*, mailbox: Mailbox, days: int, offer_again: bool) -> None:
    """Let POP programs in, with a copy of what they delete.

    Args:
        mailbox: which.
        days: for how many a copy is kept.
        offer_again: whether POP programs are offered again what was hidden from them.

    Raises:
        Problem: if it is deleted, the days cannot be used, or POP is switched off for its whole domain.
    """
    services.check_alive(mailbox)
    if not mailbox.domain.pop3:
        raise Problem(_("POP is switched off for the whole domain %(name)s.") % {"name": mailbox.domain})
    with transaction.atomic():
        if not mailbox.pop3:
            services.edit_mailbox(mailbox=mailbox, pop3=True)
        services.set_pop_policy(mailbox=mailbox, policy=f"{Mailbox.PopDeletes.KEEP.value}:{days}")
        audit.record("mailbox.switched_to_pop", target=mailbox, customer_id=mailbox.domain.customer_id)
        if offer_again:
            start_job("show_hidden_messages", mailbox=mailbox.pk)


def restore_what_pop_deleted(mailbox: Mailbox, *, until: str) -> dict[str, Any]:
    """Bring back what POP removed from a mailbox until a moment (ISO 8601), each to its folder.

    Raises:
        Problem: if the mailbox is deleted, or the mail root is not there.
        DoveadmError: if the mail service does not answer. What was brought back until then is recorded.
    """
    rows = removed_by_pop(mailbox).filter(removed_at__lte=datetime.fromisoformat(until))
    uids = frozenset(rows.values_list("uid", flat=True))
    result = restore(mailbox, Choice(uids=uids)) if uids else None
    return {} if result is None else {"asked": result.asked} | result.as_json(mailbox)


def days_kept(mailbox: Mailbox) -> int:
    """Return for how many days copies are kept in a mailbox, or would be by what is built in."""
    return what_counts(mailbox).pop.days or POP_KEEP_DAYS
