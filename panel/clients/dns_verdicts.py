"""What the DNS says of a domain, held against the records that it should have: a plain verdict on each, and on all."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from django.conf import settings
from django.db import models
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext_lazy

from panel.addresses.mail_servers import outgoing_server
from panel.clients.dns_answers import Answer, Outcome, Question
from panel.clients.records import NOT_OFFERED, Purpose, Record, Subject, panel_host
from panel.clients.spf import Permission, permission, spf_records

Answers = Mapping[Question, Answer]

#: How many domains above one are asked whether they speak for it in DMARC (RFC 7489, section 6.6.3).
PARENTS_MAX = 4


class State(models.TextChoices):
    """How a record stands."""

    RIGHT = "right", pgettext_lazy("DNS record", "Right")
    MISSING = "missing", pgettext_lazy("DNS record", "Missing")
    WRONG = "wrong", pgettext_lazy("DNS record", "Wrong")
    #: Something is there, and whether it is right cannot be seen from here.
    UNSURE = "unsure", pgettext_lazy("DNS record", "Please check")
    NO_ANSWER = "no_answer", pgettext_lazy("DNS record", "No answer")
    WAITING = "waiting", pgettext_lazy("DNS record", "Being looked up")

    @property
    def badge(self) -> str:
        """The look of it."""
        return {"right": "active", "missing": "expired", "wrong": "failed", "waiting": "running"}.get(
            self.value, "held"
        )


@dataclass(frozen=True)
class Verdict:
    """What is to be said of one record.

    Attributes:
        record: that should be there.
        state: how it stands.
        words: the same in words, with what to do.
        found: what is there instead or besides, as the DNS says it.
    """

    record: Record
    state: State
    words: str = ""
    found: tuple[str, ...] = ()

    @property
    def is_in_order(self) -> bool:
        """Whether nothing has to be done, as far as can be seen."""
        return self.state in (State.RIGHT, State.UNSURE)

    @property
    def is_told(self) -> bool:
        """Whether what is there says more than the verdict: what is right looks like what should be there."""
        return bool(self.found) and (self.state != State.RIGHT or self.record.kind == "TXT")


@dataclass(frozen=True)
class Group:
    """The verdicts on the records of one subject, and the worst of them."""

    subject: Subject
    verdicts: tuple[Verdict, ...]

    @property
    def state(self) -> State:
        """The state that asks for most."""
        order = (State.WAITING, State.WRONG, State.MISSING, State.NO_ANSWER, State.UNSURE, State.RIGHT)
        return min((each.state for each in self.verdicts), key=order.index)

    @property
    def reasons(self) -> list[str]:
        """What its records are good for, each said once."""
        return list(dict.fromkeys(each.record.why for each in self.verdicts))


@dataclass(frozen=True)
class Overall:
    """The verdict on all: a level of notes, a sentence, and what it means."""

    level: str
    words: str
    advice: str = ""


def questions_about(domain_name: str, records: Iterable[Record], selector: str = "") -> tuple[Question, ...]:
    """Return what has to be asked to judge records.

    Args:
        domain_name: whose they are.
        records: that it should have.
        selector: the name of a DKIM key to look for, or empty.
    """
    asked = [Question(domain_name, "MX"), Question(domain_name, "TXT")]
    for record in records:
        if record.kind in ("CNAME", "A", "AAAA"):
            # An address says the same as an alias, and both ends are compared.
            asked += [Question(name, kind) for name in (record.name, panel_host()) for kind in ("A", "AAAA")]
        else:
            asked.append(Question(record.name, record.kind))
    asked += [Question(f"_dmarc.{parent}", "TXT") for parent in _parents(domain_name)]
    if selector:
        asked.append(_key_question(domain_name, selector))
    return tuple(dict.fromkeys(asked))


def further_questions(domain_name: str, answers: Answers) -> Iterable[Question]:
    """Return what has to be asked besides, once something is answered: whom the domain's SPF record includes."""
    server = outgoing_server()
    if server is None or len(spf_records(answers[Question(domain_name, "TXT")])) != 1:
        return ()
    return permission(domain_name, server.host, answers).missing


def judge(records: Iterable[Record], answers: Answers | None, selector: str = "") -> list[Verdict]:
    """Return a verdict on each record.

    Args:
        records: that should be there.
        answers: to questions_about() them, or None while nothing is known.
        selector: the name of a DKIM key that was looked for.
    """
    if answers is None:
        return [Verdict(record, State.WAITING) for record in records]
    judges: dict[Subject, Callable[[Record, Answers], Verdict]] = {
        Subject.MX: _mx,
        Subject.SPF: _spf,
        Subject.DKIM: lambda record, known: _dkim(record, known, selector),
        Subject.DMARC: _dmarc,
    }
    by_kind = {"SRV": _srv, "CNAME": _alias, "A": _alias, "AAAA": _alias}
    return [(judges.get(record.subject) or by_kind[record.kind])(record, answers) for record in records]


