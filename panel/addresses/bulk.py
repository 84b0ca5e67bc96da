"""Many mailboxes at once: all or none, in few queries and with one synchronisation of the disk."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from mailbackend import maildir
from mailbackend.addresses import Address, home_path
from mailbackend.passwords import hash_password, is_hash
from panel.addresses import services
from panel.addresses.limits import check_domain_storage, check_limits, sum_of_quotas
from panel.addresses.models import Domain, Mailbox
from panel.addresses.welcome import welcome_message
from panel.core import audit, mail
from panel.core.errors import Problem
from panel.core.jobs import cancel_job, start_job
from panel.core.models import Job

#: Rows of one statement.
BATCH = 500
#: How many bad rows the message names; the exception holds all.
NAMED_IN_MESSAGE = 20


@dataclass(frozen=True)
class NewMailbox:
    """A mailbox to create.

    Attributes:
        local_part: as a person writes it.
        password: as typed, hashed when it is created (12 ms of one core each), or empty if `password_hash` is given.
        password_hash: as `passwords.hash_password` gives it.
        display_name: of its owner.
        quota_bytes: its limit, or None for none.
    """

    local_part: str
    password: str = field(default="", repr=False)
    password_hash: str = field(default="", repr=False)
    display_name: str = ""
    quota_bytes: int | None = None


@dataclass(frozen=True)
class BadRow:
    """One mailbox of a list that cannot be created.

    Attributes:
        number: its place in the list, from 1.
        local_part: as given.
        problem: what is wrong, in a sentence.
        field: which value it is about.
    """

    number: int
    local_part: str
    problem: str
    field: str

    def __str__(self) -> str:
        return f"{self.number} ({self.local_part[:64]}): {self.problem}"


class BadRows(Problem):
    """Some mailboxes of a list cannot be created, so none was.

    Attributes:
        rows: all of them.
    """

    def __init__(self, rows: Sequence[BadRow]) -> None:
        named = " ".join(str(row) for row in rows[:NAMED_IN_MESSAGE])
        more = len(rows) - NAMED_IN_MESSAGE
        if more > 0:
            named += " " + _("And %(more)s more.") % {"more": more}
        super().__init__(_("Nothing was created. %(rows)s") % {"rows": named}, "mailboxes")
        self.rows = tuple(rows)


def create_mailboxes(*, domain: Domain, mailboxes: Sequence[NewMailbox]) -> list[Mailbox]:
    """Create several mailboxes of one domain, all or none: rows, homes, logins, in this order.

    Should this process die on the way, a job completes what it left, as it does for a single creation.

    Args:
        domain: where; it must not be deleted.
        mailboxes: what to create; passwords are hashed on all cores.

    Raises:
        BadRows: if values cannot be used or addresses are taken; it names each.
        Problem: if a limit is reached, or the disk refuses. Nothing is left behind then.
    """
    rows = _checked_rows(domain, mailboxes)
    mail.check_mail_root()
    for row, hashed in zip(rows, _hashes(mailboxes), strict=True):
        row.password = hashed
    completion = _save(domain, rows)
    if completion is None:
        return []
    try:
        provision_all(rows)
    except OSError as err:
        services.undo_creation(rows)
        raise services.home_refused(domain.name, err) from err
    cancel_job(completion)
    return rows


def provision_all(rows: Sequence[Mailbox]) -> None:
    """Build the homes of saved mailboxes and let them log in. Doing it again does nothing.

    Raises:
        OSError: if the disk refuses, or a place is taken (maildir.HomeTaken).
    """
    maildir.provision_all(
        settings.DATA_DIR.mail,
        [maildir.NewHome(row.home_path, row.home_token, [welcome_message(row)]) for row in rows],
    )
    now = timezone.now()
    for start in range(0, len(rows), BATCH):
        ids = [row.pk for row in rows[start : start + BATCH]]
        Mailbox.objects.filter(pk__in=ids, provisioned_at=None).update(provisioned_at=now)
    for row in rows:
        row.provisioned_at = row.provisioned_at or now


def complete_creations(domain_id: int) -> int:
    """Complete the mailboxes of a domain whose creation was cut off.

    Args:
        domain_id: which; it may be gone by now.

    Returns:
        how many there were.

    Raises:
        OSError: if the disk refuses, or a place is taken (maildir.HomeTaken).
        Problem: if the mail root is not there.
    """
    unborn = Mailbox.objects.select_related("domain").filter(domain_id=domain_id, provisioned_at=None)
    rows = list(unborn.filter(created_at__lte=timezone.now() - services.COMPLETE_AFTER / 2))
    if rows:
        mail.check_mail_root()
        provision_all(rows)
    return len(rows)


def _checked_rows(domain: Domain, mailboxes: Sequence[NewMailbox]) -> list[Mailbox]:
    rows: list[Mailbox] = []
    bad: list[BadRow] = []
    for number, new in enumerate(mailboxes, 1):
        try:
            _check_password(new)
            rows.append(services.unsaved_mailbox(domain, new.local_part, new.display_name, new.quota_bytes))
        except Problem as problem:
            bad.append(BadRow(number, new.local_part, str(problem), problem.field))
    if not bad:
        times = Counter(row.local_part for row in rows)
        bad = [
            BadRow(number, row.local_part, _("It is in the list more than once."), "local_part")
            for number, row in enumerate(rows, 1)
            if times[row.local_part] > 1
        ]
    if bad:
        raise BadRows(bad)
    return rows


def _check_password(new: NewMailbox) -> None:
    if not new.password_hash:
        services.check_mailbox_password(new.password)
    elif new.password or not is_hash(new.password_hash):
        raise Problem(_("Give either a password or a hash that was made here."), "password")


def _hashes(mailboxes: Sequence[NewMailbox]) -> list[str]:
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        # Argon2's library computes without holding the interpreter's lock.
        return list(threads.map(lambda new: new.password_hash or hash_password(new.password), mailboxes))


def _save(domain: Domain, rows: Sequence[Mailbox]) -> Job | None:
    """Save the rows with their homes' paths, and the job that completes them should this process die."""
    with transaction.atomic():
        domain = services.locked(domain)
        services.check_alive(domain)
        _check_free(domain, rows)
        if not rows:
            return None
        quotas = sum_of_quotas(row.quota_bytes for row in rows)
        check_domain_storage(domain, quotas)
        check_limits(domain.customer, more_mailboxes=len(rows), more_bytes=quotas)
        Mailbox.objects.bulk_create(rows, batch_size=BATCH)
        for row in rows:
            row.home = str(home_path(Address(row.local_part, domain.name), row.pk))
        Mailbox.objects.bulk_update(rows, ["home"], batch_size=BATCH)
        audit.record_all(
            "mailbox.created",
            [(row, domain.customer_id, services.told_of_new(row)) for row in rows],
        )
        delay = services.COMPLETE_AFTER + services.COMPLETE_AFTER_EACH * len(rows)
        return start_job("complete_creation", delay=delay, domain_id=domain.pk)


def _check_free(domain: Domain, rows: Sequence[Mailbox]) -> None:
    """Check that no address is taken. The domain is locked, so none is taken meanwhile."""
    living = Mailbox.objects.filter(domain=domain, deleted_at=None)
    taken = set(living.values_list("local_part", flat=True))
    bad = [
        BadRow(
            number, row.local_part, _("%(address)s exists already.") % {"address": row.address}, "local_part"
        )
        for number, row in enumerate(rows, 1)
        if row.local_part in taken
    ]
    if bad:
        raise BadRows(bad)
