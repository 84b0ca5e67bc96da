"""What commands share: `--json`, one clear line on standard error, the terminal's language, passwords from a pipe."""

from __future__ import annotations

import errno
import getpass
import json
import logging
import os
import re
import sys
from argparse import ArgumentParser
from datetime import datetime, time, timedelta
from typing import Any, NoReturn

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.utils import timezone, translation
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import pgettext_lazy

from mailbackend.addresses import AddressError
from mailbackend.config import ConfigError
from mailbackend.dovecot.doveadm import DoveadmError
from mailbackend.lmtp import DeliveryFailed
from panel.core.audit import Actor, acting
from panel.core.clock import FIRST_YEAR, LAST_YEAR
from panel.core.errors import Problem
from panel.core.said import in_words
from panel.core.sizes import parse_size

#: What a command can fail with and still owe no trace: each carries a sentence.
EXPECTED = (Problem, AddressError, ConfigError, DeliveryFailed, DoveadmError, OSError, UnicodeError)

#: More than anybody types; hashing is asked to work on no novels. Characters.
LONGEST_LINE = 4096


class Command(BaseCommand):
    """A command that answers with a dictionary, shown as lines or as one JSON document."""

    requires_system_checks: list[str] = []

    def run_from_argv(self, argv: list[str]) -> None:
        """Run in the language of the terminal; a JSON document, and what is said beside it, is English everywhere."""
        wants_json = any(len(argument) > 3 and "--json".startswith(argument) for argument in argv)
        with translation.override("en" if wants_json else _language_of_terminal()):
            super().run_from_argv(argv)

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Return a parser that fails with one line, as the rest of the command does."""
        self.help = _(self.help) if self.help else ""
        parser = super().create_parser(prog_name, subcommand, **kwargs)

        def fail(message: str) -> NoReturn:
            # Django turns a CommandError into a line only later than this.
            hint = _("%(problem)s (see: manage.py %(command)s --help)")
            line = hint % {"problem": message, "command": subcommand}
            sys.stderr.write(_on_one_line(line) + "\n")
            sys.exit(2)

        parser.error = fail  # type: ignore[method-assign]  # argparse prints its usage on several lines
        return parser

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the command's own arguments and `--json`."""
        self.add_own_arguments(parser)
        parser.add_argument("--json", action="store_true", help=_("answer with one JSON document"))

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Add the command's own arguments."""

    def answer(self, **options: Any) -> dict[str, Any] | list[dict[str, Any]]:
        """Do the work and return what to show: values by name, or a row for each of several things.

        Raises:
            Problem: with a sentence for the person who typed the command.
        """
        raise NotImplementedError

    def failed(self, answer: Any) -> str:  # noqa: ARG002 - for the commands that need it
        """Return a line for standard error if the answer means that something failed, else an empty string."""
        return ""

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        """Run the command and print its answer."""
        # What is only worth a line in a log is not one on a command's standard error.
        logging.disable(logging.WARNING)
        try:
            with acting(Actor(kind="command", label=_command_name(self))):
                answer = self.answer(**options)
        except EXPECTED as err:
            raise CommandError(_one_line(err)) from err
        except DatabaseError as err:
            raise CommandError(
                _("The database does not answer: %(reason)s") % {"reason": _database_reason(err)}
            ) from err
        finally:
            logging.disable(logging.NOTSET)
        self.stdout.write(json.dumps(answer, ensure_ascii=False) if options["json"] else _as_lines(answer))
        failure = self.failed(answer)
        if failure:
            raise CommandError(failure)


def read_password() -> str:
    """Return one line from standard input without its newline, not shown while typed.

    Raises:
        Problem: if there is none, it is too long, or it is not UTF-8.
    """
    if sys.stdin.isatty():
        return getpass.getpass(_("Password: "))
    try:
        line = sys.stdin.buffer.readline(LONGEST_LINE + 2).decode()
    except UnicodeDecodeError as err:
        raise Problem(_("The password on standard input is not UTF-8.")) from err
    password = line.removesuffix("\n").removesuffix("\r")
    if not password:
        raise Problem(_("Give the password on standard input, as one line."))
    if len(password) > LONGEST_LINE:
        raise Problem(_("The password is longer than %(most)s characters.") % {"most": LONGEST_LINE})
    return password


def size_argument(text: str) -> int | None:
    """Return the bytes that an argument means; `none` is no limit.

    Raises:
        Problem: if it is no size.
    """
    if text.lower() in ("none", "unlimited"):
        return None
    try:
        return parse_size(text)
    except ValueError as err:
        raise Problem(_("%(text)s is not a size. %(why)s") % {"text": repr(text[:40]), "why": err}) from err


def protocols_argument(text: str) -> dict[str, bool]:
    """Return which of `imap` and `pop3` an argument names.

    Raises:
        Problem: if it names something else.
    """
    names = {name.strip().lower() for name in text.split(",")} - {""}
    if names - {"imap", "pop3"}:
        raise Problem(_("Protocols are imap and pop3, separated by a comma."))
    return {"imap": "imap" in names, "pop3": "pop3" in names}


