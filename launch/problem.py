"""What all of the launcher uses: its one exception, one line of progress, becoming another program."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NoReturn


class LaunchProblem(Exception):
    """The start cannot go on; the message says why and what to do next.

    Attributes:
        exit_code: what the command ends with: 1, or 2 where a setting cannot be used.
    """

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def say(text: str) -> None:
    """Print one line of progress at once, also into a pipe."""
    print(text, flush=True)


def become_program(command: Sequence[str]) -> NoReturn:
    """Replace this process by `command`, so that signals and exit code are its own.

    Raises:
        LaunchProblem: if it cannot be run.
    """
    try:
        os.execv(command[0], list(command))  # noqa: S606  an argument list; a shell would only be in the way
    except OSError as err:
        raise LaunchProblem(
            f"{command[0]} cannot be run: {err.strerror}. Start again with make run."
        ) from err
