"""When the DNS was looked at for a domain, and what it said: kept for a while, looked at anew beside the pages.

A page never waits for the DNS: a thread asks, and the page shows what is known. Answers are kept in the cache, and in
the memory of this process too, for when Redis is away.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.cache import cache
from django.utils import timezone

from panel.clients.dns_answers import GRACE, LIFETIME, Answer, Further, Outcome, Question, ask

logger = logging.getLogger(__name__)

#: From when on a look is made again by itself, how long it is kept, and how soon it may be made again.
STALE_AFTER, KEPT, AGAIN_AFTER = timedelta(minutes=10), timedelta(hours=12), timedelta(seconds=10)
#: Looks of one process at a time, and looks that it remembers. Further ones are made when the page asks again.
AT_ONCE, REMEMBERED = 4, 200


@dataclass(frozen=True)
class Look:
    """What the DNS said.

    Attributes:
        at: when it was asked.
        answers: to each question.
    """

    at: datetime
    answers: dict[Question, Answer]


@dataclass(frozen=True)
class Known:
    """What is known about a domain at this moment: the newest look, or None, and whether one is being made."""

    look: Look | None
    looking: bool


_lock = threading.Lock()
_running: set[str] = set()
_remembered: OrderedDict[str, Look] = OrderedDict()


def known_of(
    name: str,
    questions: tuple[Question, ...],
    *,
    newer_than: datetime | None = None,
    kept: timedelta = KEPT,
    further: Further | None = None,
) -> Known:
    """Return what is known, and have it looked at anew where nothing is, or it is old. Waits for no answer.

    Args:
        name: of what is asked: looks of one name answer the same questions.
        questions: what is asked. A look that does not answer all of them counts as none.
        newer_than: a look must be newer to be new, though the last one may always be of some seconds ago.
        kept: how long the cache keeps a look that is made now.
        further: what such a look asks besides, once it has answers.
    """
    now = timezone.now()
    look, elsewhere = _newest(name, now)
    if look is not None and not look.answers.keys() >= set(questions):
        look = None
    oldest = max(now - STALE_AFTER, min(newer_than or now - STALE_AFTER, now - AGAIN_AFTER))
    wanted = look is None or look.at < oldest
    if not wanted:
        return Known(look, looking=False)
    if not elsewhere:
        _start(name, questions, kept, further)
    return Known(look, looking=True)


def forget() -> None:
    """Forget what this process remembers: for tests."""
    with _lock:
        _remembered.clear()


def _start(name: str, questions: tuple[Question, ...], kept: timedelta, further: Further | None) -> None:
    """Have a thread ask, unless one does already or too many others are asking."""
    with _lock:
        if name in _running or len(_running) >= AT_ONCE:
            return
        _running.add(name)
    try:
        threading.Thread(target=_look, args=(name, questions, kept, further), name="dns", daemon=True).start()
    except RuntimeError as err:
        # The page goes on asking, and a later time it can be started.
        logger.warning("No thread can be started to ask the DNS about %s: %s", name, err)
        with _lock:
            _running.discard(name)


def _look(name: str, questions: tuple[Question, ...], kept: timedelta, further: Further | None) -> None:
    try:
        cache.set(_key("asking", name), 1, LIFETIME + GRACE)
        at = timezone.now()
        look = Look(at, ask(questions, further))
        with _lock:
            _remembered[name] = look
            _remembered.move_to_end(name)
            while len(_remembered) > REMEMBERED:
                _remembered.popitem(last=False)
        cache.set(_key("look", name), _write(look), kept.total_seconds())
        cache.delete(_key("asking", name))
    finally:
        with _lock:
            _running.discard(name)


def _newest(name: str, now: datetime) -> tuple[Look | None, bool]:
    """Return the newest look that anybody has made, and whether another process makes one."""
    found = cache.get_many([_key("look", name), _key("asking", name)])
    with _lock:
        own = _remembered.get(name)
    looks = [each for each in (own, _read(found.get(_key("look", name)))) if each and now - each.at < KEPT]
    return max(looks, key=lambda each: each.at, default=None), _key("asking", name) in found


def _key(what: str, name: str) -> str:
    return f"dns:{what}:{name}"


def _write(look: Look) -> dict[str, Any]:
    """Return a look as it is kept: of plain values, which any version of this program reads."""
    answers = [
        [question.name, question.kind, str(answer.outcome), list(answer.values), answer.leads_to]
        for question, answer in look.answers.items()
    ]
    return {"at": look.at.isoformat(), "answers": answers}


def _read(kept: Any) -> Look | None:
    """Return a look that was kept, or None for nothing, or what another version has kept."""
    try:
        return Look(
            datetime.fromisoformat(kept["at"]).astimezone(UTC),
            {
                Question(name, kind): Answer(Outcome(outcome), tuple(values), leads_to)
                for name, kind, outcome, values, leads_to in kept["answers"]
            },
        )
    except (TypeError, KeyError, ValueError):
        return None
