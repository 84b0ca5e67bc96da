"""The panel's side of what is measured of the check of quotas."""

from __future__ import annotations

import os
import re
import resource
import shutil
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from panel.accounts.customers import create_customer
from panel.accounts.models import Customer, User
from panel.addresses import services
from panel.addresses.models import Domain, Mailbox
from panel.addresses.usage import file_state
from panel.quotas.checking import check_quotas
from panel.quotas.models import MailboxLook

_PASSWORD = "a sentence for the bench"  # noqa: S105 - of people who live for minutes
_CUSTOMER, _OWNER, _DOMAINS = "Quotas of the bench", "owner@quotas.test", 100
#: Below the mail root; no home of a mailbox that was really made lies there.
_HOMES = "bench-quotas"
_QUOTA = 2 * 1024**3
#: Messages of the mailboxes that have some, their files empty: their names tell their sizes.
_MESSAGES, _SIZE = 100, 2048
_BATCH = 500
_SIZE_IN_NAME = re.compile(r",W=([0-9]+)")


def fill_quotas(size: int, changing: int) -> dict[str, Any]:
    """Make that many mailboxes, and note for each in which state it was looked at last.

    Args:
        size: how many.
        changing: how many of them have messages and may change, spread over all: what Dovecot notes itself is left to
            it there. Of the others there is no more than a check looks at.

    Returns:
        `keys` and `addresses` of these.
    """
    customer = create_customer(name=_CUSTOMER, owner_email=_OWNER, owner_password=_PASSWORD)
    domains = [services.create_domain(name=f"d{i}.quotas.test", customer=customer) for i in range(_DOMAINS)]
    now, apart = timezone.now(), size // changing
    keys, addresses = [], []
    for first in range(0, size, _BATCH):
        rows = Mailbox.objects.bulk_create(
            [
                Mailbox(
                    domain=domains[index % _DOMAINS],
                    local_part=f"m{index}",
                    address=f"m{index}@{domains[index % _DOMAINS].name}",
                    password="x" * 110,
                    quota_bytes=_QUOTA,
                    home=f"{_HOMES}/{index % 1000}/{index}",
                    provisioned_at=now,
                )
                for index in range(first, min(first + _BATCH, size))
            ]
        )
        for index, row in enumerate(rows, first):
            home = settings.DATA_DIR.mail / row.home
            if index % apart == 0:
                keys.append(row.pk)
                addresses.append(row.address)
                _make_home(home)
            else:
                (home / "Maildir").mkdir(parents=True)
                (home / "Maildir" / "dovecot.list.index.log").touch()
        MailboxLook.objects.bulk_create([_look(row, now) for row in rows])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return {"keys": keys, "addresses": addresses}


def empty_quotas() -> dict[str, Any]:
    """Take all of it away again."""
    domains = Domain.objects.filter(customer__name=_CUSTOMER)
    looks = MailboxLook.objects.filter(mailbox__domain__in=domains)
    looks._raw_delete(looks.db)
    mailboxes = Mailbox.objects.filter(domain__in=domains)
    mailboxes._raw_delete(mailboxes.db)
    domains.delete()
    User.objects.filter(email=_OWNER).delete()
    Customer.objects.filter(name=_CUSTOMER).delete()
    shutil.rmtree(settings.DATA_DIR.mail / _HOMES)
    return {}


def check(keys: Sequence[int], changed: Sequence[int]) -> dict[str, Any]:
    """Have some mailboxes count as changed and no others, and check all quotas.

    Args:
        keys: of those that something else may have changed since: Dovecot's own command, when it was asked about them.
        changed: the keys of those that count as changed.

    Returns:
        `seconds` of the check, its `queries`, how much `memory` the process took more at its peak (MB), the
        `mailboxes` that were looked at, and the `failures`.
    """
    for row in Mailbox.objects.filter(pk__in=keys):
        MailboxLook.objects.filter(mailbox=row).update(file_state=_look(row, timezone.now()).file_state)
    MailboxLook.objects.filter(pk__in=changed).update(file_state="another")
    before = _peak()
    with CaptureQueriesContext(connection) as queries:
        started = time.perf_counter()
        report = check_quotas(now=timezone.now())
        seconds = time.perf_counter() - started
    return {
        "seconds": seconds,
        "queries": len(queries),
        "memory": (_peak() - before) / 1024,
        "mailboxes": report.mailboxes,
        "failures": [failure.problem for failure in report.failures],
    }


def walk(keys: Sequence[int]) -> dict[str, Any]:
    """Add up what some mailboxes hold by walking their folders: scandir, and the sizes that the names tell."""
    root = settings.DATA_DIR.mail
    homes = list(Mailbox.objects.filter(pk__in=keys).values_list("home", flat=True))
    started = time.perf_counter()
    used = sum(_walked(f"{root}/{home}/Maildir") for home in homes)
    return {"seconds": time.perf_counter() - started, "mailboxes": len(homes), "bytes": used}


def _walked(maildir: str) -> int:
    used = 0
    for entry in os.scandir(maildir):
        if entry.name in ("cur", "new"):
            for message in os.scandir(entry.path):
                found = _SIZE_IN_NAME.search(message.name)
                used += int(found[1]) if found else message.stat().st_size
        elif entry.name.startswith(".") and entry.is_dir():
            used += _walked(entry.path)
    return used


def _make_home(home: Path) -> None:
    maildir = f"{home}/Maildir"
    for part in ("cur", "new", "tmp"):
        Path(maildir, part).mkdir(parents=True)
    for number in range(_MESSAGES):
        os.close(os.open(f"{maildir}/cur/1764331200.M{number}P1.bench,S={_SIZE},W={_SIZE}:2,S", os.O_CREAT))
    (home / ".mailbox").touch()


def _look(row: Mailbox, now: Any) -> MailboxLook:
    return MailboxLook(
        mailbox=row,
        file_state=file_state(settings.DATA_DIR.mail, row.home, row.quota_bytes),
        looked_at=now,
        # Those that Dovecot knows are the ones to compare with their files.
        compared_at=now + timedelta(days=1),
        used_bytes=_MESSAGES * _SIZE,
        messages=_MESSAGES,
    )


def _peak() -> int:
    """Return the most memory that this process had until now. KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
