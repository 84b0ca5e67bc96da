"""How often somebody may try: counted in the database before a hash is computed, and few hashes at a time.

An attempt takes one place of every limit that it comes under, all or none; a success gives its places back. What is
refused takes nothing, so a window ends when it was going to, however hard somebody keeps knocking.

Whoever signed in before from a browser is counted by that browser alone (panel.accounts.devices): a stranger who
guesses at an account cannot keep its owner out. Strangers are counted by account and network, by network, by
account, and all together.
"""

from __future__ import annotations

import ipaddress
import threading
import time
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import connection, transaction
from django.utils.crypto import salted_hmac

from mailbackend.addresses import AddressError, parse_address
from panel.accounts.models import Attempts

MINUTE, HOUR, DAY = 60, 3600, 86400


@dataclass(frozen=True)
class Rule:
    """At most `most` attempts within `seconds`."""

    name: str
    most: int
    seconds: int


# Passwords. A network of many people (an office, a school) shares the second.
DEVICE = Rule("device", 10, 15 * MINUTE)
ACCOUNT_NETWORK = Rule("account-network", 10, 15 * MINUTE)
NETWORK = Rule("network", 30, 15 * MINUTE)
ACCOUNT = Rule("account", 100, HOUR)
EVERYBODY = Rule("everybody", 300, MINUTE)
# Codes of six digits, three of which are right at any time: 20 an hour are a chance of 1 in 700 in a day.
CODE_DEVICE = Rule("code-device", 10, 15 * MINUTE)
CODE_NETWORK = Rule("code-network", 10, 15 * MINUTE)
CODE_ACCOUNT = Rule("code-account", 20, HOUR)
# Passkeys cannot be guessed; only the work of checking them is limited.
PASSKEY_NETWORK = Rule("passkey-network", 60, 15 * MINUTE)
# A signed-in person who types their password or code once more.
AGAIN = Rule("again", 10, 15 * MINUTE)
RESET_ACCOUNT = Rule("reset-account", 3, HOUR)
RESET_NETWORK = Rule("reset-network", 10, HOUR)
RESET_EVERYBODY = Rule("reset-everybody", 300, HOUR)


@dataclass(frozen=True)
class Limit:
    """A rule for one account, network or device.

    Attributes:
        rule: how many, in what time.
        key: names what is counted, hashed.
    """

    rule: Rule
    key: str

    @classmethod
    def of(cls, rule: Rule, *whom: str) -> Limit:
        """Return the limit of `rule` for whatever `whom` names."""
        digest = salted_hmac("panel.accounts.limits", "\0".join(whom), algorithm="sha256").hexdigest()
        return cls(rule, f"{rule.name}:{digest}")


class TooMany(Exception):
    """A limit is reached, and nothing was computed.

    Attributes:
        seconds: after which another attempt may be made.
    """

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Too many attempts: wait {seconds} seconds.")
        self.seconds = max(1, seconds)


class Busy(Exception):
    """As many passwords are being checked as this process will; a moment later it works."""


def for_password(name: str, remote_ip: str, device: str) -> list[Limit]:
    """Return the limits of one try at a password.

    Args:
        name: as typed.
        remote_ip: the client's address.
        device: of the browser, if this person signed in from it before, else empty.
    """
    who = counted_as(name)
    if device:
        return [Limit.of(DEVICE, who, device)]
    network = network_of(remote_ip)
    return [
        Limit.of(ACCOUNT_NETWORK, who, network),
        Limit.of(NETWORK, network),
        Limit.of(ACCOUNT, who),
        Limit.of(EVERYBODY),
    ]


def for_code(user_id: int, remote_ip: str, device: str) -> list[Limit]:
    """Return the limits of one try at a second factor, by somebody who knew the password."""
    who = str(user_id)
    if device:
        return [Limit.of(CODE_DEVICE, who, device)]
    return [Limit.of(CODE_NETWORK, who, network_of(remote_ip)), Limit.of(CODE_ACCOUNT, who)]


def for_passkey(remote_ip: str) -> list[Limit]:
    """Return the limits of one try with a passkey, by somebody who said no name."""
    return [Limit.of(PASSKEY_NETWORK, network_of(remote_ip))]


def for_confirming(user_id: int) -> list[Limit]:
    """Return the limits of one try of a signed-in person to confirm who they are."""
    return [Limit.of(AGAIN, str(user_id))]


