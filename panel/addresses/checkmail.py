"""Check that rows, homes and logins agree, and mend what can be mended without losing anything."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import DatabaseError

from mailbackend import maildir
from panel.addresses import services
from panel.addresses.models import Mailbox
from panel.addresses.views_for_dovecot import create_views, missing_views
from panel.core import mail
from panel.core.errors import Problem


@dataclass(frozen=True)
class Failure:
    """Something that does not agree.

    Attributes:
        subject: the address, folder or view that it is about.
        problem: what is wrong, in words.
        mended: whether it is right again.
        mendable: whether `--repair` would mend it.
    """

    subject: str
    problem: str
    mended: bool
    mendable: bool


@dataclass
class Report:
    """What was looked at and what was found."""

    mailboxes: int = 0
    messages: int = 0
    bytes: int = 0
    failures: list[Failure] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return the report as the contract has it."""
        return {
            "mailboxes": self.mailboxes,
            "messages": self.messages,
            "bytes": self.bytes,
            "failures": [vars(failure) for failure in self.failures],
        }


def check_mail(*, repair: bool) -> Report:
    """Look at every mailbox; with `repair`, mend what can be mended.

    A home that ever held mail is never made again empty, and a folder that no mailbox owns is never removed:
    both are reported for the administrator to decide.

    Raises:
        Problem: if the mail root is not there. Nothing is looked at or mended then.
    """
    mail.check_mail_root()
    report = Report()
    _check_views(report, repair)
    known = set()
    rows = Mailbox.objects.select_related("domain__customer").order_by("pk")
    for mailbox in rows.iterator(chunk_size=500):
        known.add(mailbox.home)
        _check_mailbox(mailbox, report, repair)
    _check_strangers(known, report, repair)
    return report


def _check_views(report: Report, repair: bool) -> None:
    missing = missing_views()
    if missing and repair:
        create_views()
    report.failures += [
        Failure(name, "The view that Dovecot reads is missing.", mended=repair, mendable=True)
        for name in missing
    ]


def _check_mailbox(mailbox: Mailbox, report: Report, repair: bool) -> None:
    report.mailboxes += 1
    root = settings.DATA_DIR.mail
    try:
        there = bool(mailbox.home) and maildir.has_home(root, mailbox.home_path, mailbox.home_token)
        if not mailbox.provisioned_at:
            _complete(mailbox, report, repair)
        elif not there:
            report.failures.append(
                Failure(
                    mailbox.address,
                    f"Its home {mailbox.home} is gone: bring it back from a backup. It is not made again empty.",
                    mended=False,
                    mendable=False,
                )
            )
        else:
            _check_home(mailbox, report, repair)
            usage = maildir.measure(root, mailbox.home_path)
            report.messages += usage.messages
            report.bytes += usage.used_bytes
    except (OSError, Problem, DatabaseError) as err:
        report.failures.append(Failure(mailbox.address, str(err), mended=False, mendable=False))


def _complete(mailbox: Mailbox, report: Report, repair: bool) -> None:
    """Finish a mailbox whose creation was cut off between its row and its login."""
    if repair:
        services.provision(mailbox)
    report.failures.append(
        Failure(mailbox.address, "Its creation was cut off.", mended=repair, mendable=True)
    )


def _check_home(mailbox: Mailbox, report: Report, repair: bool) -> None:
    root = settings.DATA_DIR.mail
    findings = maildir.check_home(root, mailbox.home_path)
    if repair and any(finding.mendable for finding in findings):
        maildir.mend_home(root, mailbox.home_path)
    report.failures += [
        Failure(
            mailbox.address,
            f"{finding.problem}.",
            mended=repair and finding.mendable,
            mendable=finding.mendable,
        )
        for finding in findings
    ]


def _check_strangers(known: set[str], report: Report, repair: bool) -> None:
    root = settings.DATA_DIR.mail
    for home in maildir.homes_on_disk(root):
        # A name that is not UTF-8 is shown with escapes; no mailbox has one.
        name = os.fsencode(home).decode("utf-8", "backslashreplace")
        if name not in known and not Mailbox.objects.filter(home=name).exists():
            problem = "No mailbox owns this folder. It is left as it is."
            report.failures.append(Failure(name, problem, mended=False, mendable=False))
    for building in maildir.abandoned_builds(root, time.time()):
        if repair:
            maildir.remove_build(building)
        problem = "Left by a creation that was cut off."
        subject = str(building.relative_to(root))
        report.failures.append(Failure(subject, problem, mended=repair, mendable=True))
