"""Asking the mail service about many mailboxes at once, so that one that it stumbles over keeps nobody else waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from mailbackend.dovecot.doveadm import DoveadmError, NobodyListens

#: Questions that one request may hold.
QUESTIONS_AT_ONCE = 500

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


def in_halves(
    asked: Sequence[Asked], ask: Callable[[Sequence[Asked]], Sequence[Answer | DoveadmError]]
) -> Iterator[tuple[Asked, Answer | DoveadmError]]:
    """Ask about many, and yield what is answered of each; what fails as a whole is asked again in halves.

    One of them may be what the mail service stumbles over: it shall keep nobody else waiting.

    Args:
        asked: about what.
        ask: asks about some of it in one request, and returns an answer for each.

    Raises:
        NobodyListens: if the mail service does not run.
    """
    if len(asked) > QUESTIONS_AT_ONCE:
        yield from in_halves(asked[:QUESTIONS_AT_ONCE], ask)
        yield from in_halves(asked[QUESTIONS_AT_ONCE:], ask)
        return
    try:
        answers = ask(asked)
    except NobodyListens:
        raise
    except DoveadmError as err:
        if len(asked) == 1:
            yield asked[0], err
            return
        half = len(asked) // 2
        yield from in_halves(asked[:half], ask)
        yield from in_halves(asked[half:], ask)
        return
    yield from zip(asked, answers, strict=True)
