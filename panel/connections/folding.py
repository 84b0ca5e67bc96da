"""What happened → rows: the lines about one connection are put together, across batches and restarts.

A `Fold` is made for each batch from what the database knows, and saved with it in one transaction: what it keeps
between two batches (`LogPosition.pending`) is never ahead of the rows, nor behind.
"""

from __future__ import annotations

import ipaddress
import logging
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F

from mailbackend.dovecot import events
from panel.connections import storing
from panel.connections.attribution import Attribution
from panel.connections.models import CLIENT_MAX, TRIED_MAX, Connection, HourlyCount, LogGap, LogPosition
from panel.connections.storing import Row

logger = logging.getLogger(__name__)

_ACCEPTED, _REFUSED = Connection.Outcome.ACCEPTED.value, Connection.Outcome.REFUSED.value
_STOPPED = Connection.End.SERVER_STOPPED.value
#: How many of each kind are kept between two batches; the oldest are given up first. A connection that has not signed
#: in is closed by Dovecot after some minutes.
PENDING_MAX = 20_000
#: How long sessions end with a service that is being stopped; and how long before the first word of that they may do
#: so: of a master that was killed, its processes write no line before theirs.
STOPPING_FOR, STOPPED_BEFORE = timedelta(seconds=30), timedelta(seconds=0.75)
#: Prefix lengths of the networks that rows are found by.
NET_4, NET_6 = 24, 48


