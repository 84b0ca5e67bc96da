"""Whether an SPF record permits a server to send: worked out from answers of the DNS, as receivers do it (RFC 7208).

What cannot be known from here is not guessed: macros, which depend on each message, `exists` and `ptr`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from panel.clients.dns_answers import TEXT_MAX, Answer, Outcome, Question
from panel.core.ip import is_ip_address

#: How many parts receivers ask the DNS about, in the record and all that it includes (section 4.6.4), and how many
#: servers of one `mx`.
ASKED_MAX = MX_MAX = 10
_ASKING = frozenset({"include", "a", "mx", "ptr", "exists"})
_TERM = re.compile(
    r"(?P<sign>[+?~-]?)(?P<name>[a-z0-9]+)(?::(?P<of>[^/]+))?(?P<lengths>(?://?\d{1,3}){0,2})\Z"
)
_NETWORK = re.compile(r"(?P<sign>[+?~-]?)ip(?P<version>[46]):(?P<network>[0-9a-f.:]+(?:/\d{1,3})?)\Z")

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class BrokenRecord(Exception):
    """Receivers heed none of the record (permerror); the message is the part that they cannot follow."""


@dataclass(frozen=True)
class Permission:
    """What is known of a server's permission to send.

    Attributes:
        permitted: of its addresses, those that may send.
        refused: those that may not; an address of which it is not known is in neither.
        addresses: all that it has.
        failed: whether a question had no answer.
        is_too_long: whether receivers would have to ask more than ASKED_MAX times, so that they heed none of it.
        broken: the part that makes receivers heed none of it; empty where there is none.
        missing: what would have to be asked to know more.
    """

    permitted: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    failed: bool = False
    is_too_long: bool = False
    broken: str = ""
    missing: frozenset[Question] = frozenset()

    @property
    def is_given(self) -> bool:
        """Whether the server may send from each of its addresses."""
        return bool(self.addresses) and self.permitted == self.addresses


def spf_records(answer: Answer) -> tuple[str, ...]:
    """Return the texts of an answer that are SPF records (section 4.5)."""
    return tuple(text for text in answer.values if re.match(r"v=spf1(?: |$)", text, re.I))


def permission(domain_name: str, host: str, answers: Mapping[Question, Answer]) -> Permission:
    """Return whether a domain's record permits a server, as far as the answers tell it.

    Args:
        domain_name: whose record it is.
        host: the server's name or address.
        answers: to whatever was asked so far.
    """
    walk = _Walk(answers)
    if walk.count(domain_name) > ASKED_MAX:
        return Permission(is_too_long=True)
    addresses = walk.addresses_of_host(host)
    results = {}
    broken = ""
    try:
        results = {address: walk.may_send(domain_name, address) for address in addresses}
    except BrokenRecord as err:
        broken = str(err)
    return Permission(
        permitted=tuple(str(address) for address, may in results.items() if may),
        refused=tuple(str(address) for address, may in results.items() if may is False),
        addresses=tuple(map(str, addresses)),
        failed=walk.failed,
        broken=broken,
        missing=frozenset(walk.missing),
    )


@dataclass(frozen=True)
class _Term:
    """A part of a record: in small letters."""

    text: str
    name: str
    permits: bool = True
    target: str = ""
    lengths: str = ""

    @property
    def asks(self) -> bool:
        return self.name in _ASKING or self.name == "redirect"

    def target_in(self, domain_name: str) -> str:
        """Return the name that it is about; empty where that depends on the message (section 7)."""
        target = (self.target or domain_name).rstrip(".")
        return "" if "%" in target else target


@dataclass
class _Walk:
    """A walk through a record and all that it includes. What is not answered yet is noted as missing."""

    answers: Mapping[Question, Answer]
    missing: set[Question] = field(default_factory=set)
    failed: bool = False

    def count(self, domain_name: str, so_far: int = 0) -> int:
        """Return how often receivers ask, on top of `so_far`: no further than ASKED_MAX is counted, so loops end."""
        terms = self.terms_of(domain_name) or []
        for term in terms:
            if so_far > ASKED_MAX:
                break
            so_far += term.asks
            target = term.target_in("") if term.name in ("include", "redirect") else ""
            if target and so_far <= ASKED_MAX:
                so_far = self.count(target, so_far)
        return so_far

    def may_send(self, domain_name: str, address: _Address) -> bool | None:
        """Return whether the record of a domain permits an address; None where it is not known.

        Raises:
            BrokenRecord: if receivers heed none of it.
        """
        terms = self.terms_of(domain_name)
        if terms is None:
            return None
        # What comes of it is sure where it is the same whatever an unknown part matches.
        possible: set[bool] = set()
        for term in terms:
            if term.name == "redirect":
                outcome = self._included(term, address)
                return None if outcome is None or possible - {outcome} else outcome
            matched = self._matches(term, domain_name, address)
            if matched is not False:
                possible.add(term.permits)
            if matched:
                break
        else:
            possible.add(False)
        return possible.pop() if len(possible) == 1 else None

    def terms_of(self, domain_name: str) -> list[_Term] | None:
        """Return the parts of the record of a domain, None where it is not known; none where there is not one."""
        answer = self._answer(domain_name, "TXT")
        if answer is None:
            return None
        records = spf_records(answer)
        return list(_terms(records[0])) if len(records) == 1 else []

    def addresses_of_host(self, host: str) -> list[_Address]:
        """Return the addresses of a server, whose name may be one."""
        try:
            return [ipaddress.ip_address(host)]
        except ValueError:
            return [*(self._addresses(host, 4) or ()), *(self._addresses(host, 6) or ())]

    def _matches(self, term: _Term, domain_name: str, address: _Address) -> bool | None:
        match term.name:
            case "all":
                return True
            case "ip4" | "ip6":
                return address in _network(term)
            case "include":
                return self._included(term, address)
            case "a":
                return self._is_at(term, [term.target_in(domain_name)], address)
            case "mx":
                return self._is_at(term, self._mail_servers(term, domain_name), address)
            case "exists" | "ptr":
                return None
        raise BrokenRecord(term.text)

    def _included(self, term: _Term, address: _Address) -> bool | None:
        """Return what another domain's record says; one that there is not breaks this one (sections 5.2 and 6.1)."""
        target = term.target_in("")
        if not target:
            return None
        answer = self._answer(target, "TXT")
        if answer is not None and len(spf_records(answer)) != 1:
            raise BrokenRecord(term.text)
        return self.may_send(target, address)

    def _mail_servers(self, term: _Term, domain_name: str) -> list[str] | None:
        target = term.target_in(domain_name)
        answer = self._answer(target, "MX") if target else None
        if answer is None:
            return None
        if len(answer.values) > MX_MAX:
            raise BrokenRecord(term.text)
        hosts = (value.rpartition(" ")[2].rstrip(".").lower() for value in answer.values)
        return [host for host in hosts if host]

    def _is_at(self, term: _Term, hosts: list[str] | None, address: _Address) -> bool | None:
        """Say whether an address is one of some servers', or in a network around one."""
        if hosts is None or "" in hosts:
            return None
        found = [self._addresses(host, address.version) for host in hosts]
        length = _length(term, address)
        near = (
            ipaddress.ip_network(f"{each}/{length}", strict=False)
            for all_of in found
            for each in all_of or ()
        )
        if any(address in network for network in near):
            return True
        return None if None in found else False

    def _addresses(self, host: str, version: int) -> list[_Address] | None:
        answer = self._answer(host, "A" if version == 4 else "AAAA")
        if answer is None:
            return None
        return [ipaddress.ip_address(value) for value in answer.values if is_ip_address(value)]

    def _answer(self, name: str, kind: str) -> Answer | None:
        """Return an answer; None where there is none (yet)."""
        question = Question(name, kind)
        answer = self.answers.get(question)
        if answer is None:
            self.missing.add(question)
        elif answer.outcome == Outcome.FAILED:
            self.failed = True
            return None
        return answer


