"""Asking the mail service about many mailboxes at once, so that one that it stumbles over keeps nobody else waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from mailbackend.dovecot.doveadm import DoveadmError, NobodyListens

#: Questions that one request may hold.
QUESTIONS_AT_ONCE = 500
#: Requests that are sent at once: the mail service answers each in a process of its own.
LANES = 2

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")
_Result = TypeVar("_Result")


def in_lanes(lanes: Sequence[Sequence[Asked]], do: Callable[[Sequence[Asked]], _Result]) -> list[_Result]:
    """Do something with each of a few sequences at the same time, in threads, and return what each came to.

    Args:
        lanes: at most `LANES`.
        do: asks the mail service and nothing of the database, which a thread would have a connection of its own to.
    """
    if len(lanes) == 1:
        return [do(lanes[0])]
    with ThreadPoolExecutor(LANES) as pool:
        return list(pool.map(do, lanes))


def in_halves(
    asked: Sequence[Asked], ask: Callable[[Sequence[Asked]], Sequence[Answer | DoveadmError]]
) -> Iterator[tuple[Asked, Answer | DoveadmError]]:
    """Ask about many, and yield what is answered of each; what fails as a whole is asked again in halves.

    One of them may be what the mail service stumbles over: it shall keep nobody else waiting.

    Args:
        asked: about what.
        ask: asks about some of it in one request, and returns an answer for each; it is called in threads (`in_lanes`).

    Raises:
        NobodyListens: if the mail service does not run.
    """
    for start in range(0, len(asked), LANES * QUESTIONS_AT_ONCE):
        some = asked[start : start + LANES * QUESTIONS_AT_ONCE]
        size = -(-len(some) // LANES)
        lanes = [some[at : at + size] for at in range(0, len(some), size)]
        for answers in in_lanes(lanes, lambda lane: _in_halves(lane, ask)):
            yield from answers


def _in_halves(
    asked: Sequence[Asked], ask: Callable[[Sequence[Asked]], Sequence[Answer | DoveadmError]]
) -> list[tuple[Asked, Answer | DoveadmError]]:
    try:
        return list(zip(asked, ask(asked), strict=True))
    except NobodyListens:
        raise
    except DoveadmError as err:
        if len(asked) == 1:
            return [(asked[0], err)]
        half = len(asked) // 2
        return [*_in_halves(asked[:half], ask), *_in_halves(asked[half:], ask)]
