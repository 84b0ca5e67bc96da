"""The panel's side of what is measured of a purge by rules."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings

from mailbackend.passwords import hash_password
from panel.addresses.bulk import NewMailbox, create_mailboxes
from panel.addresses.models import Domain, Mailbox
from panel.retention.models import PurgeItem, PurgeRun, RetentionRule
from panel.retention.purging import purge_by_rules

_PASSWORD = "a sentence for the bench"  # noqa: S105 - of mailboxes that live for minutes
_FOLDER, _SIZE = "Trash", 2048


def say_rule(days: int) -> dict[str, Any]:
    """Have messages in Trash end after so many days, on the whole platform."""
    RetentionRule.objects.create(folder=_FOLDER, days=days)
    return {}


def fill_trash(domain: str, mailboxes: int, messages: int) -> dict[str, Any]:
    """Make mailboxes that were never used, with messages in their Trash.

    Args:
        domain: on which.
        mailboxes: how many.
        messages: in each.

    Returns:
        their `keys`, and the `addresses` of all mailboxes of the domain.
    """
    row = Domain.objects.get(name=domain)
    hashed, run = hash_password(_PASSWORD), secrets.token_hex(4)
    wanted = [NewMailbox(f"p{run}-{number}", password_hash=hashed) for number in range(mailboxes)]
    made = create_mailboxes(domain=row, mailboxes=wanted)
    text = b"Subject: One of many\n\n"
    text += b"x" * (_SIZE - len(text) - 1) + b"\n"
    # As mail programs count it, a line ends with two characters.
    sizes = f"S={len(text)},W={len(text) + text.count(os.linesep.encode())}"
    for mailbox in made:
        trash = settings.DATA_DIR.mail / mailbox.home / "Maildir" / f".{_FOLDER}"
        for number in range(messages):
            (trash / "cur" / f"1764331200.M{number}P1.bench,{sizes}:2,S").write_bytes(text)
    return {
        "keys": [each.pk for each in made],
        "addresses": list(row.mailboxes.values_list("address", flat=True)),
    }


def purge(at: str) -> dict[str, Any]:
    """Count what is due at a moment, which is the preview, and purge it.

    Returns:
        `seconds` of the purge and of the `preview`, the `messages` purged, and the `failures`.
    """
    started = time.perf_counter()
    report = purge_by_rules(now=datetime.fromisoformat(at))
    both = time.perf_counter() - started
    run = PurgeRun.objects.get()
    assert run.started_at is not None
    assert run.finished_at is not None
    seconds = (run.finished_at - run.started_at).total_seconds()
    return {
        "seconds": seconds,
        "preview": both - seconds,
        "messages": report.messages,
        "failures": [failure.problem for failure in report.failures],
    }


def left_in_trash(keys: Sequence[int]) -> dict[str, Any]:
    """Return how many `messages` still lie in the Trash of some mailboxes."""
    homes = Mailbox.objects.filter(pk__in=keys).values_list("home", flat=True)
    return {"messages": sum(_messages_in(settings.DATA_DIR.mail / home) for home in homes)}


def empty_trash(keys: Sequence[int]) -> dict[str, Any]:
    """Take mailboxes away again, with what was purged from them and with the runs that did it."""
    rows = Mailbox.objects.filter(pk__in=keys)
    homes = list(rows.values_list("home", flat=True))
    PurgeItem.objects.all().delete()
    PurgeRun.objects.all().delete()
    rows.delete()
    for home in homes:
        shutil.rmtree(settings.DATA_DIR.mail / home)
    return {}


def forget_rule() -> dict[str, Any]:
    """Take the rule away again."""
    RetentionRule.objects.all().delete()
    return {}


def _messages_in(home: Path) -> int:
    folder = home / "Maildir" / f".{_FOLDER}"
    return sum(1 for part in ("cur", "new") for _file in (folder / part).iterdir())