def _terms(record: str) -> Iterator[_Term]:
    """Return the parts of a record in the order in which they are looked at: `redirect` last, and not beside `all`."""
    texts = record.lower().split()[1:]
    if len(record) > TEXT_MAX:
        texts[-1:] = ["exists:%cut"]  # the rest of it was not kept
    redirect = [text.removeprefix("redirect=") for text in texts if text.startswith("redirect=")]
    has_all = False
    for text in texts:
        if re.match(r"[a-z][a-z0-9_.-]*=", text):
            continue  # a modifier: what is not known is passed over (section 6)
        term = _term(text)
        has_all = has_all or term.name == "all"
        yield term
    if redirect and not has_all:
        yield _Term(f"redirect={redirect[0]}", "redirect", target=redirect[0])


def _term(text: str) -> _Term:
    """Return one part; of what is none, one without a name."""
    network = _NETWORK.match(text)
    if network:
        return _Term(text, f"ip{network['version']}", network["sign"] in ("", "+"), network["network"])
    match = _TERM.match(text)
    if not match:
        return _Term(text, "exists" if "%" in text else "")
    return _Term(text, match["name"], match["sign"] in ("", "+"), match["of"] or "", match["lengths"])


def _network(term: _Term) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        network = ipaddress.ip_network(term.target, strict=False)
    except ValueError as err:
        raise BrokenRecord(term.text) from err
    if f"ip{network.version}" != term.name:
        raise BrokenRecord(term.text)
    return network


def _length(term: _Term, address: _Address) -> int:
    """Return how many bits of an address count (section 5.6: /24 for IPv4, //64 for IPv6)."""
    match = re.match(r"(?:/(?P<four>\d+))?(?://(?P<six>\d+))?\Z", term.lengths)
    if not match:
        raise BrokenRecord(term.text)
    length = int(match["four" if address.version == 4 else "six"] or address.max_prefixlen)
    if length > address.max_prefixlen:
        raise BrokenRecord(term.text)
    return length
