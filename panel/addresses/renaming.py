"""Giving a mailbox another address: its mail stays where it is, only the row changes."""

from __future__ import annotations

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from panel.addresses.limits import check_domain_storage
from panel.addresses.models import Domain, Mailbox
from panel.addresses.moving import moving
from panel.addresses.services import check_alive, locked, unsaved_mailbox, update_mailbox
from panel.addresses.sessions import end_sessions
from panel.core.errors import Problem


def rename_mailbox(
    *, mailbox: Mailbox, local_part: str, domain: Domain | None = None, version: int | None = None
) -> None:
    """Give a mailbox another address. From then on the old one is unknown: it refuses mail and logins.

    The home keeps its path, so a message on its way to the old address still arrives in it.

    Args:
        mailbox: which.
        local_part: as a person writes it.
        domain: another domain of the same customer, or None to stay on this one.
        version: as the form was shown, or None to change whatever is there.

    Raises:
        Conflict: if it changed since `version`.
        Problem: if the address cannot be used or is taken, the domain is another customer's or deleted, or has no room
            for the mailbox's quota.
    """
    check_alive(mailbox)
    here = mailbox.domain
    there = domain or here
    new = unsaved_mailbox(there, local_part, "", None)
    if new.address == mailbox.address:
        raise Problem(_("This is its address already."), "local_part")
    try:
        with transaction.atomic():
            # Always in the order of their ids: two who rename crosswise do not wait for each other.
            domains = {row.pk: locked(row) for row in sorted((here, there), key=lambda row: row.pk)}
            here, there = domains[here.pk], domains[there.pk]
            check_alive(there)
            if there.customer_id != here.customer_id:
                raise Problem(_("Choose a domain of the same customer."), "domain")
            if there != here:
                check_domain_storage(there, mailbox.quota_bytes, field="domain")
            end_sessions(mailbox)
            with moving(mailbox):
                update_mailbox(
                    mailbox,
                    version,
                    "mailbox.renamed",
                    domain=there,
                    local_part=new.local_part,
                    address=new.address,
                )
    except IntegrityError as err:
        mailbox.refresh_from_db()
        raise Problem(_("%(address)s exists already.") % {"address": new.address}, "local_part") from err
