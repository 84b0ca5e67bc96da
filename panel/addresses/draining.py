"""POP marks of device passwords: copied from the shared view, and cleaned away before a slot is given again.

A mark that were left on a message would hide it from the next device that has the slot. So a slot is free only when
its device is shut out for certain, and no message bears the mark: in no folder, and among the removed ones neither.
"""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from mailbackend import maildir
from mailbackend.maildir import POP_KEYWORDS
from panel.addresses.models import DevicePassword, Mailbox
from panel.addresses.sessions import KICKS_AFTER, kick
from panel.core import mail
from panel.core.errors import Problem
from panel.core.jobs import start_job
from panel.core.models import Job
from panel.core.said import in_words

#: The job's name.
KIND = "drain_slot"
#: Messages are cleaned this long after their device was shut out: the last kick has ended what was on its way then.
AFTER = timedelta(seconds=KICKS_AFTER[-1] + 2)
#: And this long after Dovecot was asked to set marks and did not answer. It does not go on so long.
AFTER_DOUBT = timedelta(minutes=10)
#: A message can be moved from a folder that is not cleaned yet to one that is: then all are cleaned again.
ROUNDS = 5
#: Seconds to wait for an answer about a large mailbox; and while somebody waits for a page.
WAIT, WAIT_ON_PAGE = 300.0, 15.0


def start(device: DevicePassword, *, after: timedelta) -> None:
    """Have the slot of a device password that was just revoked cleaned by a stored job."""
    start_job(KIND, delay=after, device=device.pk)


def drain(device_id: int) -> bool:
    """Clean the slot of a revoked device password and give it back; return whether it is free now.

    Doing it again does nothing. In a deleted mailbox nothing is done: if that is restored, `without_job` finds the
    slot.

    Raises:
        Problem: if the mail root is not there, or messages kept being moved meanwhile.
        DoveadmError: if the mail service does not do it.
    """
    rows = DevicePassword.objects.filter(pk=device_id, revoked_at__isnull=False, slot__isnull=False)
    device = rows.select_related("mailbox__domain").first()
    if device is None or device.slot is None or device.mailbox.state == Mailbox.State.DELETED:
        return False
    mailbox, mark = device.mailbox, POP_KEYWORDS[device.slot]
    if mailbox.provisioned_at is not None:
        _clean(mailbox, mark)
    # What was cleaned is what had this address: if it is another by now, the slot waits for the next sweep.
    return bool(rows.filter(mailbox__address=mailbox.address).update(slot=None))


def copy_main(device: DevicePassword) -> None:
    """Hide from a device what POP programs on the main password have deleted. While somebody waits for a page.

    Raises:
        DoveadmError: if the mail service does not do it in time. Some of it may be done, or be done later.
    """
    assert device.slot is not None
    api = mail.doveadm(timeout=WAIT_ON_PAGE)
    api.copy_mark(device.mailbox.address, POP_KEYWORDS[0], POP_KEYWORDS[device.slot])


def start_without_job() -> int:
    """Start the job of each slot that waits to be cleaned and has none any more; return how many."""
    found = without_job()
    for device in found:
        start(device, after=timedelta(0))
    return len(found)


def without_job() -> list[DevicePassword]:
    """Return the revoked device passwords that still have a slot, and no job that would clean it."""
    under_way = _jobs_under_way().values_list("arguments__device", flat=True)
    draining = DevicePassword.objects.filter(
        revoked_at__lt=timezone.now() - AFTER,
        slot__isnull=False,
        mailbox__deleted_at=None,
        mailbox__domain__deleted_at=None,
    )
    return list(draining.exclude(pk__in=set(under_way)).order_by("pk")[:500])


def _jobs_under_way() -> QuerySet[Job]:
    return Job.objects.filter(kind=KIND, state__in=[Job.State.QUEUED, Job.State.RUNNING])


def _clean(mailbox: Mailbox, mark: str) -> None:
    mail.check_mail_root()
    kick(mailbox.address)
    api = mail.doveadm(timeout=WAIT)
    for _round in range(ROUNDS):
        removed = maildir.has_removed_mail(settings.DATA_DIR.mail, mailbox.home_path)
        if not Mailbox.objects.filter(pk=mailbox.pk, address=mailbox.address).exists():
            return  # Dovecot knows mailboxes by their addresses: this one may be another's by now.
        api.clear_mark(mailbox.address, mark, removed=removed)
        if api.is_marked(mailbox.address, mark, removed=removed):
            continue
        # The folder of removed messages is made with the first: one that was removed meanwhile has not been looked at.
        if removed or not maildir.has_removed_mail(settings.DATA_DIR.mail, mailbox.home_path):
            return
    raise Problem(in_words("Messages were moved while a POP view was being cleaned."))