def for_reset(email: str, remote_ip: str) -> list[Limit]:
    """Return the limits of one request for a mailed link, the same whether the e-mail is known or not."""
    return [
        Limit.of(RESET_ACCOUNT, normalised(email)),
        Limit.of(RESET_NETWORK, network_of(remote_ip)),
        Limit.of(RESET_EVERYBODY),
    ]


def take(limits: Sequence[Limit]) -> bool:
    """Take one place of each limit, all or none. Returns whether one of them was the last.

    Raises:
        TooMany: if one of them has none left.
    """
    now = int(time.time())
    # Looking first costs no write: most of what a guessing run sends ends here.
    _refuse_if_full(limits, now)
    last = False
    with transaction.atomic():
        # Always in the order of the rules: two attempts cannot wait for each other.
        for limit in limits:
            count, ends_at = _count(limit, now)
            if count > limit.rule.most:
                raise TooMany(ends_at - now)
            last = last or count == limit.rule.most
    return last


def give_back(limits: Sequence[Limit]) -> None:
    """Give back what `take` took: the attempt was a success, or was not made."""
    with connection.cursor() as cursor:
        for limit in limits:
            cursor.execute(
                "UPDATE accounts_attempts SET count = count - 1 WHERE key = %s AND count > 0", [limit.key]
            )


def forget_old() -> int:
    """Delete the windows that ended. Returns how many."""
    return Attempts.objects.filter(ends_at__lte=int(time.time())).delete()[0]


def normalised(name: str) -> str:
    """Return one form for all ways to type a name."""
    return unicodedata.normalize("NFKC", name).strip().casefold()


def counted_as(name: str) -> str:
    """Return what a name is counted as: an address the same in either form of its domain."""
    name = normalised(name)
    try:
        return str(parse_address(name))
    except AddressError:
        return name


def network_of(remote_ip: str) -> str:
    """Return what an attacker has one of: an IPv4 address, or an IPv6 network of 64 bits."""
    try:
        address = ipaddress.ip_address(remote_ip)
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))


def _refuse_if_full(limits: Sequence[Limit], now: int) -> None:
    most = {limit.key: limit.rule.most for limit in limits}
    rows = Attempts.objects.filter(key__in=most, ends_at__gt=now).values_list("key", "count", "ends_at")
    waits = [ends_at - now for key, count, ends_at in rows if count >= most[key]]
    if waits:
        raise TooMany(max(waits))


def _count(limit: Limit, now: int) -> tuple[int, int]:
    """Count one attempt, in one statement: two at once count two. Returns the count and the window's end."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO accounts_attempts (key, count, ends_at) VALUES (%(key)s, 1, %(ends)s) "
            "ON CONFLICT (key) DO UPDATE SET "
            "count = CASE WHEN accounts_attempts.ends_at <= %(now)s THEN 1 ELSE accounts_attempts.count + 1 END, "
            "ends_at = CASE WHEN accounts_attempts.ends_at <= %(now)s THEN excluded.ends_at "
            "ELSE accounts_attempts.ends_at END "
            "RETURNING count, ends_at",
            {"key": limit.key, "ends": now + limit.rule.seconds, "now": now},
        )
        count, ends_at = cursor.fetchone()
    return int(count), int(ends_at)


# -- few hashes at a time -------------------------------------------------------------------------------------------

#: How many passwords a process checks at once, how many more may wait, and for how long. Seconds.
AT_ONCE, WAITING, PATIENCE = 2, 6, 2.0


class Turnstile:
    """Lets few through at once, some wait a little, and sends the others away."""

    def __init__(self, *, at_once: int, waiting: int, patience: float) -> None:
        self._inside = threading.BoundedSemaphore(at_once)
        self._here = threading.BoundedSemaphore(at_once + waiting)
        self._patience = patience

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn.

        Raises:
            Busy: if too many wait already, or none came in time.
        """
        if not self._here.acquire(blocking=False):
            raise Busy
        try:
            if not self._inside.acquire(timeout=self._patience):
                raise Busy
            try:
                yield
            finally:
                self._inside.release()
        finally:
            self._here.release()


hashing = Turnstile(at_once=AT_ONCE, waiting=WAITING, patience=PATIENCE)