def grouped(verdicts: Iterable[Verdict]) -> list[tuple[Purpose, list[Group]]]:
    """Return verdicts by purpose and subject, in their order."""
    purposes: dict[Purpose, dict[Subject, list[Verdict]]] = {}
    for each in verdicts:
        purposes.setdefault(each.record.purpose, {}).setdefault(each.record.subject, []).append(each)
    return [
        (purpose, [Group(subject, tuple(each)) for subject, each in subjects.items()])
        for purpose, subjects in purposes.items()
    ]


def overall(domain_name: str, verdicts: Iterable[Verdict], answers: Answers | None) -> Overall:
    """Return the verdict on a domain."""
    if answers is None:
        return Overall(
            "info", _("The DNS is being looked at."), _("What it says appears here in a few seconds.")
        )
    if answers.get(Question(domain_name, "MX"), Answer(Outcome.FAILED)).outcome == Outcome.NO_NAME:
        return Overall(
            "error",
            _("The DNS knows no domain of this name."),
            _(
                "Look whether it is registered, and paid. One that was registered today may take hours to be known."
            ),
        )
    verdicts = list(verdicts)
    needed = [each for each in verdicts if each.record.needed]
    if all(each.state == State.NO_ANSWER for each in needed):
        return Overall(
            "warning",
            _("The DNS gave no answer about this domain."),
            _(
                "That often passes by itself. If it stays so, tell the company where the domain was registered that "
                "its name servers do not answer."
            ),
        )
    undone = [each for each in needed if each.state in (State.MISSING, State.WRONG)]
    if undone:
        words = ngettext(
            "%(total)s record that mail needs is not in order.",
            "%(total)s records that mail needs are not in order.",
            len(undone),
        ) % {"total": len(undone)}
        arrives = any(each.is_in_order for each in needed if each.record.subject == Subject.MX)
        level = "warning" if arrives else "error"
        return Overall(level, words, _("What to do is said below, at each record."))
    if any(each.state == State.NO_ANSWER for each in needed):
        return Overall(
            "warning",
            _("Not all records could be looked up."),
            _("Look again in a few minutes: it often passes."),
        )
    optional = [each for each in verdicts if not each.record.needed and not each.is_in_order]
    astray = [each for each in optional if each.state == State.WRONG]
    if astray:
        return Overall(
            "warning",
            _("What mail needs is there."),
            ngettext(
                "%(total)s record leads mail programs astray.",
                "%(total)s records lead mail programs astray.",
                len(astray),
            )
            % {"total": len(astray)},
        )
    if optional:
        return Overall(
            "success",
            _("What mail needs is there."),
            ngettext(
                "%(total)s record more would let mail programs set themselves up.",
                "%(total)s records more would let mail programs set themselves up.",
                len(optional),
            )
            % {"total": len(optional)},
        )
    return Overall("success", _("All is there."), _("Nothing has to be done."))


def _mx(record: Record, answers: Answers) -> Verdict:
    answer = answers[Question(record.name, "MX")]
    if answer.outcome == Outcome.FAILED:
        return _no_answer(record)
    if not answer.values:
        return Verdict(record, State.MISSING, _("There is no MX record: no mail arrives here."))
    if any(_host(value) == "" for value in answer.values):
        words = _("The domain says that it takes no mail at all. Put this record in its place.")
        return Verdict(record, State.WRONG, words, answer.shown)
    ours = set(settings.ENVIRONMENT.mx_hosts)
    hosts = {_host(value) for value in answer.values}
    if not record.value:
        return Verdict(record, State.UNSURE, _("Ask your host whether this is right."), answer.shown)
    if not hosts & ours:
        words = _("Mail for this domain goes to another server, and does not arrive here.")
        return Verdict(record, State.WRONG, words, answer.shown)
    if _host(record.value) not in hosts:
        return Verdict(record, State.MISSING, _("Mail arrives, but not by this server."), answer.shown)
    if hosts - ours:
        words = _("Mail arrives here, and at other servers too: what those do not pass on to here is lost.")
        return Verdict(record, State.UNSURE, words, answer.shown)
    return Verdict(record, State.RIGHT, _("Mail for this domain arrives here."), answer.shown)


