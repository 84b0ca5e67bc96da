"""Ending the sessions of whoever is shut out: at once, and again, because a login on its way survives a kick."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta

from django.db import transaction

from mailbackend.dovecot.doveadm import DoveadmError
from panel.addresses.models import Domain, Mailbox
from panel.core import mail
from panel.core.jobs import start_job

logger = logging.getLogger(__name__)

#: A login in flight survives one kick: it is done again after these seconds.
KICKS_AFTER = (1, 3, 10)


def end_sessions(mailbox: Mailbox) -> None:
    """End a mailbox's open sessions once this transaction commits, and again from stored jobs.

    A login that was being checked at that moment survives a single kick, so later ones follow.
    """
    address = mailbox.address
    transaction.on_commit(lambda: _now(address, lambda: mail.doveadm(timeout=2).kick(address)))
    for seconds in KICKS_AFTER:
        start_job("kick_mailbox", delay=timedelta(seconds=seconds), address=address)


def end_sessions_of_domain(domain: Domain) -> None:
    """End the open sessions of a domain's mailboxes once this transaction commits, and again from a stored job."""
    domain_id = domain.pk
    transaction.on_commit(lambda: _now(domain.name, lambda: kick_domain(domain_id, timeout=2)))
    start_job("kick_domain", domain_id=domain_id, seconds_left=list(KICKS_AFTER))


def kick_domain(domain_id: int, *, timeout: float = 10) -> int:
    """End the open sessions of a domain's mailboxes now.

    Args:
        domain_id: which.
        timeout: seconds for each question to the mail service.

    Returns:
        how many mailboxes were in use.

    Raises:
        DoveadmError: if the mail service is not there.
    """
    addresses = set(Mailbox.objects.filter(domain_id=domain_id).values_list("address", flat=True))
    client = mail.doveadm(timeout=timeout)
    online = {session.address for session in client.who()} & addresses
    for address in sorted(online):
        client.kick(address)
    return len(online)


def _now(whose: str, kick: Callable[[], object]) -> None:
    try:
        kick()
    except DoveadmError as err:
        # The mail service is down, so there are no sessions; should it come up now, the stored kicks follow.
        logger.warning("Sessions of %s are ended by the job that follows: %s", whose, err)
