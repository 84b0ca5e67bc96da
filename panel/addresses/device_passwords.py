"""Writes: device passwords. Each takes effect at once; the owner's own sessions in the panel go on.

A mailbox has a few POP slots: a mark of its own (`$Pop1` …) for each device that is to have its own view of the inbox.
A slot is given with the device password, stays with it whatever its secret is, and is given again only when no message
bears its mark any more (`panel.addresses.draining`).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum
from typing import Any, Final

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from mailbackend.dovecot.doveadm import DoveadmError
from mailbackend.maildir import POP_KEYWORDS
from mailbackend.passwords import generate_password, hash_device_password
from panel.accounts.models import User
from panel.accounts.services import check_line
from panel.addresses import draining
from panel.addresses.models import DevicePassword, Mailbox
from panel.addresses.services import check_alive, update_mailbox
from panel.addresses.sessions import end_mail_sessions
from panel.core import audit, mail
from panel.core.errors import Problem

logger = logging.getLogger(__name__)

#: Device passwords of one mailbox that are not revoked.
MOST = 100
LABEL_MAX = 60
#: What the connection log calls the main password: no device is named so.
_MAIN = "main"
#: The slots of a mailbox; the first mark is the main password's.
SLOTS = tuple(range(1, len(POP_KEYWORDS)))


class NoFreeSlot(Problem):
    """Each POP slot of the mailbox is in use, or not cleaned yet."""


class Slot(StrEnum):
    """What a POP slot is at the moment."""

    FREE = "free"
    USED = "used"
    DRAINING = "draining"  # its device password is revoked, and messages may still bear its mark


@dataclass(frozen=True)
class SlotState:
    """One POP slot of a mailbox.

    Attributes:
        number: from 1 on, as in `$Pop1`.
        state: what it is.
        device: whose it is, or None if it is free.
    """

    number: int
    state: Slot
    device: DevicePassword | None


class _Same(Enum):
    SAME = "same"


#: Stands for a value that is left as it is, where None means something.
SAME: Final = _Same.SAME


def slots_of(mailbox: Mailbox) -> list[SlotState]:
    """Return the POP slots of a mailbox, in the order of their numbers. One query."""
    rows = DevicePassword.objects.filter(mailbox=mailbox, slot__isnull=False)
    holders = {device.slot: device for device in rows}
    return [_slot_state(number, holders.get(number)) for number in SLOTS]


def free_slots(mailbox: Mailbox) -> int:
    """Return how many POP slots of a mailbox can be given."""
    return sum(slot.state == Slot.FREE for slot in slots_of(mailbox))


def create_device(
    *,
    mailbox: Mailbox,
    label: str,
    imap: bool = True,
    pop3: bool = True,
    expires_at: datetime | None = None,
    own_view: bool = True,
    continues_main: bool = False,
    by: User | None = None,
) -> tuple[DevicePassword, str]:
    """Make a device password.

    Args:
        mailbox: which it opens.
        label: what people call the device; no other of the mailbox that is not revoked is called so.
        imap, pop3: what it opens, where the mailbox and its domain have that on too; one of them at least.
        expires_at: until when it works, or None for ever.
        own_view: whether it has its own view of the inbox over POP, if it opens that: then it takes a slot. Else it
            shares that of the main password.
        continues_main: whether its own view begins with what POP programs on the main password have deleted, instead
            of offering the whole inbox. The device is one of these, which moves.
        by: who makes it.

    Returns:
        its row, and the password, which is kept nowhere.

    Raises:
        NoFreeSlot: if it needs a slot and there is none.
        Problem: if a value cannot be used, the mailbox is deleted or has too many, or the marks of the shared view
            could not be copied: then it is revoked again.
    """
    label = _checked_label(label)
    _check_protocols(imap=imap, pop3=pop3)
    _check_expiry(expires_at)
    password = generate_password()
    with transaction.atomic():
        _lock(mailbox)
        _check_room(mailbox, label)
        device = DevicePassword.objects.create(
            mailbox=mailbox,
            label=label,
            secret_hash=hash_device_password(password, mail.pepper()),
            pepper=mail.PEPPER,
            imap=imap,
            pop3=pop3,
            slot=_first_free(mailbox) if own_view and pop3 else None,
            created_by=by,
            expires_at=expires_at,
        )
        told = {"device": label, "imap": imap, "pop3": pop3, "expires_at": expires_at}
        _record("mailbox.device_created", device, after=told)
    if continues_main and device.slot is not None:
        _continue_main(device)
    return device, password


def renew_device(*, device: DevicePassword) -> str:
    """Give a device a new password and return it. The old one stops working at once; view and name stay.

    Raises:
        Problem: if it is revoked or has expired, or its mailbox is deleted.
    """
    password = generate_password()
    with transaction.atomic():
        _refresh(device)
        if device.state == DevicePassword.State.EXPIRED:
            raise Problem(
                _('"%(label)s" has expired. Say first until when it is to work.') % {"label": device}
            )
        device.secret_hash = hash_device_password(password, mail.pepper())
        device.pepper = mail.PEPPER
        device.save(update_fields=["secret_hash", "pepper"])
        _record("mailbox.device_renewed", device, after={"device": device.label})
        end_mail_sessions(device.mailbox)
    return password


def edit_device(
    *,
    device: DevicePassword,
    label: str | None = None,
    imap: bool | None = None,
    pop3: bool | None = None,
    expires_at: datetime | _Same | None = SAME,
) -> None:
    """Change what is given; the rest stays. What is switched off ends the mailbox's sessions.

    One that was made without POP has no view of its own when it is switched on: it shares that of the main password.

    Args:
        device: which.
        label: what people call it.
        imap, pop3: what it opens.
        expires_at: until when it works, or None for ever.

    Raises:
        Problem: if a value cannot be used, it is revoked, or its mailbox is deleted.
    """
    with transaction.atomic():
        _refresh(device)
        new: dict[str, Any] = {
            name: value for name, value in (("imap", imap), ("pop3", pop3)) if value is not None
        }
        if label is not None:
            new["label"] = _checked_label(label)
        if not isinstance(expires_at, _Same):
            new["expires_at"] = expires_at
        before, after = audit.changed({name: getattr(device, name) for name in new}, new)
        if not after:
            return
        if "label" in after:
            _check_label_free(device.mailbox, new["label"], instead_of=device)
        if "expires_at" in after:
            _check_expiry(after["expires_at"])
            device.expiry_done_at = None
        switched_off = any(after.get(name) is False for name in ("imap", "pop3"))
        told = {"device": device.label}
        for name, value in after.items():
            setattr(device, name, value)
        _check_protocols(imap=device.imap, pop3=device.pop3)
        device.save(update_fields=[*after, "expiry_done_at"])
        _record("mailbox.device_edited", device, before=told | _named(before), after=told | _named(after))
        if switched_off:
            end_mail_sessions(device.mailbox)


def revoke_device(*, device: DevicePassword) -> None:
    """End a device password for good: it is refused at once, and sessions end. Doing it again does nothing.

    Its slot can be given again when a job has cleaned the messages of its mark.
    """
    _revoke(device, drain_after=draining.AFTER)


def require_devices(*, mailbox: Mailbox, required: bool) -> None:
    """Say whether mail programs need a device password. The main password then opens the panel only.

    Raises:
        Conflict: if the mailbox is deleted.
    """
    check_alive(mailbox)
    with transaction.atomic():
        update_mailbox(mailbox, None, "mailbox.devices_required", device_required=required)
        if required:
            end_mail_sessions(mailbox)


def end_expired() -> int:
    """End the sessions of device passwords that have expired since this was done last, and return how many those are.

    A slot stays with its device password until that is revoked: it may be given more time.
    """
    count = 0
    for device in newly_expired():
        with transaction.atomic():
            rows = DevicePassword.objects.filter(pk=device.pk, expiry_done_at=None)
            if not rows.update(expiry_done_at=timezone.now()):
                continue
            if device.mailbox.state != Mailbox.State.DELETED:
                end_mail_sessions(device.mailbox)
            count += 1
    return count


def newly_expired() -> list[DevicePassword]:
    """Return the device passwords that have expired, and whose sessions were not ended for that yet."""
    rows = DevicePassword.objects.filter(
        expires_at__lte=timezone.now(), expires_at__isnull=False, revoked_at=None, expiry_done_at=None
    )
    return list(rows.select_related("mailbox__domain__customer").order_by("pk")[:500])


def _slot_state(number: int, device: DevicePassword | None) -> SlotState:
    if device is None:
        return SlotState(number, Slot.FREE, None)
    return SlotState(number, Slot.USED if device.revoked_at is None else Slot.DRAINING, device)


def _first_free(mailbox: Mailbox) -> int:
    """Return a slot to give; the mailbox is locked."""
    free = next((slot.number for slot in slots_of(mailbox) if slot.state == Slot.FREE), None)
    if free is None:
        raise NoFreeSlot(
            _(
                "%(count)s devices have their own view of the inbox over POP, and there are no more. "
                "Let this one share the view of the main password, or revoke another first: its place is free "
                "about a minute later."
            )
            % {"count": len(SLOTS)}
        )
    return free


def _continue_main(device: DevicePassword) -> None:
    try:
        draining.copy_main(device)
    except DoveadmError as err:
        logger.warning("The marks of %s could not be copied: %s", device.mailbox, err)
        # Dovecot may still be at it: the slot stays closed until it certainly is not.
        _revoke(device, drain_after=draining.AFTER_DOUBT)
        raise Problem(
            _(
                "The mail service could not take over what the main password has seen, so this device password was "
                "revoked again. Try again in a few minutes, or make it without taking that over."
            )
        ) from err


def _revoke(device: DevicePassword, *, drain_after: Any) -> None:
    with transaction.atomic():
        mailbox = device.mailbox
        rows = DevicePassword.objects.filter(pk=device.pk, revoked_at=None)
        if not rows.update(revoked_at=timezone.now()):
            device.refresh_from_db()
            return
        device.refresh_from_db()
        device.mailbox = mailbox
        _record("mailbox.device_revoked", device, after={"device": device.label})
        end_mail_sessions(mailbox)
        if device.slot is not None:
            draining.start(device, after=drain_after)


def _lock(mailbox: Mailbox) -> None:
    """Let nobody else give a slot or a label of this mailbox, nor delete it, until the transaction ends.

    Raises:
        Problem: if it is deleted, as it is now.
    """
    rows = Mailbox.objects.select_for_update(of=("self",)).select_related("domain__customer")
    row = rows.filter(pk=mailbox.pk).first()
    if row is None:
        raise Problem(_("%(name)s was removed for good meanwhile.") % {"name": mailbox})
    check_alive(row)


def _refresh(device: DevicePassword) -> None:
    """Read a device as it is now, locked with its mailbox.

    Raises:
        Problem: if it is revoked, or its mailbox is deleted.
    """
    mailbox = device.mailbox
    _lock(mailbox)
    device.refresh_from_db()
    device.mailbox = mailbox
    if device.revoked_at is not None:
        raise Problem(_('"%(label)s" is revoked. Make a new device password.') % {"label": device})


def _check_room(mailbox: Mailbox, label: str) -> None:
    living = DevicePassword.objects.filter(mailbox=mailbox, revoked_at=None)
    if living.count() >= MOST:
        raise Problem(
            _("A mailbox has at most %(most)s device passwords. Revoke one that is not used any more.")
            % {"most": MOST}
        )
    _check_label_free(mailbox, label)


def _check_label_free(mailbox: Mailbox, label: str, instead_of: DevicePassword | None = None) -> None:
    living = DevicePassword.objects.filter(mailbox=mailbox, revoked_at=None)
    taken = {device.label.casefold() for device in living if device != instead_of}
    if label.casefold() in taken:
        raise Problem(
            _('There is a device password "%(label)s" already. Give this one another name.')
            % {"label": label},
            "label",
        )


def _checked_label(label: str) -> str:
    label = " ".join(label.split())
    if not label:
        raise Problem(_("Give the device a name, such as Office PC."), "label")
    if label.casefold() == _MAIN:
        raise Problem(_("This is what the mailbox's own password is called. Give another name."), "label")
    try:
        return check_line(label, _("The name"), longest=LABEL_MAX)
    except Problem as err:
        raise Problem(str(err), "label") from err


def _check_protocols(*, imap: bool, pop3: bool) -> None:
    if not imap and not pop3:
        raise Problem(_("Choose IMAP, POP or both: this password would open nothing."), "protocols")


def _check_expiry(expires_at: datetime | None) -> None:
    if expires_at is not None and expires_at <= timezone.now():
        raise Problem(_("Choose a time that is still to come."), "expires_at")


def _named(values: dict[str, Any]) -> dict[str, Any]:
    """Return values as the audit trail calls them."""
    return {"device" if name == "label" else name: value for name, value in values.items()}


def _record(action: str, device: DevicePassword, **values: Any) -> None:
    mailbox = device.mailbox
    audit.record(action, target=mailbox, customer_id=mailbox.domain.customer_id, **values)