def _spf(record: Record, answers: Answers) -> Verdict:
    answer = answers[Question(record.name, "TXT")]
    if answer.outcome == Outcome.FAILED:
        return _no_answer(record)
    found = spf_records(answer)
    if not found:
        words = _("There is no SPF record: mail from this domain is more often taken for junk.")
        return Verdict(record, State.MISSING, words)
    if len(found) > 1:
        words = _("There are several SPF records, and receivers then trust none: make them one.")
        return Verdict(record, State.WRONG, words, found)
    terms = found[0].lower().split()[1:]
    server = outgoing_server()
    known = permission(record.name, server.host if server else record.name, answers)
    if known.is_too_long:
        words = _(
            "This record has receivers ask the DNS more than 10 times, so they trust it no more: shorten it."
        )
        return Verdict(record, State.WRONG, words, found)
    if {"all", "+all"} & set(terms):
        words = _(
            "This record permits everybody to send mail from this domain: end it with “~all” or “-all”."
        )
        return Verdict(record, State.WRONG, words, found)
    if server is None:
        words = _(
            "There is one. Whether it permits the server that sends your mail cannot be seen from here."
        )
        return Verdict(record, State.UNSURE, words, found)
    if known.broken:
        words = _(
            "Receivers cannot follow “%(part)s”, and then trust nothing of this record: correct it, or take it out."
        ) % {"part": known.broken}
        return Verdict(record, State.WRONG, words, found)
    if known.is_given or _names_server(record, answers, terms, server.host):
        return Verdict(record, State.RIGHT, _("The server that sends your mail is permitted."), found)
    state, words = _unpermitted(known, server.host)
    return Verdict(record, state, words, found)


def _unpermitted(known: Permission, host: str) -> tuple[State, str]:
    """Return what is to be said where a server is not permitted from each of its addresses, as far as is known."""
    about = {"host": host, "addresses": ", ".join(known.refused)}
    if known.refused and not known.permitted:
        words = _("It does not permit the server that sends your mail, %(host)s: add “a:%(host)s”.")
        return State.WRONG, words % about
    if known.refused:
        words = _("It does not permit %(host)s to send from %(addresses)s: add “a:%(host)s”, if it does so.")
        return State.UNSURE, words % about
    if known.failed or known.missing:
        words = _(
            "Whether it permits %(host)s is not known: for a part of it, or for that server, the DNS gave no answer."
        )
        return State.NO_ANSWER, words % about
    words = _(
        "There is one, and it does not name %(host)s. If none of its parts permits that server, add “a:%(host)s”."
    )
    return State.UNSURE, words % about


def _names_server(record: Record, answers: Answers, terms: Iterable[str], host: str) -> bool:
    """Say whether a record names a server itself, wherever that is."""
    takes_mail = {_host(value) for value in answers[Question(record.name, "MX")].values}
    permitted = {"a", "+a"} if host == record.name else set()
    permitted |= {"mx", "+mx"} if host in takes_mail else set()
    return bool((permitted | {f"a:{host}", f"+a:{host}"}) & set(terms))


def _dkim(record: Record, answers: Answers, selector: str) -> Verdict:
    """A key stands under a name that only its maker knows; but a name with nothing below is none (RFC 8020)."""
    domain_name = record.name.removeprefix("_domainkey.")
    if selector:
        return _one_key(record, answers[_key_question(domain_name, selector)])
    answer = answers[Question(record.name, "TXT")]
    if answer.outcome == Outcome.FAILED:
        return _no_answer(record)
    if answer.outcome == Outcome.NO_NAME:
        words = _("No key is announced: what this domain sends is not signed in a way that others can check.")
        return Verdict(record, State.MISSING, words)
    words = _(
        "Some key is announced. Whether it is that of the server that sends your mail, its name (“selector”) says: "
        "enter it below to look at it."
    )
    return Verdict(record, State.UNSURE, words)


def _one_key(record: Record, answer: Answer) -> Verdict:
    if answer.outcome == Outcome.FAILED:
        return _no_answer(record)
    keys = tuple(text for text in answer.values if re.search(r"(?:^|;)\s*p\s*=", text))
    if not keys:
        return Verdict(record, State.MISSING, _("No key is announced under this name."))
    if len(keys) > 1:
        words = _("Several keys are announced under this name: receivers may take the wrong one.")
        return Verdict(record, State.WRONG, words, keys)
    if re.search(r"(?:^|;)\s*p\s*=\s*(?:;|$)", keys[0]):
        words = _("The key of this name was withdrawn: what is signed with it is trusted no more.")
        return Verdict(record, State.WRONG, words, keys)
    return Verdict(record, State.RIGHT, _("A key is announced under this name."), keys)


