"""Check that rows, homes and logins agree, and mend what can be mended without losing anything.

Made for 100,000 mailboxes: each costs one stat, and a share of them, another each night, is gone through folder
by folder. Rows and folders are compared page by page, so that memory does not grow with their number.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import timedelta
from itertools import islice
from pathlib import PurePosixPath

from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone

from mailbackend import maildir
from mailbackend.addresses import mailbox_id_in
from panel.addresses import purging, services
from panel.addresses.models import Mailbox, PurgedMailbox
from panel.addresses.report import Failure, Report
from panel.addresses.views_for_dovecot import create_views, missing_views
from panel.core import jobs, mail
from panel.core.errors import Problem
from panel.core.keyset import pages_by_key

#: Rows, and folders, that are looked at together.
PAGE = 1000
#: While there are no more mailboxes than this, each is gone through at each check.
ALL_UP_TO = 2000
#: Beyond that each is gone through once in so many nights.
NIGHTS = 14
#: A mailbox without a login that is younger than this is being created at this moment.
GRACE = timedelta(minutes=1)


def check_mail(*, repair: bool, thorough: bool = False) -> Report:
    """Look at every mailbox; with `repair`, mend what can be mended.

    A home that ever held mail is never made again empty, and a folder that no mailbox owns is never removed:
    both are reported for the administrator to decide. Only late mail of a purged mailbox is retired.

    Args:
        repair: whether to mend.
        thorough: whether to go through the folders of all mailboxes, instead of tonight's share.

    Raises:
        Problem: if the mail root is not there, or vanishes meanwhile. Nothing is looked at or mended then.
    """
    mail.check_mail_root()
    report = Report()
    _check_views(report, repair)
    share = None if thorough or Mailbox.objects.count() <= ALL_UP_TO else timezone.now().toordinal() % NIGHTS
    for rows in pages_by_key(Mailbox.objects.select_related("domain"), PAGE):
        found = Report()
        for mailbox in rows:
            _check_mailbox(mailbox, found, repair, thorough=share is None or mailbox.pk % NIGHTS == share)
        # With the disk away all of them look lost: then this says so instead.
        mail.check_mail_root()
        report.take(found)
        jobs.note_progress(report.as_json())
    _check_disk(report, repair)
    return report


def _check_views(report: Report, repair: bool) -> None:
    missing = missing_views()
    if missing and repair:
        create_views()
    for name in missing:
        report.add(Failure(name, "The view that Dovecot reads is missing.", mended=repair, mendable=True))


def _check_mailbox(mailbox: Mailbox, report: Report, repair: bool, *, thorough: bool) -> None:
    report.mailboxes += 1
    if mailbox.purging_at:
        return  # its home may be gone: the purge goes on with it
    root = settings.DATA_DIR.mail
    try:
        if not mailbox.provisioned_at:
            _complete(mailbox, report, repair)
        elif not thorough and maildir.seems_there(root, mailbox.home):
            return
        elif not maildir.has_home(root, mailbox.home_path, mailbox.home_token):
            problem = (
                f"Its home {mailbox.home} is gone: bring it back from a backup. It is not made again empty."
            )
            report.add(Failure(mailbox.address, problem, mended=False, mendable=False))
        elif thorough:
            _go_through(mailbox, report, repair)
    except (OSError, Problem, DatabaseError) as err:
        report.add(Failure(mailbox.address, str(err), mended=False, mendable=False))


def _complete(mailbox: Mailbox, report: Report, repair: bool) -> None:
    """Finish a mailbox whose creation was cut off between its row and its login."""
    if repair:
        services.provision(mailbox)
    elif timezone.now() - mailbox.created_at < GRACE:
        return
    report.add(Failure(mailbox.address, "Its creation was cut off.", mended=repair, mendable=True))


def _go_through(mailbox: Mailbox, report: Report, repair: bool) -> None:
    root = settings.DATA_DIR.mail
    report.thorough += 1
    findings = maildir.check_home(root, mailbox.home_path)
    if repair and any(finding.mendable for finding in findings):
        maildir.mend_home(root, mailbox.home_path)
    for finding in findings:
        mended = repair and finding.mendable
        report.add(Failure(mailbox.address, f"{finding.problem}.", mended=mended, mendable=finding.mendable))
    usage = maildir.measure(root, mailbox.home_path)
    report.messages += usage.messages
    report.bytes += usage.used_bytes


def _check_disk(report: Report, repair: bool) -> None:
    """Look for folders that no mailbox owns, and for what creations left that were cut off."""
    root = settings.DATA_DIR.mail
    homes = maildir.homes_on_disk(root)
    while page := list(islice(homes, PAGE)):
        _check_owners(page, report, repair)
        jobs.note_progress(report.as_json())
    for building in maildir.abandoned_builds(root, time.time()):
        if repair:
            maildir.remove_build(building)
        subject = str(building.relative_to(root))
        report.add(Failure(subject, "Left by a creation that was cut off.", mended=repair, mendable=True))


def _check_owners(homes: Sequence[PurePosixPath], report: Report, repair: bool) -> None:
    ids = [number for home in homes if (number := mailbox_id_in(home.name)) is not None]
    owned = set(Mailbox.objects.filter(pk__in=ids).values_list("home", flat=True))
    strangers = [home for home in homes if str(home) not in owned]
    if not strangers:
        return
    late = {row.home: row for row in PurgedMailbox.objects.filter(pk__in=ids)}
    for home in strangers:
        purged = late.get(str(home))
        # A name that is not UTF-8 is shown with escapes; no mailbox has one.
        name = os.fsencode(home).decode("utf-8", "backslashreplace")
        if purged is None:
            problem = "No mailbox owns this folder. It is left as it is."
            report.add(Failure(name, problem, mended=False, mendable=False))
        elif repair:
            purging.retire_late(purged, report)
        else:
            report.add(Failure(name, purging.LATE, mended=False, mendable=True))
    if repair and late:
        jobs.start_job("erase_retired_homes")
