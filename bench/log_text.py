"""Text as Dovecot 2.3 writes it into its log, made up: sessions, refusals, scans, and lines that say nothing of these.

Lines stand in the order of their times, those of many connections between each other.
"""

from __future__ import annotations

import heapq
import json
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

#: When the first connection of all begins.
BEGINNING = datetime(2026, 3, 4, 8, 0, tzinfo=UTC)
_TLS = 'tls="TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)"'
_ID_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
#: Of so many connections: sessions over IMAP, over POP, refused passwords; the rest only looks.
_IMAP, _POP, _REFUSED = 0.55, 0.8, 0.96

Line = tuple[datetime, str]


class Writer:
    """Makes up connections.

    Args:
        addresses: of the mailboxes that are signed in to.
        seed: the same seed, the same text.
        per_second: how many connections begin each second.
    """

    def __init__(self, addresses: Sequence[str], seed: int, per_second: float = 50) -> None:
        self._addresses = addresses
        self._random = random.Random(seed)  # noqa: S311 - not a secret
        self._now = BEGINNING
        self._gap = 1 / per_second
        self._waiting: list[tuple[datetime, int, str]] = []
        self._number = 0

    def lines(self, connections: int) -> Iterator[str]:
        """Yield the lines of so many further connections, and what is left of earlier ones."""
        for _ in range(connections):
            self._now += timedelta(seconds=self._random.uniform(0, 2 * self._gap))
            for when, text in self._connection():
                self._number += 1
                heapq.heappush(self._waiting, (when, self._number, text))
            while self._waiting and self._waiting[0][0] <= self._now:
                yield self._next()
        while self._waiting:
            yield self._next()

    def _next(self) -> str:
        when, _number, text = heapq.heappop(self._waiting)
        return f"{when.strftime('%Y-%m-%dT%H:%M:%S.%f+0000')} {text}\n"

    def _after(self, seconds: float) -> datetime:
        return self._now + timedelta(seconds=seconds)

    def _connection(self) -> list[Line]:
        chance = self._random
        session = "".join(chance.choices(_ID_LETTERS, k=16))
        ip = f"192.0.{chance.randrange(4)}.{chance.randrange(1, 250)}"
        address, port = chance.choice(self._addresses), chance.randrange(1024, 65536)
        kind = chance.random()
        if kind < _IMAP:
            return self._session("imap", session, address, ip, port)
        if kind < _POP:
            return self._session("pop3", session, address, ip, port)
        if kind < _REFUSED:
            return self._refused(session, address, ip, port)
        known = f'sess={session}, user="", rip={ip}, rport={port}, lport=993, sec="TLS", {_TLS}, cred="", refused="", '
        return [
            (
                self._after(3),
                f"imap-login: Info: {known}msg=Disconnected: Connection closed (no auth attempts in 3 secs)",
            )
        ]

    def _session(self, protocol: str, session: str, address: str, ip: str, port: int) -> list[Line]:
        chance, pid = self._random, self._random.randrange(1000, 4_000_000)
        known = (
            f'sess={session}, user="{address}", orig="{address}", method="PLAIN", rip={ip}, rport={port}, lport=993, '
            f'mpid={pid}, sec="TLS", {_TLS}, cred="main", refused="", sni="mail.example.test", '
        )
        # A session may be so short that its end is written first.
        seconds = chance.choice((-0.001, 0.002, 0.05, 1, 40))
        sent, received = chance.randrange(10, 4000), chance.randrange(400, 4_000_000)
        prefix = f'{protocol}: sess={session} user="{address}" pid={pid}: Info: '
        lines = [(self._now, f"{protocol}-login: Info: {known}msg=Login")]
        if protocol == "imap":
            if chance.random() < 0.3 and seconds > 0:
                said = "ID sent: name=Thunderbird, version=128.2.0, os=Linux"
                lines.append((self._after(seconds / 2), prefix + said))
            counts = (
                f"in={sent} out={received} deleted={chance.randrange(5)} expunged={chance.randrange(5)} trashed=0 "
                f"appended=0 autoexpunged=0 hdr=0/0 body={chance.randrange(20)}/{received // 2} rip={ip}"
            )
        else:
            read = chance.randrange(20)
            counts = (
                f"in={sent} out={received} top=0/0 retr={read}/{received} del={read}/{received // 2} msgs={read} "
                f"size={received} rip={ip}"
            )
        why = chance.choice(
            ("Logged out", "Logged out", "Connection closed", "Inactivity (no input for 1800 secs)")
        )
        lines.append((self._after(seconds), f"{prefix}Disconnected: {why} {counts}"))
        return lines

    def _refused(self, session: str, address: str, ip: str, port: int) -> list[Line]:
        chance = self._random
        unknown = chance.random() < 0.5
        name = f"info{chance.randrange(10_000)}@{address.rpartition('@')[2]}" if unknown else address
        attempts = chance.choice((1, 1, 1, 2))
        lines: list[Line] = []
        for number in range(attempts):
            words = "unknown user" if unknown else "Password mismatch"
            worker = f"auth-worker(312): Info: conn unix:auth-worker (pid=1,uid=999): auth-worker<{number}>: "
            lines += [
                (self._after(number * 3), f"{worker}sql({name},{ip},<{session}>): {words}"),
                (
                    self._after(number * 3 + 0.0003),
                    "stats: Info: " + _exported(session, name, ip, port, unknown=unknown),
                ),
            ]
        known = (
            f'sess={session}, user="{name}", orig="{name}", method="PLAIN", rip={ip}, rport={port}, lport=993, '
            f'sec="TLS: Connection closed", {_TLS}, cred="", refused="", sni="mail.example.test", '
        )
        words = f"Disconnected: Connection closed (auth failed, {attempts} attempts in {attempts * 3} secs)"
        return [*lines, (self._after(attempts * 3), f"imap-login: Info: {known}msg={words}")]


def _exported(session: str, name: str, ip: str, port: int, *, unknown: bool) -> str:
    told = {
        "event": "auth_passdb_request_finished",
        "fields": {
            "duration": 453,
            "result": "user_unknown" if unknown else "password_mismatch",
            "mechanism": "PLAIN",
            "transport": "TLS",
            "service": "imap",
            "session": session,
            "local_ip": "198.51.100.2",
            "real_local_ip": "198.51.100.2",
            "remote_ip": ip,
            "real_remote_ip": ip,
            "local_port": 993,
            "real_local_port": 993,
            "remote_port": port,
            "real_remote_port": port,
            "local_name": "mail.example.test",
            "original_user": name,
            "user": name,
            "translated_user": name,
            "passdb_id": "1",
            "passdb_name": "sql",
            "passdb": "sql",
        },
    }
    return json.dumps(told, separators=(",", ":"))
