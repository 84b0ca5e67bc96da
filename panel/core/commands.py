"""What commands share: `--json`, one clear line on standard error, passwords from standard input."""

from __future__ import annotations

import errno
import getpass
import json
import logging
import sys
from argparse import ArgumentParser
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from mailbackend.addresses import AddressError
from mailbackend.config import ConfigError
from mailbackend.dovecot.doveadm import DoveadmError
from mailbackend.lmtp import DeliveryFailed
from panel.core.audit import Actor, acting
from panel.core.errors import Problem
from panel.core.sizes import parse_size

#: What a command can fail with and still owe no trace: each carries a sentence.
EXPECTED = (Problem, AddressError, ConfigError, DeliveryFailed, DoveadmError, OSError, UnicodeError)

#: More than anybody types; hashing is asked to work on no novels. Characters.
LONGEST_LINE = 4096


class Command(BaseCommand):
    """A command that answers with a dictionary, shown as lines or as one JSON document."""

    requires_system_checks: list[str] = []

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Return a parser that fails with one line, as the rest of the command does."""
        parser = super().create_parser(prog_name, subcommand, **kwargs)

        def fail(message: str) -> NoReturn:
            # Django turns a CommandError into a line only later than this.
            line = " ".join(f"{message} (see: manage.py {subcommand} --help)".split())
            sys.stderr.write(line + "\n")
            sys.exit(2)

        parser.error = fail  # type: ignore[method-assign]  # argparse prints its usage on several lines
        return parser

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the command's own arguments and `--json`."""
        self.add_own_arguments(parser)
        parser.add_argument("--json", action="store_true", help="answer with one JSON document")

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Add the command's own arguments."""

    def answer(self, **options: Any) -> dict[str, Any]:
        """Do the work and return what to show.

        Raises:
            Problem: with a sentence for the person who typed the command.
        """
        raise NotImplementedError

    def failed(self, answer: dict[str, Any]) -> str:  # noqa: ARG002 - for the commands that need it
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
            raise CommandError(f"The database does not answer: {_database_reason(err)}") from err
        finally:
            logging.disable(logging.NOTSET)
        self.stdout.write(json.dumps(answer, ensure_ascii=False) if options["json"] else _as_lines(answer))
        failure = self.failed(answer)
        if failure:
            raise CommandError(failure)


def read_password(prompt: str = "Password: ") -> str:
    """Return one line from standard input without its newline, not shown while typed.

    Raises:
        Problem: if there is none, it is too long, or it is not UTF-8.
    """
    if sys.stdin.isatty():
        return getpass.getpass(prompt)
    try:
        line = sys.stdin.buffer.readline(LONGEST_LINE + 2).decode()
    except UnicodeDecodeError as err:
        raise Problem("The password on standard input is not UTF-8.") from err
    password = line.removesuffix("\n").removesuffix("\r")
    if not password:
        raise Problem("Give the password on standard input, as one line.")
    if len(password) > LONGEST_LINE:
        raise Problem(f"The password is longer than {LONGEST_LINE} characters.")
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
        raise Problem(f"{text[:40]!r} is not a size. {err}") from err


def _database_reason(err: DatabaseError) -> str:
    reason = _one_line(err)
    # SQLite: "disk I/O error" when it cannot open its files on a full disk, "database or disk is full" later.
    return f"{reason}. Look whether its disk has room." if "disk" in reason else reason


def _command_name(command: BaseCommand) -> str:
    return type(command).__module__.rpartition(".")[2]


def _one_line(err: BaseException) -> str:
    if isinstance(err, OSError) and err.errno in (errno.ENOSPC, errno.EDQUOT):
        # A write's error names no file.
        return f"{err.strerror}: make room on the disk that DATA_DIR lies on, then do it again."
    return " ".join(str(err).split()) or type(err).__name__


def _as_lines(answer: dict[str, Any]) -> str:
    return "\n".join(f"{name}: {_plain(value)}" for name, value in answer.items())


def _plain(value: Any) -> str:
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return "-" if value is None else str(value)
