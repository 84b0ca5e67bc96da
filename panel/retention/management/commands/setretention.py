"""setretention FOLDER DAYS (--platform | --customer C | --domain D | --address A) [--confirm]."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, ngettext

from panel.accounts.selectors import get_customer
from panel.addresses.selectors import get_domain, get_mailbox
from panel.core import commands, jobs
from panel.core.errors import Problem
from panel.core.models import Job
from panel.core.sizes import format_size
from panel.retention import changing, runs
from panel.retention.changing import Figures
from panel.retention.models import PurgeRun, RuleChange
from panel.retention.rules import Level

NEVER, INHERIT = "never", "inherit"
#: The kind of job that counts what a change would end.
COUNTING = runs.COUNTING
#: How long the command waits for it, where a worker counts. Seconds.
COUNTED_WITHIN = 3600.0
#: Seconds between two looks.
_LOOK_AGAIN = 0.2


class Command(commands.Command):
    """Say after how many days messages in a folder end."""

    help = gettext_noop(
        "Say after how many days messages in a folder end, for the platform, a customer, a domain or a mailbox. What "
        "ends more than before is counted first, needs --confirm, and starts after a day; until then it can be "
        "cancelled in the panel."
    )

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Take the folder, the days and for whom it is."""
        parser.add_argument("folder", help=_("such as Trash, INBOX, or Projects/2024"))
        parser.add_argument("days", help=_("a number of days, never, or inherit"))
        level = parser.add_mutually_exclusive_group(required=True)
        level.add_argument("--platform", action="store_true", help=_("for every mailbox"))
        level.add_argument("--customer", metavar="NAME")
        level.add_argument("--domain")
        level.add_argument("--address")
        parser.add_argument(
            "--confirm", action="store_true", help=_("confirm what it would end, without looking at it first")
        )

    def answer(self, **options: Any) -> dict[str, Any]:
        """Say it."""
        level, folder = _level(options), changing.clean_folder(options["folder"])
        days = _days(options["days"])
        inherit = options["days"] == INHERIT
        change = changing.propose(level, folder, days, inherit=inherit)
        rule = {
            "folder": folder,
            "days": INHERIT if inherit else changing.rule_in_words(days) if days is None else days,
            "level": _level_name(options),
            "starts_at": (change.starts_at if change else timezone.now()).isoformat(),
        }
        if change is None:
            return {"rule": rule}
        figures = _counted(change)
        told = {
            "mailboxes": figures.mailboxes,
            "messages": figures.messages,
            "bytes": figures.bytes,
            "oldest": figures.oldest.isoformat() if figures.oldest else None,
            "newest": figures.newest.isoformat() if figures.newest else None,
        }
        if not options["confirm"]:
            changing.cancel(change)
            return {"rule": None, "would_end": told}
        changing.confirm(change, figures)
        return {"rule": rule | {"ends": told}}

    def failed(self, answer: Any) -> str:
        """Say that a change which ends more than before needs to be confirmed."""
        if answer["rule"] is not None:
            return ""
        would = answer["would_end"]
        words = ngettext(
            "It would end %(count)s message (%(size)s). Nothing was changed: confirm it with --confirm.",
            "It would end %(count)s messages (%(size)s). Nothing was changed: confirm it with --confirm.",
            would["messages"],
        )
        return words % {"count": would["messages"], "size": format_size(would["bytes"] or 0)}


def _level(options: dict[str, Any]) -> Level:
    if options["address"]:
        return get_mailbox(options["address"])
    if options["domain"]:
        return get_domain(options["domain"])
    return get_customer(options["customer"]) if options["customer"] else None


def _level_name(options: dict[str, Any]) -> str:
    return str(options["address"] or options["domain"] or options["customer"] or "platform")


def _days(text: str) -> int | None:
    if text in (NEVER, INHERIT):
        return None
    if text.isascii() and text.isdigit() and len(text) < 6:
        return int(text)
    raise Problem(
        _("Days are a number from %(least)s to %(most)s, never, or inherit.")
        % {"least": changing.DAYS_MIN, "most": changing.DAYS_MAX},
        "days",
    )


def _counted(change: RuleChange) -> Figures:
    """Return what a change would end, counted here or, where a worker has taken that, there.

    Raises:
        Problem: if it could not be counted, or not in time. The change is cancelled then.
    """
    until = time.monotonic() + COUNTED_WITHIN
    while (figures := changing.figures_of(change)) is None:
        run = runs.preview_of(change)
        # Others' are left to their own.
        mine = Job.objects.filter(kind=COUNTING, arguments__run=run.pk if run else None).order_by("pk")
        for job in mine.filter(state=Job.State.QUEUED, due_at__lte=timezone.now()):
            jobs.run(job.pk)  # Nothing happens where a worker was faster.
        failed = mine.exclude(state=Job.State.DONE).exclude(error="").last()
        if failed is not None or (run is not None and run.is_over):
            changing.cancel(change)
            error = failed.error if failed is not None else PurgeRun.State.CANCELLED.label
            raise Problem(_("What it would end could not be counted: %(error)s") % {"error": error})
        if time.monotonic() > until:
            changing.cancel(change)
            raise Problem(_("What it would end was not counted in time: is a worker there?"))
        time.sleep(_LOOK_AGAIN)
    return figures