def time_argument(text: str) -> datetime:
    """Return the moment that an argument means: of a day its end, in the installation's zone.

    Raises:
        Problem: if it is none.
    """
    try:
        day = parse_date(text)
        found = datetime.combine(day + timedelta(days=1), time.min) if day else parse_datetime(text)
    except (ValueError, OverflowError):
        found = None
    # In other years it has no moment in every zone: PostgreSQL stores it, and Python cannot read it any more.
    if found is None or not FIRST_YEAR <= found.year <= LAST_YEAR:
        raise Problem(
            _("%(text)s is not a time: write it like 2026-12-31 or 2026-12-31T18:00:00+01:00.")
            % {"text": repr(text[:40])}
        )
    return found if timezone.is_aware(found) else timezone.make_aware(found)


def _database_reason(err: DatabaseError) -> str:
    reason = _one_line(err)
    # SQLite: "disk I/O error" when it cannot open its files on a full disk, "database or disk is full" later.
    return (
        _("%(reason)s. Look whether its disk has room.") % {"reason": reason} if "disk" in reason else reason
    )


def _command_name(command: BaseCommand) -> str:
    return type(command).__module__.rpartition(".")[2]


def _one_line(err: BaseException) -> str:
    if isinstance(err, OSError) and err.errno in (errno.ENOSPC, errno.EDQUOT):
        # A write's error names no file.
        return _("%(reason)s: make room on the disk that DATA_DIR lies on, then do it again.") % {
            "reason": err.strerror
        }
    return in_words(_on_one_line(str(err))) or type(err).__name__


def _language_of_terminal() -> str:
    """Return the language that the environment asks for, as gettext(3) reads it: no list counts in the C locale."""
    names = ("LC_ALL", "LC_MESSAGES", "LANG")
    locale = next((os.environ[name] for name in names if os.environ.get(name)), "C")
    if locale.partition(".")[0] in ("C", "POSIX"):
        return settings.LANGUAGE_CODE
    wanted = [*os.environ.get("LANGUAGE", "").split(":"), locale]
    codes = (name.partition(".")[0].partition("_")[0].lower() for name in wanted)
    return next((code for code in codes if code in dict(settings.LANGUAGES)), settings.LANGUAGE_CODE)


#: What people call the names of a JSON document.
_LABELS = {
    "address": pgettext_lazy("in a command's answer", "address"),
    "bytes": pgettext_lazy("in a command's answer", "bytes"),
    "certificate": pgettext_lazy("in a command's answer", "certificate"),
    "delivered": pgettext_lazy("in a command's answer", "delivered"),
    "domain": pgettext_lazy("in a command's answer", "domain"),
    "email": pgettext_lazy("in a command's answer", "email"),
    "error": pgettext_lazy("in a command's answer", "error"),
    "failures": pgettext_lazy("in a command's answer", "failures"),
    "found": pgettext_lazy("in a command's answer", "found"),
    "home": pgettext_lazy("in a command's answer", "home"),
    "label": pgettext_lazy("in a command's answer", "label"),
    "mailboxes": pgettext_lazy("in a command's answer", "mailboxes"),
    "mended": pgettext_lazy("in a command's answer", "mended"),
    "messages": pgettext_lazy("in a command's answer", "messages"),
    "name": pgettext_lazy("in a command's answer", "name"),
    "owner": pgettext_lazy("in a command's answer", "owner"),
    "panel": pgettext_lazy("in a command's answer", "panel"),
    "password": pgettext_lazy("in a command's answer", "password"),
    "pid": pgettext_lazy("in a command's answer", "pid"),
    "pop_deletes": pgettext_lazy("in a command's answer", "pop_deletes"),
    "protocols": pgettext_lazy("in a command's answer", "protocols"),
    "quota_bytes": pgettext_lazy("in a command's answer", "quota_bytes"),
    "refused": pgettext_lazy("in a command's answer", "refused"),
    "removed": pgettext_lazy("in a command's answer", "removed"),
    "rule": pgettext_lazy("in a command's answer", "rule"),
    "restored": pgettext_lazy("in a command's answer", "restored"),
    "sign in as": pgettext_lazy("in a command's answer", "sign in as"),
    "since": pgettext_lazy("in a command's answer", "since"),
    "state": pgettext_lazy("in a command's answer", "state"),
    "thorough": pgettext_lazy("in a command's answer", "thorough"),
    "until": pgettext_lazy("in a command's answer", "until"),
    "used_bytes": pgettext_lazy("in a command's answer", "used_bytes"),
    "version": pgettext_lazy("in a command's answer", "version"),
}


def _on_one_line(text: str) -> str:
    """Return a text without line breaks and the like; the no-break spaces of French stay."""
    return re.sub(r"[^\S\u00a0\u202f]+", " ", text).strip()


def _as_lines(answer: dict[str, Any] | list[dict[str, Any]]) -> str:
    if isinstance(answer, list):
        return "\n".join("\t".join(_plain(value) for value in row.values()) for row in answer)
    lines = [
        _("%(name)s: %(value)s") % {"name": _LABELS.get(name, name), "value": _plain(value)}
        for name, value in answer.items()
    ]
    return "\n".join(lines)


def _plain(value: Any) -> str:
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return "-" if value is None else str(value)
