"""Jobs of the part."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from panel.addresses import bulk, checkmail, claims, device_passwords, draining, purging, sessions
from panel.addresses.report import Report
from panel.core.jobs import job_kind, start_alone, start_job
from panel.core.schedule import look


@job_kind(_("Ending sessions of a mailbox"), hidden=True)
def kick_mailbox(*, address: str) -> dict[str, Any]:
    """End the open sessions of one mailbox."""
    return {"ended": sessions.kick(address)}


@job_kind(_("Ending sessions of a domain"), hidden=True)
def kick_domain(*, domain_id: int, seconds_left: list[int]) -> dict[str, Any]:
    """End the open sessions of a domain's mailboxes, and again after each of `seconds_left`."""
    ended = sessions.kick_domain(domain_id)
    if seconds_left:
        wait = timedelta(seconds=seconds_left[0])
        start_job("kick_domain", delay=wait, domain_id=domain_id, seconds_left=seconds_left[1:])
    return {"ended": ended}


@job_kind(_("Ending sessions of a customer"), hidden=True)
def kick_customer(*, customer_id: int, seconds_left: list[int]) -> dict[str, Any]:
    """End the open sessions of all a customer's mailboxes, and again after each of `seconds_left`."""
    ended = sessions.kick_customer(customer_id)
    if seconds_left:
        wait = timedelta(seconds=seconds_left[0])
        start_job("kick_customer", delay=wait, customer_id=customer_id, seconds_left=seconds_left[1:])
    return {"ended": ended}


@job_kind(_("Cleaning the place of a revoked device password"), hidden=True)
def drain_slot(*, device: int) -> dict[str, Any]:
    """Take the POP mark of a revoked device password off all messages, so that another device can have it."""
    return {"freed": draining.drain(device)}


@job_kind(_("Ending sessions of expired device passwords"), hidden=True)
def end_expired_devices() -> dict[str, Any]:
    """End the sessions of device passwords that have just expired."""
    return {"ended": device_passwords.end_expired()}


@job_kind(_("Completing new mailboxes"), hidden=True)
def complete_creation(*, domain_id: int) -> dict[str, Any]:
    """Complete the mailboxes of a domain whose creation was cut off."""
    return {"completed": bulk.complete_creations(domain_id)}


@job_kind(_("Checking the mail folders"))
def check_mail(*, repair: bool = False, thorough: bool = False) -> dict[str, Any]:
    """Check that rows, homes and logins agree."""
    return checkmail.check_mail(repair=repair, thorough=thorough).as_json()


@job_kind(_("Looking for mail that came too late"), hidden=True)
def retire_late_homes() -> dict[str, Any]:
    """Retire homes that deliveries made again after their mailboxes were purged."""
    return purging.retire_late_homes(since=timezone.now() - purging.LOOK_LATER_AT).as_json()


@job_kind(_("Erasing the mail of removed mailboxes"))
def erase_retired_homes() -> dict[str, Any]:
    """Erase retired homes."""
    report = Report()
    purging.erase_retired(report)
    return report.as_json()


@job_kind(_("Looking for the records that prove domains"), hidden=True)
def check_domain_claims() -> dict[str, Any]:
    """Look for the records of the claimed domains that are due."""
    return dict(claims.check_due())


@look(_("Looking which claimed domains are due"))
def start_due_domain_claims() -> None:
    """Start the job above where there is something to do: mostly nobody waits for a record."""
    if claims.due_claims(timezone.now()).exists():
        start_alone("check_domain_claims")


@look(_("Looking for device passwords that have just expired"))
def start_ending_expired_devices() -> None:
    """Start the job above where there is something to do."""
    if device_passwords.newly_expired():
        start_alone("end_expired_devices")


@look(_("Looking for places of revoked device passwords that are not clean yet"))
def start_draining_left_over() -> None:
    """Start again the cleaning that was given up, or whose mailbox was restored."""
    draining.start_without_job()
