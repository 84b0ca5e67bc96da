"""How the log is read: by one index that gives the rows in their order, whatever else is looked for on the way.

One filter *leads*: its column has an index that ends with the order of the list. The others are checked on the rows
that come by, and no page goes through more than EXAMINED of them: what it has not seen yet it says. So a page costs
about the same with five thousand rows and with five million, and nothing is counted or sorted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from heapq import merge
from itertools import islice
from typing import Any

from django.db.models import Case, IntegerField, Q, QuerySet, Value, When
from django.db.models.expressions import RawSQL
from django.db.models.lookups import Exact
from django.utils.dateparse import parse_datetime

from panel.accounts.models import User
from panel.connections.filters import Filters, common_beginning, is_one_net, within
from panel.connections.models import Connection
from panel.connections.networks import Network, net_of, net_prefix
from panel.connections.selectors import Scope, scope_of

#: Rows of a page, of a piece of an export, and the most that are gone through for one of them.
PAGE, EXPORT_PAGE, EXAMINED = 50, 1000, 20_000
#: Rows whose networks are looked at together.
_TOGETHER = 1000


@dataclass(frozen=True, order=True)
class Key:
    """A place in the list: rows are in the order of these, newest first."""

    started_at: datetime
    id: int

    def __str__(self) -> str:
        return f"{self.started_at.astimezone(UTC).isoformat()}_{self.id}"


@dataclass(frozen=True)
class Plan:
    """How rows are found.

    Attributes:
        lead: what leads: address, ip, net, open, domain, customer, mailbox, reason or time.
        parts: the rows that it leads to, each part in the order of one index; no row is in two of them.
        rest: what is checked on the way, in the database; None where nothing is.
        network: the same for a network that the database cannot tell.
    """

    lead: str
    parts: tuple[QuerySet[Connection], ...]
    rest: Q | None = None
    network: Network | None = None

    @property
    def is_exact(self) -> bool:
        """Whether every row that leads is wanted: nothing is gone through in vain."""
        return self.rest is None and self.network is None


@dataclass(frozen=True)
class Rows:
    """Some of the rows, newest first.

    Attributes:
        rows: they.
        older: where to go on, if there may be more.
        searched_to: when rows were looked for no further than to this time; None where all were seen.
    """

    rows: list[Connection]
    older: Key | None = None
    searched_to: datetime | None = None


def parse_key(text: str) -> Key | None:
    """Return the place that an address of a page names, or None if it is none."""
    at, _sep, number = text.partition("_")
    try:
        started_at = parse_datetime(at)
    except ValueError:
        return None
    fits = number.isascii() and number.isdigit() and len(number) < 20 and int(number) < 2**63
    if started_at is None or started_at.tzinfo is None or not fits or not 1900 <= started_at.year <= 9000:
        return None
    return Key(started_at, int(number))


def plan_for(person: User, filters: Filters) -> Plan:
    """Return how the connections are found that a person may see and that fit."""
    scope = scope_of(person)
    if filters.problems:
        return Plan("time", ())
    if filters.customer is not None:
        # Only who sees all chooses among customers (see read_filters).
        scope = Scope("customer", (filters.customer,))
    lead, choices = _lead(filters, scope)
    parts = tuple(_within_period(Connection.objects.filter(choice), filters) for choice in choices)
    return Plan(lead, parts, _rest(filters, scope, lead), _network_left(filters))


def page_of_plan(
    plan: Plan, before: Key | None = None, *, size: int = PAGE, examined: int = EXAMINED
) -> Rows:
    """Return the rows before a place.

    Args:
        plan: how they are found.
        before: older ones than this, or None for the newest.
        size: how many.
        examined: the most rows that are gone through.
    """
    parts = [_before(part, before) for part in plan.parts]
    floor = None if plan.is_exact else _floor(parts, examined)
    found = [_fitting(plan, _from(part, floor), size + 1) for part in parts]
    rows = list(islice(merge(*found, key=key_of, reverse=True), size + 1))
    if len(rows) > size:
        return Rows(rows[:size], older=key_of(rows[size - 1]))
    if floor is not None:
        return Rows(rows, older=floor, searched_to=floor.started_at)
    return Rows(rows)


def all_rows(plan: Plan) -> Iterator[Connection]:
    """Yield all rows, newest first, read in pieces: no transaction stays open, and no memory fills up."""
    before: Key | None = None
    while True:
        piece = page_of_plan(plan, before, size=EXPORT_PAGE)
        yield from piece.rows
        before = piece.older
        if before is None:
            return


def values_of_plan(plan: Plan, columns: Sequence[str], *, size: int) -> tuple[list[tuple[Any, ...]], bool]:
    """Return some columns of the newest rows, and whether these are all.

    Args:
        plan: how they are found: in one part, and without a network that only Python knows.
        columns: which, `started_at` first.
        size: how many rows, of EXAMINED that are gone through.
    """
    assert plan.network is None
    found: list[tuple[Any, ...]] = []
    is_whole = True
    for part in plan.parts:
        floor = None if plan.is_exact else _floor([part], EXAMINED)
        wanted = _from(part, floor)
        wanted = wanted if plan.rest is None else wanted.filter(plan.rest)
        rows = list(wanted.values_list(*columns)[: size + 1])
        is_whole = is_whole and floor is None and len(rows) <= size
        found += rows[:size]
    return found, is_whole


def key_of(row: Connection) -> Key:
    """Return the place of a row."""
    return Key(row.started_at, row.pk)


def _lead(filters: Filters, scope: Scope | None) -> tuple[str, list[Q]]:
    """Return what leads, and its parts: the fewer rows it leads to, the better."""
    if filters.open_now:
        return "open", [Q(ended_at=None)]
    if filters.address:
        return "address", [Q(address=filters.address)]
    if filters.ip:
        return "ip", [Q(remote_ip=filters.ip)]
    if filters.network and filters.network.prefixlen >= net_prefix(filters.network.version):
        return "net", [Q(remote_net=net_of(filters.network.network_address))]
    if filters.domains is not None:
        return "domain", [Q(domain=number) for number in filters.domains]
    if scope is not None:
        return scope.column, [Q(**{scope.column: number}) for number in scope.numbers]
    if filters.reason in Connection.Refusal.values:
        # Written out: SQLite takes an index of some rows only where it sees that it holds the ones asked for.
        refused = RawSQL("'refused'", ())
        return "reason", [Q(outcome=refused, reason=filters.reason)]
    return "time", [Q()]


def _rest(filters: Filters, scope: Scope | None, lead: str) -> Q | None:
    """Return what else a row must be, as one condition that no other index fits: that one would have to be sorted."""
    wanted: dict[str, Any] = {
        "protocol": filters.protocol,
        "outcome": filters.outcome,
        "credential": filters.device,
        "device_id": filters.device_pk,
    }
    if lead != "address":
        wanted["address"] = filters.address
    if lead != "ip":
        wanted["remote_ip"] = filters.ip
    if lead != "net" and filters.network and is_one_net(filters.network):
        wanted["remote_net"] = net_of(filters.network.network_address)
    left = _network_left(filters)
    if left is not None:
        wanted["remote_ip__startswith"] = common_beginning(left)
    if lead != "reason":
        wanted["reason"] = filters.reason
    wanted = {column: value for column, value in wanted.items() if value}
    if lead != "domain" and filters.domains is not None:
        wanted["domain__in"] = filters.domains
    if scope is not None and lead != scope.column:
        wanted[f"{scope.column}__in"] = scope.numbers
    if not wanted:
        return None
    return Q(Exact(Case(When(**wanted, then=Value(1)), default=Value(0), output_field=IntegerField()), 1))


def _network_left(filters: Filters) -> Network | None:
    """Return the network that is looked for, unless it is one that rows bear: only Python knows the others."""
    network = filters.network
    return None if network is None or is_one_net(network) else network


def _within_period(part: QuerySet[Connection], filters: Filters) -> QuerySet[Connection]:
    if filters.begins_at is not None:
        part = part.filter(started_at__gte=filters.begins_at)
    if filters.ends_at is not None:
        part = part.filter(started_at__lt=filters.ends_at)
    return part.order_by("-started_at", "-pk")


def _before(part: QuerySet[Connection], key: Key | None) -> QuerySet[Connection]:
    """Return the rows before a place. The index is entered at its time; few rows share one."""
    if key is None:
        return part
    return part.filter(started_at__lte=key.started_at).exclude(started_at=key.started_at, pk__gte=key.id)


def _from(part: QuerySet[Connection], key: Key | None) -> QuerySet[Connection]:
    """Return the rows from a place on, itself included."""
    if key is None:
        return part
    return part.filter(started_at__gte=key.started_at).exclude(started_at=key.started_at, pk__lt=key.id)


def _floor(parts: list[QuerySet[Connection]], examined: int) -> Key | None:
    """Return the place to which a page may go back, or None if all rows can be gone through."""
    last = max(examined // max(len(parts), 1), 1) - 1
    keys = (part.values_list("started_at", "pk")[last : last + 1] for part in parts)
    return max((Key(*key) for found in keys for key in found), default=None)


def _fitting(plan: Plan, part: QuerySet[Connection], size: int) -> Iterator[Connection]:
    """Yield the first rows of a part that fit."""
    wanted = part if plan.rest is None else part.filter(plan.rest)
    if plan.network is None:
        yield from wanted[:size]
        return
    ids = list(islice(_ids_within(plan.network, wanted), size))
    found = Connection.objects.order_by().in_bulk(ids)
    yield from (found[pk] for pk in ids if pk in found)


def _ids_within(network: Network, part: QuerySet[Connection]) -> Iterator[int]:
    """Yield the rows of a part whose addresses are in a network: read in pieces, and only what that needs."""
    before: Key | None = None
    while True:
        piece = list(_before(part, before).values_list("started_at", "pk", "remote_ip")[:_TOGETHER])
        yield from (pk for _at, pk, address in piece if within(network, address))
        if len(piece) < _TOGETHER:
            return
        before = Key(*piece[-1][:2])
