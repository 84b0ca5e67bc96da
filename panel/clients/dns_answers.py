"""What the DNS says about many names at once, in a bounded time and size, whatever it answers.

A domain's answers are written by whoever runs its name servers: they may be huge, slow, wrong, or none.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import dns.asyncresolver
import dns.exception
import dns.name
import dns.rdata
import dns.resolver
from dns.rdtypes.txtbase import TXTBase

from panel.addresses.proof import configured

logger = logging.getLogger(__name__)

#: How long all questions may take together, and how long after that they are given up, whatever they do. Seconds.
LIFETIME, GRACE = 6.0, 2.0
#: How many times what follows from answers is asked: further than that no record leads that others follow.
ROUNDS_MAX = 25
#: What is kept of an answer: records, and characters of each. No record of mail is longer (a DKIM key of 4096 bits has
#: some 740 characters), and what is kept lies in memory and goes into pages.
RECORDS_MAX, TEXT_MAX = 30, 1000


class Outcome(StrEnum):
    """What came of a question."""

    FOUND = "found"
    #: The name is there, but has no such record.
    NONE = "none"
    NO_NAME = "no_name"
    #: No answer came, or none that can be read.
    FAILED = "failed"


@dataclass(frozen=True)
class Question:
    """A name, in ASCII and without a dot at its end, and a kind of record, such as "MX"."""

    name: str
    kind: str


@dataclass(frozen=True)
class Answer:
    """What the DNS says to a question.

    Attributes:
        outcome: what came of it.
        values: the records as a zone file has them, a text without its quotes; printable ASCII, whatever was sent.
        leads_to: the name at the end of all aliases, in lower case and without a dot; empty where the name is none.
    """

    outcome: Outcome
    values: tuple[str, ...] = ()
    leads_to: str = ""

    @property
    def shown(self) -> tuple[str, ...]:
        """What people are shown of it: the records, or the alias in their place.

        Whoever writes a domain's records could give it aliases of names that only the host's own resolvers know, and
        read here what they hold.
        """
        return (self.leads_to,) if self.leads_to else self.values


#: What is to be asked besides, once something is answered: nothing when it is enough. Asked again until then.
Further = Callable[[Mapping[Question, Answer]], Iterable[Question]]


def ask(questions: Iterable[Question], further: Further | None = None) -> dict[Question, Answer]:
    """Ask the DNS, all at once, and then what follows from the answers.

    Takes LIFETIME and GRACE at most, with all that follows; a question without an answer has failed, and one that
    there was no time for is not answered at all. Not to be called where an event loop runs already.
    """
    return asyncio.run(_ask_and_follow(tuple(questions), further))


async def _ask_and_follow(questions: tuple[Question, ...], further: Further | None) -> dict[Question, Answer]:
    until = time.monotonic() + LIFETIME
    answers = await _ask_all(questions, LIFETIME)
    for _round in range(ROUNDS_MAX):
        left = until - time.monotonic()
        more = set(further(answers)) - answers.keys() if further else set()
        if not more or left <= 0:
            break
        answers |= await _ask_all(tuple(more), left)
    return answers


async def _ask_all(questions: tuple[Question, ...], lifetime: float) -> dict[Question, Answer]:
    """Ask all at once, for some seconds and GRACE."""
    failed = Answer(Outcome.FAILED)
    try:
        resolver = configured(dns.asyncresolver.Resolver(configure=False))
    except dns.exception.DNSException as err:
        logger.warning("The DNS cannot be asked: %s", err)
        return dict.fromkeys(questions, failed)
    resolver.lifetime = lifetime
    tasks = {question: asyncio.create_task(_ask(resolver, question)) for question in questions}
    _done, late = await asyncio.wait(tasks.values(), timeout=lifetime + GRACE) if tasks else (set(), set())
    for task in late:
        task.cancel()
    return {question: failed if task in late else _result(task) for question, task in tasks.items()}


def _result(task: asyncio.Task[Answer]) -> Answer:
    """Return what came of one question: a fault met in its answer says nothing of the others."""
    fault = task.exception()
    if fault is None:
        return task.result()
    logger.error("An answer of the DNS could not be read", exc_info=fault)
    return Answer(Outcome.FAILED)


async def _ask(resolver: dns.asyncresolver.Resolver, question: Question) -> Answer:
    try:
        name = dns.name.from_text(f"{question.name}.")
        answer = await resolver.resolve(name, question.kind, search=False, raise_on_no_answer=False)
        values = tuple(sorted(map(_in_words, answer.rrset or ()), key=_of_mail_first))[:RECORDS_MAX]
        leads_to = _alias(name, answer.canonical_name)
    except dns.resolver.NXDOMAIN as err:
        return Answer(Outcome.NO_NAME, leads_to=_alias(name, err.canonical_name))
    except (dns.exception.DNSException, OSError, ValueError) as err:
        logger.info("No answer about %s %s: %s", question.name, question.kind, err)
        return Answer(Outcome.FAILED)
    return Answer(Outcome.FOUND if values else Outcome.NONE, values, leads_to)


def _alias(name: dns.name.Name, end: dns.name.Name) -> str:
    return "" if end == name else _printable(end.to_text(omit_final_dot=True).lower())


def _of_mail_first(value: str) -> bool:
    """Sort the texts that say what they are before those that prove something to somebody."""
    return not value.lower().startswith("v=")


def _in_words(record: dns.rdata.Rdata) -> str:
    if isinstance(record, TXTBase):
        return _printable(b"".join(record.strings).decode("latin-1"))
    return _printable(record.to_text())


def _printable(text: str) -> str:
    """Return a text without what could mislead whoever reads it: other letters and signs in decimal, as zone files."""
    if len(text) > TEXT_MAX:
        text = f"{text[:TEXT_MAX]}..."
    return "".join(sign if " " <= sign <= "~" else f"\\{ord(sign):03d}" for sign in text)
