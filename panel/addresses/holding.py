"""The legal hold of a mailbox: while it is set, nothing of the mailbox ends, whoever asks and whatever the rules say.

Whatever ends something looks at it under the lock of the mailbox's row (`lock_unless_held`, `check_not_held`): a hold
that was set a moment before counts, and one that is set a moment later waits. A hold locks the domain first, then the
mailbox; the purge does the same.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from panel.accounts.services import check_line
from panel.addresses.models import Domain, Mailbox
from panel.core import audit
from panel.core.errors import Conflict, Problem

#: Characters of a reason.
REASON_MAX = 200


def hold(*, mailbox: Mailbox, reason: str, version: int | None = None) -> None:
    """Hold a mailbox: nothing of it ends until it is released. One that is held already gets the new reason.

    A deleted mailbox can be held as long as it can be restored, and can be restored from then on for as long as it is
    held.

    Args:
        mailbox: which.
        reason: in a line; people who may see the mailbox are told.
        version: as the form was shown, or None to change whatever is there.

    Raises:
        Conflict: if it changed since `version`.
        Problem: if there is no reason, it is too long, or the mailbox is being removed for good.
    """
    reason = check_line(reason.strip(), _("The reason"), longest=REASON_MAX)
    if not reason:
        raise Problem(_("Say why it is held, such as the number of the case."), "reason")
    with transaction.atomic():
        row = _locked(mailbox, version)
        values = {"held_at": row.held_at or timezone.now(), "hold_reason": reason}
        _save(row, "mailbox.held", values)
    mailbox.refresh_from_db()


def release(*, mailbox: Mailbox, version: int | None = None) -> None:
    """Release a mailbox from its hold: rules and times count again from now on. Nothing changes if it is not held.

    Raises:
        Conflict: if it changed since `version`.
        Problem: if it is gone.
    """
    with transaction.atomic():
        row = _locked(mailbox, version)
        if row.held_at:
            _save(row, "mailbox.released", {"held_at": None, "hold_reason": ""})
    mailbox.refresh_from_db()


def lock_unless_held(mailbox: Mailbox) -> bool:
    """Lock a mailbox until the transaction ends, and say whether something of it may end.

    It is there, not held, and has the address by which Dovecot knows it still: that may be another's by now.
    """
    rows = Mailbox.objects.select_for_update(of=("self",))
    row = rows.filter(pk=mailbox.pk, address=mailbox.address).first()
    return row is not None and row.held_at is None


def check_not_held(mailbox: Mailbox) -> None:
    """Lock a mailbox until the transaction ends, and check that it is not held.

    Raises:
        Problem: if it is. One that is gone is not.
    """
    row = Mailbox.objects.select_for_update(of=("self",)).filter(pk=mailbox.pk).first()
    if row is not None and row.held_at:
        raise refusal(mailbox)


def check_none_held(domain: Domain) -> None:
    """Check that no mailbox of a domain is held, deleted ones included. The domain's row is locked.

    Raises:
        Problem: naming one that is.
    """
    held = Mailbox.objects.filter(domain=domain, held_at__isnull=False).order_by("address").first()
    if held is not None:
        raise Problem(
            _(
                "The mailbox %(address)s is under a legal hold: its domain cannot be deleted. Release it first."
            )
            % {"address": held.address}
        )


def with_held(domains: Iterable[Domain]) -> set[int]:
    """Return the keys of those domains that have a mailbox that is held."""
    held = Mailbox.objects.filter(domain__in=[domain.pk for domain in domains], held_at__isnull=False)
    return set(held.order_by().values_list("domain", flat=True))


def refusal(mailbox: Mailbox) -> Problem:
    """Return what to tell whoever wants something of a held mailbox to end."""
    return Problem(
        _("%(address)s is under a legal hold: nothing of it can be deleted or erased. Release it first.")
        % {"address": mailbox.address}
    )


def _locked(mailbox: Mailbox, version: int | None) -> Mailbox:
    """Return a mailbox as it is now, its domain and itself locked."""
    domain = Domain.objects.select_for_update().filter(pk=mailbox.domain_id).first()
    rows = Mailbox.objects.select_for_update(of=("self",)).select_related("domain")
    row = rows.filter(pk=mailbox.pk).first()
    if row is None or domain is None or row.purging_at or domain.purging_at:
        raise Problem(
            _("%(name)s is being removed for good: the time in which it could be restored is over.")
            % {"name": mailbox}
        )
    if version not in (None, row.version):
        raise Conflict(
            _(
                "Somebody else changed this meanwhile. "
                "Look at it as it is now, then change it if you still want to."
            )
        )
    return row


def _save(row: Mailbox, action: str, values: dict[str, object]) -> None:
    before, after = audit.changed({name: getattr(row, name) for name in values}, values)
    if after:
        Mailbox.objects.filter(pk=row.pk).update(**values, version=F("version") + 1)
        audit.record(action, target=row, customer_id=row.domain.customer_id, before=before, after=after)
