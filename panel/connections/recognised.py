"""Devices that use a mailbox, as far as they can be recognised: by their own password, else by what they tell of
themselves (IMAP's ID, RFC 2971) and from which network they come. POP programs tell nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Max, Q

from panel.addresses.models import DevicePassword, Mailbox
from panel.connections.mailbox_selectors import connections_of
from panel.connections.models import Connection

#: How far back devices are looked for, and the most sessions that are gone through.
LATELY, LOOKED_THROUGH = timedelta(days=90), 20_000


@dataclass
class Recognised:
    """What is taken for one device.

    Attributes:
        last: its latest session.
        device: its password's row, or None where it used the mailbox's own.
        protocols: codes of Connection.Protocol.
        sessions: how many there were, of those that were gone through.
        open_now: how many go on.
    """

    last: Connection
    device: DevicePassword | None
    protocols: set[str]
    sessions: int
    open_now: int

    @property
    def client(self) -> str:
        """What it calls itself; empty where it does not, as over POP."""
        return self.last.client_name


@dataclass(frozen=True)
class _Group:
    """Sessions of a mailbox that have in common what devices are told apart by."""

    device: int | None
    protocol: str
    client_name: str
    remote_net: str
    sessions: int
    open_now: int
    last: int


def recognised_in(mailbox: Mailbox, now: datetime, *, within: timedelta = LATELY) -> list[Recognised]:
    """Return the devices that signed in to a mailbox, the latest first.

    Args:
        mailbox: which.
        now: this moment.
        within: how far back they are looked for.
    """
    rows = connections_of(mailbox).filter(started_at__gte=now - within)
    floor = rows.values_list("started_at", flat=True)[LOOKED_THROUGH - 1 : LOOKED_THROUGH].first()
    if floor is not None:
        rows = rows.filter(started_at__gte=floor)
    accepted = rows.filter(outcome=Connection.Outcome.ACCEPTED).select_related(None).order_by()
    groups = [
        _Group(**values)
        for values in accepted.values("device", "protocol", "client_name", "remote_net").annotate(
            sessions=Count("pk"), open_now=Count("pk", filter=Q(ended_at=None)), last=Max("pk")
        )
    ]
    lasts = connections_of(mailbox).in_bulk([group.last for group in groups])
    found: dict[tuple[object, ...], Recognised] = {}
    for group in sorted(groups, key=lambda group: group.last, reverse=True):
        if group.last not in lasts:
            continue  # Forgotten meanwhile.
        each = found.setdefault(
            _likeness(group),
            Recognised(last := lasts[group.last], last.device if group.device else None, set(), 0, 0),
        )
        each.protocols.add(group.protocol)
        each.sessions += group.sessions
        each.open_now += group.open_now
    return list(found.values())


def by_main_password(mailbox: Mailbox, now: datetime, *, within: timedelta) -> list[Recognised]:
    """Return those of them that used the mailbox's own password."""
    return [each for each in recognised_in(mailbox, now, within=within) if each.last.device_id is None]


def _likeness(group: _Group) -> tuple[object, ...]:
    if group.device is not None:
        return ("device", group.device)
    if group.client_name:
        return ("client", group.client_name, group.remote_net)
    return ("place", group.protocol, group.remote_net)
