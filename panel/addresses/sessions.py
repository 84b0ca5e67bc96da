"""Ending the sessions of whoever is shut out: at once, and again, because a login on its way survives a kick."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from mailbackend.dovecot.doveadm import DoveadmError, NobodyListens
from panel.accounts.models import Customer
from panel.addresses.models import Domain, Mailbox
from panel.addresses.owners import end_panel_sessions
from panel.core import audit, mail
from panel.core.errors import Problem
from panel.core.jobs import start_job

logger = logging.getLogger(__name__)

#: A login in flight survives one kick: it is done again after these seconds.
KICKS_AFTER = (1, 3, 10)
#: A page that suspends a customer waits this long for its sessions to end; the job that follows ends the rest. Seconds.
KICKED_AT_ONCE = 3.0
#: When the mail service did not answer, nobody waits for it again for so long: one page may shut many out. Seconds.
LEFT_ALONE_FOR = 10.0

#: By `time.monotonic()`, of this process.
_left_alone_until: list[float] = [0.0]


def end_sessions(mailbox: Mailbox) -> None:
    """End a mailbox's open sessions once this transaction commits, and again from stored jobs.

    Its owner's sessions in the panel end with the transaction. A login that was being checked at that moment survives
    a single kick, so later ones follow.
    """
    end_panel_sessions(Mailbox.objects.filter(pk=mailbox.pk))
    end_mail_sessions(mailbox)


def end_mail_sessions(mailbox: Mailbox) -> None:
    """End a mailbox's open sessions in the same way; its owner's in the panel go on."""
    address = mailbox.address
    transaction.on_commit(lambda: _now(address, lambda: kick(address, timeout=2)))
    for seconds in KICKS_AFTER:
        start_job("kick_mailbox", delay=timedelta(seconds=seconds), address=address)


def end_by_hand(mailbox: Mailbox) -> None:
    """End a mailbox's open sessions because somebody asks for it, and write that down.

    Raises:
        Problem: if it is deleted: then none is open.
    """
    if mailbox.state == Mailbox.State.DELETED:
        raise Problem(_("%(name)s is deleted. Restore it first.") % {"name": mailbox})
    with transaction.atomic():
        audit.record("mailbox.sessions_ended", target=mailbox, customer_id=mailbox.domain.customer_id)
        end_mail_sessions(mailbox)


def end_sessions_of_domain(domain: Domain) -> None:
    """End the open sessions of a domain's mailboxes once this transaction commits, and again from a stored job."""
    domain_id = domain.pk
    end_panel_sessions(Mailbox.objects.filter(domain_id=domain_id))
    transaction.on_commit(lambda: _now(domain.name, lambda: kick_domain(domain_id, timeout=2)))
    start_job("kick_domain", domain_id=domain_id, seconds_left=list(KICKS_AFTER))


def kick(address: str, *, timeout: float = 10) -> bool:
    """End a mailbox's open sessions now.

    Args:
        address: whose.
        timeout: seconds for each step of the conversation with the mail service.

    Returns:
        whether there was one. While the mail service is stopped there is none.

    Raises:
        DoveadmError: if the mail service runs and does not do it.
    """
    try:
        return mail.doveadm(timeout=timeout).kick(address)
    except NobodyListens:
        if mail.sessions_are_possible():
            raise
        return False


def online(*, timeout: float = 10) -> set[str]:
    """Return the addresses that have a session now. While the mail service is stopped there is none.

    Raises:
        DoveadmError: if the mail service runs and does not answer.
    """
    try:
        return {session.address for session in mail.doveadm(timeout=timeout).who()}
    except NobodyListens:
        if mail.sessions_are_possible():
            raise
        return set()


def kick_domain(domain_id: int, *, timeout: float = 10) -> int:
    """End the open sessions of a domain's mailboxes now.

    Args:
        domain_id: which.
        timeout: seconds for each question to the mail service.

    Returns:
        how many mailboxes were in use.

    Raises:
        DoveadmError: if the mail service runs and does not do it.
    """
    return _kick_those_in_use(Mailbox.objects.filter(domain_id=domain_id), timeout)


def end_sessions_of_customer(customer: Customer) -> None:
    """End the open sessions of all a customer's mailboxes once this transaction commits, and again from a job."""
    customer_id = customer.pk
    end_panel_sessions(Mailbox.objects.filter(domain__customer_id=customer_id))
    transaction.on_commit(
        lambda: _now(customer.name, lambda: kick_customer(customer_id, timeout=2, within=KICKED_AT_ONCE))
    )
    start_job("kick_customer", customer_id=customer_id, seconds_left=list(KICKS_AFTER))


def kick_customer(customer_id: int, *, timeout: float = 10, within: float | None = None) -> int:
    """End the open sessions of all a customer's mailboxes now.

    Args:
        customer_id: which.
        timeout: seconds for each question to the mail service.
        within: seconds after which the rest is left to the next kick, or None to end all.

    Returns:
        how many mailboxes were in use.

    Raises:
        DoveadmError: if the mail service runs and does not do it.
    """
    mailboxes = Mailbox.objects.filter(domain__customer_id=customer_id)
    return _kick_those_in_use(mailboxes, timeout, within)


def _kick_those_in_use(mailboxes: QuerySet[Mailbox], timeout: float, within: float | None = None) -> int:
    until = None if within is None else time.monotonic() + within
    in_use = sorted(online(timeout=timeout) & set(mailboxes.values_list("address", flat=True)))
    for address in in_use:
        if until is not None and time.monotonic() > until:
            break
        kick(address, timeout=timeout)
    return len(in_use)


def _now(whose: str, kick: Callable[[], object]) -> None:
    if time.monotonic() < _left_alone_until[0]:
        return  # The stored kicks follow.
    try:
        kick()
    except DoveadmError as err:
        # It is busy or just going down: the stored kicks follow.
        _left_alone_until[0] = time.monotonic() + LEFT_ALONE_FOR
        logger.warning("Sessions of %s are ended by the job that follows: %s", whose, err)