class Fold:
    """The rows that a batch of events makes and changes.

    Args:
        position: how far the log is stored; its `pending` is taken up, and renewed by `save`.
    """

    def __init__(self, position: LogPosition) -> None:
        self.position = position
        self.node = position.node
        pending = position.pending
        #: Refused passwords of connections that nobody has signed in on yet.
        self.attempts: dict[str, int] = dict(pending.get("attempts", {}))
        self.in_the_clear: dict[str, bool] = dict(pending.get("in_the_clear", {}))
        #: What programs said they are before anybody signed in, by session or by address and port.
        self.clients: dict[str, list[str]] = dict(pending.get("clients", {}))
        #: Sessions whose end was read before their beginning.
        self.endings: dict[str, str] = dict(pending.get("endings", {}))
        #: Sessions of which Dovecot said that it ended them itself, and when: a kick, unless it is being stopped.
        self.kicked: dict[str, str] = dict(pending.get("kicked", {}))
        #: Since when the service is being stopped; empty while it is not.
        self.stopping: str = pending.get("stopping", "")
        self.new: list[Row] = []
        self.changed: dict[tuple[str, int], Row] = {}
        self.seen: dict[int, datetime] = {}
        #: Device passwords by id: when they were used last, from where and over what.
        self.used: dict[int, tuple[datetime, str, str]] = {}
        self.counts: Counter[tuple[datetime, int | None, str, str]] = Counter()
        self.gaps: list[LogGap] = []
        self._by_key: dict[tuple[str, int], Row] = {}
        self._new_keys: set[tuple[str, int]] = set()
        self._highest: dict[str, int] = {}  # the last attempt that is known of a session
        self._open_are_read = False
        self._attribution = Attribution()
        self._last: str = pending.get("last", "")  # when what was taken last happened

    def take(self, happened: list[events.Event]) -> None:
        """Take up a batch, in the order of the log."""
        self._look_up(happened)
        for event in happened:
            _TAKERS[type(event)](self, event)
            self._last = getattr(event, "at", self._last)

    def lost(self, cause: LogGap.Cause, until: datetime | None, segments: int = 0) -> None:
        """Note that something is missing between the last line that was stored and `until`."""
        began = self.position.line_at
        if began is not None and until is not None:
            began = min(began, until)  # the clock may have been set back
        self.gaps.append(
            LogGap(node=self.node, cause=cause, began_at=began, ended_at=until, segments=segments)
        )

    def save(self) -> None:
        """Save rows, counts and gaps, and renew the position's `pending`, in this transaction.

        Raises:
            DatabaseError: if the database does not take it.
        """
        self._insert()
        storing.update([row for key, row in self.changed.items() if key not in self._new_keys])
        self._note_last_seen()
        self._count()
        LogGap.objects.bulk_create(self.gaps)
        self.position.pending = {
            "attempts": _bounded(self.attempts),
            "in_the_clear": _bounded(self.in_the_clear),
            "clients": _bounded(self.clients),
            "endings": _bounded(self.endings),
            "kicked": self._just_kicked(),
            "stopping": self.stopping,
            "last": self._last,
        }

    # --- what the database knows already

    def _look_up(self, happened: Sequence[Any]) -> None:
        """Read the rows that this batch changes, and whose the addresses are, with a few queries for all."""
        addresses: set[str] = set()
        sessions: set[str] = set()
        begun = {event.session for event in happened if isinstance(event, events.Begun)}
        over = begun | {event.session for event in happened if isinstance(event, events.Aborted)}
        for event in happened:
            if isinstance(event, _WITH_ADDRESS):
                addresses.add(clean_address(event.address))
            if isinstance(event, (events.Ended, events.Identified)):
                if event.session not in begun:
                    sessions.add(event.session)
            elif isinstance(event, (events.Begun, events.Aborted)):
                if event.session in self.attempts or event.session in self.endings:
                    sessions.add(event.session)
            elif isinstance(event, events.Refused):
                # One whose connection is known to go on, or is over later in this batch, is not told late.
                if event.session not in self.attempts and event.session not in over:
                    sessions.add(event.session)
            elif isinstance(event, (events.Stopping, events.Started)):
                sessions.update(self.kicked)
        self._attribution.look_up(addresses)
        with_device = (event for event in happened if isinstance(event, (events.Begun, events.Aborted)))
        self._attribution.look_up_devices({event.device for event in with_device if event.device is not None})
        sessions.discard("")
        self._read_rows(sorted(sessions))

    def _read_rows(self, sessions: list[str]) -> None:
        for start in range(0, len(sessions), 500):
            chunk = sessions[start : start + 500]
            rows = Connection.objects.filter(node=self.node, session__in=chunk).order_by()
            self._keep(Row(*values) for values in rows.values_list(*storing.COLUMNS))

    def _read_open(self) -> list[Row]:
        """Return all sessions that are open, those of this batch included."""
        # By the index of open ones; asked for the node too, SQLite would go through all that this node ever had.
        if self._open_are_read:
            return [row for row in self._by_key.values() if row.ended_at is None]
        self._open_are_read = True
        rows = Connection.objects.filter(ended_at=None).order_by("-started_at", "-id")
        known = set(self._by_key)
        read = (Row(*values) for values in rows.values_list(*storing.COLUMNS).iterator())
        ours = (row for row in read if row.node == self.node)
        self._keep(row for row in ours if (row.session, row.attempt) not in known)
        return [row for row in self._by_key.values() if row.ended_at is None]

    def _keep(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self._by_key[(row.session, row.attempt)] = row
            self._highest[row.session] = max(row.attempt, self._highest.get(row.session, 0))

    # --- events

    def _begun(self, event: events.Begun) -> None:
        at = parse_time(event.at)
        name, version = self._client(event.session, event.remote_ip, event.remote_port)
        for number in range(1, self.attempts.pop(event.session, 0) + 1):
            self._complete_refusal(event, number)
        self.in_the_clear.pop(event.session, None)
        row = self._row(event, at, attempt=0, outcome=_ACCEPTED, reason="")
        row.ended_at, row.pid = None, event.pid
        row.client_name, row.client_version = name, version
        row.tls, row.cipher = event.tls[:20], event.cipher[:60]
        self._note_credential(row, event)
        if self.endings.pop(event.session, None) is not None:
            self._complete_early_end(row)
        else:
            self._add(row)
        if row.mailbox_id is not None:
            self.seen[row.mailbox_id] = max(at, self.seen.get(row.mailbox_id, at))
        if row.device_id is not None:
            use = (at, row.remote_ip, row.protocol)
            self.used[row.device_id] = max(use, self.used.get(row.device_id, use))

    def _complete_early_end(self, row: Row) -> None:
        """The end was read first, and stands as a row: what it did not know is told by the beginning."""
        there = self._by_key.get((row.session, 0))
        if there is None:
            self._add(row)
            return
        self._count_in(there, -1)
        self._count_in(row, 1)
        for name in (
            "credential",
            "device_id",
            "started_at",
            "pid",
            "remote_ip",
            "remote_net",
            "remote_port",
            "mechanism",
        ):
            setattr(there, name, getattr(row, name))
        for name in ("tls", "cipher", "client_name", "client_version"):
            setattr(there, name, getattr(row, name))
        if there.ended_at is not None and there.ended_at < there.started_at:
            there.ended_at = there.started_at
        if (row.session, 0) not in self._new_keys:
            Connection.objects.filter(node=self.node, session=row.session, attempt=0).update(
                **{name: getattr(there, name) for name in storing.COLUMNS}
            )

    def _refused(self, event: events.Refused) -> None:
        known = self.attempts.pop(event.session, None)
        if known is None and event.session in self._highest:
            self._refused_late(event)
            return
        self.attempts[event.session] = number = (known or 0) + 1
        self._add(self._row(event, parse_time(event.at), number, outcome=_REFUSED, reason=event.reason))

    def _refused_late(self, event: events.Refused) -> None:
        """Its connection was read as over: another process writes that. What was not known then is told now."""
        number = self._highest[event.session]
        row = self._by_key[(event.session, number)]
        if row.reason in (Connection.Refusal.GAVE_UP, Connection.Refusal.TEMPORARY_FAILURE):
            row.reason = event.reason
            self._change(row)
        else:
            late = self._row(event, parse_time(event.at), number + 1, outcome=_REFUSED, reason=event.reason)
            late.tls, late.cipher = row.tls, row.cipher
            self._add(late)

    def _aborted(self, event: events.Aborted) -> None:
        known = self.attempts.pop(event.session, 0)
        in_the_clear = self.in_the_clear.pop(event.session, False)
        self._client(event.session, event.remote_ip, event.remote_port)
        for number in range(1, known + 1):
            self._complete_refusal(event, number)
        reasons = [self._untold_reason(event, in_the_clear=in_the_clear)] * (event.attempts - known)
        reason = "temporary_failure" if event.reason == "shut_down" else event.reason
        if reason in ("temporary_failure", "gave_up") and known:
            if event.reason == "temporary_failure":
                self._correct_refusal(event.session, known)
        elif reason in Connection.Refusal.values:
            reasons.append(reason)
        at = parse_time(event.at)
        for number, reason in enumerate(reasons, known + 1):
            row = self._row(event, at, number, outcome=_REFUSED, reason=reason)
            row.tls, row.cipher = event.tls[:20], event.cipher[:60]
            self._note_credential(row, event)
            self._add(row)

    def _note_credential(self, row: Row, event: events.Begun | events.Aborted) -> None:
        row.credential = _clean(event.credential, 40)
        row.device_id = self._attribution.device_of(row.mailbox_id, event.device)

    def _untold_reason(self, event: events.Aborted, *, in_the_clear: bool) -> str:
        """Why a password was refused of which no line tells: it was not looked at, or the service ended meanwhile."""
        if in_the_clear:
            return Connection.Refusal.NO_TLS.value
        mailbox, _domain, _customer = self._attribution.of(clean_address(event.address))
        reason = (
            Connection.Refusal.UNKNOWN_ADDRESS if mailbox is None else Connection.Refusal.TEMPORARY_FAILURE
        )
        return reason.value

    def _correct_refusal(self, session: str, number: int) -> None:
        """Dovecot does not know any address while PostgreSQL is away; its login process knows better."""
        row = self._by_key.get((session, number))
        if row is not None and row.reason == Connection.Refusal.UNKNOWN_ADDRESS:
            row.reason = Connection.Refusal.TEMPORARY_FAILURE.value
            self._change(row)

    def _complete_refusal(self, event: events.Aborted | events.Begun, number: int) -> None:
        row = self._by_key.get((event.session, number))
        if row is not None:
            row.tls, row.cipher = event.tls[:20], event.cipher[:60]
            self._change(row)

    def _note_in_the_clear(self, event: events.InTheClear) -> None:
        self.in_the_clear[event.session] = True

    def _ended(self, event: events.Ended) -> None:
        at = parse_time(event.at)
        row = self._by_key.get((event.session, 0))
        if row is None:
            # Two processes write the beginning and the end of a session: of a short one the end can come first.
            row = self._row(event, at, attempt=0, outcome=_ACCEPTED, reason="")
            self.endings[event.session] = event.at
            self._add(row)
        elif row.ended_at is not None and (row.reason != _STOPPED or row.bytes_in is not None):
            return
        row.ended_at = max(at, row.started_at)  # the clock may have been set back
        row.reason = self._why_ended(event, at)
        row.bytes_in, row.bytes_out = event.bytes_in, event.bytes_out
        row.retrieved, row.deleted, row.expunged = event.retrieved, event.deleted, event.expunged
        self._change(row)

    def _why_ended(self, event: events.Ended, at: datetime) -> str:
        """2.3 says the same of a kick and of its own end. Whom its login process served, lost the connection by it."""
        stopping = self.stopping and abs(at - parse_time(self.stopping)) < STOPPING_FOR
        if stopping and event.reason in ("shut_down", "connection_closed"):
            return _STOPPED
        if event.reason == "shut_down":
            self.kicked[event.session] = event.at
            return Connection.End.KICKED.value
        return event.reason

    def _identified(self, event: events.Identified) -> None:
        said = [_clean(event.name, CLIENT_MAX), _clean(event.version, CLIENT_MAX)]
        row = self._by_key.get((event.session, 0)) if event.session else None
        if row is None:
            self.clients[event.session or f"{event.remote_ip} {event.remote_port}"] = said
        elif any(said):
            row.client_name, row.client_version = said
            self._change(row)

    def _process_ended(self, event: events.ProcessEnded) -> None:
        for row in self._read_open():
            if row.pid == event.pid:
                self._close(row, parse_time(event.at))

    def _stop(self, event: events.Stopping) -> None:
        self.stopping = self.stopping or event.at
        self._stop_kicked(parse_time(event.at))

    def _stop_kicked(self, at: datetime) -> None:
        """Tell that it was no kick, of those that Dovecot ended just before `at`."""
        for session, ended in self.kicked.items():
            row = self._by_key.get((session, 0))
            if row is not None and abs(at - parse_time(ended)) < STOPPED_BEFORE:
                row.reason = _STOPPED
                self._change(row)
        self.kicked.clear()

    def _just_kicked(self) -> dict[str, str]:
        """Return those for whom it may still be told that the service was being stopped."""
        if not self.kicked or not self._last:
            return self.kicked
        now = parse_time(self._last)
        return {
            session: ended
            for session, ended in self.kicked.items()
            if abs(now - parse_time(ended)) < STOPPED_BEFORE
        }

    def _started(self, event: events.Started) -> None:
        """No session survives a start of Dovecot: what has no end has ended with the service, at the last line."""
        self.stopping = ""
        at = parse_time(self._last or event.at)
        self._stop_kicked(at)  # the last words before it, if all others were killed before theirs
        for row in self._read_open():
            self._close(row, at)
        self.attempts.clear()
        self.in_the_clear.clear()
        self.clients.clear()
        self.endings.clear()

    def _log_killed(self, event: events.LogKilled) -> None:
        self.lost(LogGap.Cause.LOG_KILLED, parse_time(event.at))

    # --- rows

    def _close(self, row: Row, at: datetime) -> None:
        row.ended_at, row.reason = max(at, row.started_at), _STOPPED
        self._change(row)

    def _row(self, event: Any, at: datetime, attempt: int, *, outcome: str, reason: str) -> Row:
        address = clean_address(event.address)
        whose = self._attribution.of(address)
        ip, net = address_and_network(getattr(event, "remote_ip", ""))
        return Row(
            node=self.node,
            session=event.session,
            attempt=attempt,
            protocol=event.protocol,
            outcome=outcome,
            reason=reason,
            address=address,
            mailbox_id=whose[0],
            domain_id=whose[1],
            customer_id=whose[2],
            credential="",
            device_id=None,
            started_at=at,
            ended_at=at,
            pid=None,
            remote_ip=ip,
            remote_net=net,
            remote_port=getattr(event, "remote_port", None),
            tls="",
            cipher="",
            mechanism=_clean(getattr(event, "mechanism", ""), 20),
            client_name="",
            client_version="",
            bytes_in=None,
            bytes_out=None,
            retrieved=None,
            deleted=None,
            expunged=None,
        )

    def _add(self, row: Row) -> None:
        key = (row.session, row.attempt)
        if key in self._by_key:
            self._by_key[key] = row  # one id twice: the later one is what is known
            self._change(row)
            return
        self.new.append(row)
        self._by_key[key] = row
        self._new_keys.add(key)
        self._highest[row.session] = max(row.attempt, self._highest.get(row.session, 0))
        self._count_in(row, 1)

    def _count_in(self, row: Row, number: int) -> None:
        hour = row.started_at.replace(minute=0, second=0, microsecond=0)
        self.counts[(hour, row.customer_id, row.protocol, row.outcome)] += number

    def _insert(self) -> None:
        """Insert the new rows. Of one that is there already, which no order of lines brings about, it is the later."""
        if not self.new:
            return
        try:
            with transaction.atomic():
                storing.insert(self.new)
        except IntegrityError:
            there = self._stored_keys()
            logger.warning("%s connections were stored already, and are changed.", len(there))
            for row in self.new:
                if (row.session, row.attempt) in there:
                    self._new_keys.discard((row.session, row.attempt))
                    self._change(row)
                    self._count_in(row, -1)
            self.new = [row for row in self.new if (row.session, row.attempt) not in there]
            storing.insert(self.new)

    def _stored_keys(self) -> set[tuple[str, int]]:
        sessions = sorted({row.session for row in self.new})
        found: set[tuple[str, int]] = set()
        for start in range(0, len(sessions), 500):
            rows = Connection.objects.filter(node=self.node, session__in=sessions[start : start + 500])
            found.update(rows.values_list("session", "attempt"))
        return found

    def _change(self, row: Row) -> None:
        self.changed[(row.session, row.attempt)] = row

    def _client(self, session: str, ip: str, port: int | None) -> tuple[str, str]:
        by_session = self.clients.pop(session, None)
        by_port = self.clients.pop(f"{ip} {port}", None)
        name, version = by_session or by_port or ("", "")
        return name, version

    def _note_last_seen(self) -> None:
        storing.note_last_seen(sorted(self.seen.items()))
        storing.note_last_used([(pk, *use) for pk, use in sorted(self.used.items())])

    def _count(self) -> None:
        for (hour, customer_id, protocol, outcome), number in self.counts.items():
            if not number:
                continue
            of_hour = HourlyCount.objects.filter(
                hour=hour, customer=customer_id, protocol=protocol, outcome=outcome
            )
            if not of_hour.update(connections=F("connections") + number):
                HourlyCount.objects.create(
                    hour=hour,
                    customer_id=customer_id,
                    protocol=protocol,
                    outcome=outcome,
                    connections=number,
                )


_WITH_ADDRESS = (events.Begun, events.Refused, events.Aborted, events.Ended)
_TAKERS: dict[type, Any] = {
    events.Begun: Fold._begun,
    events.Refused: Fold._refused,
    events.Aborted: Fold._aborted,
    events.InTheClear: Fold._note_in_the_clear,
    events.Ended: Fold._ended,
    events.Identified: Fold._identified,
    events.ProcessEnded: Fold._process_ended,
    events.Stopping: Fold._stop,
    events.Started: Fold._started,
    events.LogKilled: Fold._log_killed,
}


@lru_cache(
    maxsize=4_096
)  # the lines of a batch: each time is asked for when it is checked and when it is used
def parse_time(text: str) -> datetime:
    """Return the moment that a line's time means, in UTC.

    Raises:
        ValueError: if it is none.
    """
    return datetime.fromisoformat(text).astimezone(UTC)


@lru_cache(maxsize=20_000)
def clean_address(text: str) -> str:
    """Return a name that was tried as it is stored and looked for: lower case, one line, harmless, not too long."""
    return _clean(text, TRIED_MAX).lower()


@lru_cache(maxsize=20_000)
def address_and_network(text: str) -> tuple[str, str]:
    """Return an IP address as it is stored, and the network that it is found by; empty texts if it is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return "", ""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    length = NET_4 if address.version == 4 else NET_6
    return str(address), str(ipaddress.ip_network((address, length), strict=False))


def _clean(text: str, length: int) -> str:
    """Control and formatting characters (Unicode categories C, Zl, Zp) become one sign each: none moves a terminal."""
    if text.isascii() and text.isprintable():
        return text[:length]
    shown = (char if unicodedata.category(char)[0] != "C" else "\N{REPLACEMENT CHARACTER}" for char in text)
    return " ".join("".join(shown).split("\u2028"))[:length]


def _bounded(kept: dict[str, Any]) -> dict[str, Any]:
    surplus = len(kept) - PENDING_MAX
    return dict(list(kept.items())[surplus:]) if surplus > 0 else kept