def _dmarc(record: Record, answers: Answers) -> Verdict:
    answer = answers[Question(record.name, "TXT")]
    if answer.outcome == Outcome.FAILED:
        return _no_answer(record)
    found = _dmarc_records(answer)
    if not found:
        return _dmarc_above(record, answers)
    if len(found) > 1:
        words = _("There are several DMARC records, and receivers then heed none: make them one.")
        return Verdict(record, State.WRONG, words, found)
    policy = re.search(r";\s*p\s*=\s*(none|quarantine|reject)\s*(?:;|$)", found[0], re.I)
    if policy is None:
        words = _(
            "This record does not say what becomes of forged mail: “p=” must be none, quarantine or reject."
        )
        return Verdict(record, State.WRONG, words, found)
    words = {
        "none": _("Forged mail is let through for now: the right beginning."),
        "quarantine": _("Forged mail is put into the junk folder."),
        "reject": _("Forged mail is refused."),
    }[policy[1].lower()]
    return Verdict(record, State.RIGHT, words, found)


def _dmarc_above(record: Record, answers: Answers) -> Verdict:
    """A domain that says nothing itself is under what one above it says."""
    for parent in _parents(record.name.removeprefix("_dmarc.")):
        found = _dmarc_records(answers[Question(f"_dmarc.{parent}", "TXT")])
        if len(found) == 1:
            words = _("The record of %(domain)s counts for this domain too.") % {"domain": parent}
            return Verdict(record, State.RIGHT, words, found)
    words = _("There is no DMARC record: some large receivers refuse mail without one.")
    return Verdict(record, State.MISSING, words)


def _alias(record: Record, answers: Answers) -> Verdict:
    """A name is right when it leads to the panel: as its alias, or by the same addresses."""
    given = [answers[Question(record.name, kind)] for kind in ("A", "AAAA")]
    leads_to = next((answer.leads_to for answer in given if answer.leads_to), "")
    there = {value for answer in given for value in answer.values}
    found = (leads_to,) if leads_to else tuple(sorted(there))
    if not found:
        if any(answer.outcome == Outcome.FAILED for answer in given):
            return _no_answer(record)
        return Verdict(
            record, State.MISSING, _("There is no such record: mail programs do not find the settings.")
        )
    host = panel_host()
    own = [answers[Question(host, kind)] for kind in ("A", "AAAA")]
    names = {host, *(answer.leads_to for answer in own if answer.leads_to)}
    addresses = {host, *(value for answer in own for value in answer.values)}
    if leads_to in names or there & addresses:
        return Verdict(record, State.RIGHT, _("It leads here."), found)
    if any(answer.outcome == Outcome.FAILED for answer in own):
        return _no_answer(record)
    return Verdict(
        record, State.WRONG, _("It leads elsewhere: mail programs may be told other servers."), found
    )


def _srv(record: Record, answers: Answers) -> Verdict:
    answer = answers[Question(record.name, "SRV")]
    if answer.outcome == Outcome.FAILED:
        return _no_answer(record)
    offered = tuple(value for value in answer.values if _host(value))
    if record.value == NOT_OFFERED:
        if offered:
            words = _("It names a server for what is not offered here: programs try it in vain.")
            return Verdict(record, State.WRONG, words, answer.shown)
        return Verdict(
            record, State.RIGHT, _("This service is not offered here, and not announced."), answer.shown
        )
    if not answer.values:
        return Verdict(record, State.MISSING, _("There is no such record."))
    if not record.value:
        return Verdict(record, State.UNSURE, _("Ask your host whether this is right."), answer.shown)
    if offered and {_port_and_host(value) for value in offered} == {_port_and_host(record.value)}:
        return Verdict(record, State.RIGHT, _("It names the right server."), answer.shown)
    words = _("It names another server or port: programs that look here are led astray.")
    return Verdict(record, State.WRONG, words, answer.shown)


def _no_answer(record: Record) -> Verdict:
    return Verdict(record, State.NO_ANSWER, _("The DNS gave no answer."))


def _dmarc_records(answer: Answer) -> tuple[str, ...]:
    return tuple(text for text in answer.values if re.match(r"v\s*=\s*DMARC1\s*(?:;|$)", text))


def _parents(domain_name: str) -> list[str]:
    """Return the domains above a domain that may speak for it, nearest first: those of two parts at least."""
    labels = domain_name.split(".")
    return [".".join(labels[at:]) for at in range(1, len(labels) - 1)][-PARENTS_MAX:]


def _key_question(domain_name: str, selector: str) -> Question:
    return Question(f"{selector}._domainkey.{domain_name}", "TXT")


def _host(value: str) -> str:
    """Return the host that an MX or SRV record names, or empty for none."""
    return value.rpartition(" ")[2].rstrip(".").lower()


def _port_and_host(value: str) -> tuple[str, str]:
    return value.split(" ")[-2], _host(value)
