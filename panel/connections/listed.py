"""Rows of the log as its pages write them: put together here, because a template takes several times as long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from urllib.parse import urlencode

from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from panel.connections.models import Connection, LogGap
from panel.connections.planning import Rows
from panel.connections.words import gap_in_words
from panel.core.sizes import format_size

#: Characters of a tried address that a list shows; the page of the connection has all of them.
_SHOWN = 80
#: Gaps that one page looks at. There are few, or the log is worth little.
_GAPS = 100


@dataclass(frozen=True, slots=True)
class ListedGap:
    """A time of which something is missing, as a list shows it: what and why, and which time."""

    words: str
    when: str
    is_gap: bool = True


@dataclass(frozen=True, slots=True)
class Listed:
    """A connection as a list shows it: its row of the table."""

    html: SafeString
    is_gap: bool = False


def listed(found: Rows, *, newest: bool) -> list[Listed | ListedGap]:
    """Return rows as a list shows them, in the same order, with the gaps that lie between them.

    Args:
        found: they.
        newest: whether nothing newer was left out: a gap after the first row is shown then.
    """
    gaps = _gaps(found, newest=newest)
    shown: list[Listed | ListedGap] = []
    listing = _Listing()
    for row in found.rows:
        while gaps and _ended(gaps[0]) >= row.started_at:
            shown.append(_listed_gap(gaps.pop(0)))
        shown.append(listing.listed(row))
    if found.older is None:
        shown += [_listed_gap(gap) for gap in gaps]
    return shown


def state_of(row: Connection) -> tuple[str, str, str]:
    """Return the state that a badge shows, its words, and what else is said of how it went."""
    if row.outcome == Connection.Outcome.REFUSED:
        return "failed", row.reason_label or _("Refused"), ""
    if row.is_open:
        return "running", _("Connected"), ""
    return "done", str(Connection.Outcome.ACCEPTED.label), row.reason_label


def messages_in_words(row: Connection) -> str:
    """Say what a session did with messages; an empty text where it did nothing, or nothing is known yet."""
    parts = []
    if row.retrieved:
        parts.append(
            ngettext("%(count)s message read", "%(count)s messages read", row.retrieved)
            % {"count": row.retrieved}
        )
    removed = row.expunged or row.deleted
    if removed:
        parts.append(ngettext("%(count)s removed", "%(count)s removed", removed) % {"count": removed})
    return ", ".join(parts)


def address_url(address: str) -> str:
    """Return where the connections of an address are."""
    return f"{reverse('show_connection_address')}?{urlencode({'address': address})}" if address else ""


def ip_url(address: str) -> str:
    """Return where the connections from an IP address are."""
    return reverse("show_connection_ip", args=[address]) if address else ""


def column_labels() -> dict[str, str]:
    """Return the heads of the columns."""
    return {
        "when": _("When"),
        "address": _("Address"),
        "protocol": _("Protocol"),
        "origin": pgettext("connection", "From"),
        "outcome": _("Outcome"),
        "traffic": _("Traffic"),
    }


class _Listing:
    """What many rows of a page have in common, found once: each of them says little that is new."""

    def __init__(self) -> None:
        self._today = timezone.localdate()
        self._base = reverse("list_connections")
        self._protocols = {value: escape(label) for value, label in Connection.Protocol.choices}
        self._labels = {name: escape(label) for name, label in column_labels().items()}
        self._nobody = format_html('<span class="soft">{}</span>', _("No address"))
        self._days: dict[date, str] = {}
        self._states: dict[tuple[str, str, bool], str] = {}
        self._addresses: dict[str, tuple[str, str]] = {"": ("", "")}
        self._ips: dict[str, tuple[str, str]] = {"": ("", "")}

    def listed(self, row: Connection) -> Listed:
        """Return a row as a list shows it. All that clients chose is escaped here."""
        labels, pk = self._labels, row.pk
        local = timezone.localtime(row.started_at)
        day = self._day(local.date())
        under = "" if local.date() == self._today else f'<span class="under">{day}</span>'
        address_href, address = self._address(row.address)
        ip_href, ip = self._ip(row.remote_ip)
        named = f'<a id="a{pk}" href="{address_href}"><bdi>{address}</bdi></a>' if address else self._nobody
        came_from = f'<a id="i{pk}" href="{ip_href}">{ip}</a>' if ip else ""
        return Listed(
            SafeString(
                f'<tr role="row"><th scope="row" role="rowheader"><a id="c{pk}" href="{self._base}{pk}/">'
                f"{_clock(local, day)}</a>{under}</th>"
                f'<td role="cell" class="log-address" data-label="{labels["address"]}">{named}</td>'
                f'<td role="cell" data-label="{labels["protocol"]}">{self._protocols.get(row.protocol, "")}</td>'
                f'<td role="cell" class="log-from" data-label="{labels["origin"]}">{came_from}</td>'
                f'<td role="cell" data-label="{labels["outcome"]}">{self._state(row)}</td>'
                f'<td role="cell" class="log-traffic" data-label="{labels["traffic"]}">{_traffic(row)}</td></tr>'
            )
        )

    def _day(self, day: date) -> str:
        if day not in self._days:
            self._days[day] = escape(date_format(day, "SHORT_DATE_FORMAT"))
        return self._days[day]

    def _address(self, address: str) -> tuple[str, str]:
        if address not in self._addresses:
            shown = Truncator(address).chars(_SHOWN) if len(address) > _SHOWN else address
            self._addresses[address] = (escape(address_url(address)), escape(shown))
        return self._addresses[address]

    def _ip(self, ip: str) -> tuple[str, str]:
        if ip not in self._ips:
            self._ips[ip] = (escape(ip_url(ip)), escape(ip))
        return self._ips[ip]

    def _state(self, row: Connection) -> str:
        kind = (row.outcome, row.reason, row.is_open)
        if kind not in self._states:
            state, outcome, reason = state_of(row)
            under = format_html('<span class="under">{}</span>', reason) if reason else ""
            self._states[kind] = format_html(
                '<span><span class="badge badge-{}">{}</span>{}</span>', state, outcome, under
            )
        return self._states[kind]


def _traffic(row: Connection) -> str:
    total, messages = (row.bytes_in or 0) + (row.bytes_out or 0), messages_in_words(row)
    if not total and not messages:
        return ""
    under = f'<span class="under">{escape(messages)}</span>' if messages else ""
    return f"<span>{escape(format_size(total)) if total else ''}{under}</span>"


def _clock(local: datetime, day: str) -> SafeString:
    """Write a time to the second; its day and its zone can be asked for. `day` is escaped."""
    clock = local.strftime("%H:%M:%S")
    title = f"{day} {clock} {escape(str(local.tzname()))}"
    at = local.isoformat(timespec="milliseconds")
    return SafeString(f'<time datetime="{at}" title="{title}">{clock}</time>')


def _gaps(found: Rows, *, newest: bool) -> list[LogGap]:
    """Return the gaps that end within the time of some rows, those that end last first; none without rows."""
    rows: Sequence[Connection] = found.rows
    if not rows:
        return []
    gaps = LogGap.objects.all()
    if found.older is not None:
        gaps = gaps.filter(Q(ended_at__gte=rows[-1].started_at) | Q(ended_at=None))
    if not newest:
        gaps = gaps.filter(ended_at__lt=rows[0].started_at)
    return sorted(gaps[:_GAPS], key=_ended, reverse=True)


def _ended(gap: LogGap) -> datetime:
    """When a gap ended; one that nobody knows the end of counts as the latest."""
    return gap.ended_at or timezone.now() + timedelta(days=1)


def _listed_gap(gap: LogGap) -> ListedGap:
    return ListedGap(gap_in_words(gap), _when(gap))


def _when(gap: LogGap) -> str:
    """Say from when to when something is missing, as far as that is known."""
    words = {"from": _moment(gap.began_at), "to": _moment(gap.ended_at)}
    if gap.began_at and gap.ended_at:
        return _("From %(from)s to %(to)s") % words
    if gap.ended_at:
        return _("Until %(to)s") % words
    return _("Since %(from)s") % words if gap.began_at else ""


def _moment(at: datetime | None) -> str:
    return date_format(timezone.localtime(at), "DATETIME_FORMAT") if at else ""


def marks(rows: Sequence[Connection]) -> Iterator[str]:
    """Yield what changes when a list has to be drawn again: which rows there are, and which of them have ended."""
    for row in rows:
        yield f"{row.pk}{'' if row.is_open else '.'}"
