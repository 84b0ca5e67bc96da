"""MailConfig: all that the mail service is told, as one frozen, checked object, to and from JSON.

The panel writes it, the supervisor reads it. As root the supervisor trusts nothing in it: every value has a
pattern here, and where files lie, which account is used and which Dovecot is run does not come from it.
"""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from mailbackend.paths import PathError, check_path

_HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*\Z"
)
#: Of the secrets that the installation makes for itself: nothing in them needs an escape.
_SECRET = re.compile(r"[A-Za-z0-9_-]{32,128}\Z")
_INSTANCE = re.compile(r"restante-[0-9a-f]{8}\Z")
#: One line of printable characters without the quotes and backslash that each need an escape of their own.
_PLAIN_TEXT = re.compile(r"[^\x00-\x1f\x7f\"'\\$%]{1,255}\Z")


class ConfigError(ValueError):
    """A value of the configuration cannot be used; the message names the setting to change."""


@dataclass(frozen=True)
class Ports:
    """TCP ports on every address of `listen`; 0 switches that listener off."""

    imap: int = 1143
    imaps: int = 1993
    pop3: int = 1110
    pop3s: int = 1995

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if type(value) is not int or not 0 <= value <= 65535:
                raise ConfigError(f"{item.name.upper()}_PORT is {value!r}: give a number from 0 to 65535.")
        used = [port for port in asdict(self).values() if port]
        if len(used) != len(set(used)):
            raise ConfigError("IMAP_PORT, IMAPS_PORT, POP3_PORT and POP3S_PORT must all differ.")


@dataclass(frozen=True)
class SqliteDatabase:
    """A SQLite file that Dovecot opens itself."""

    path: str

    def __post_init__(self) -> None:
        _path(self.path, "DATABASE_URL")


@dataclass(frozen=True)
class PostgresDatabase:
    """A PostgreSQL database and the role that may read the three views."""

    host: str
    port: int
    name: str
    user: str
    password: str = field(repr=False)

    def __post_init__(self) -> None:
        for item in ("host", "name", "user", "password"):
            value = getattr(self, item)
            if not isinstance(value, str) or not _PLAIN_TEXT.match(value) or value != value.strip():
                raise ConfigError(
                    f"DATABASE_URL: its {item} must be one line without quotes, backslash, $ and %."
                )
        if type(self.port) is not int or not 1 <= self.port <= 65535:
            raise ConfigError(f"DATABASE_URL: port {self.port!r} is not between 1 and 65535.")


@dataclass(frozen=True)
class MailConfig:
    """What the mail service is told.

    Attributes:
        mail_host: the name that clients are told and the certificate bears, ASCII, lower case.
        listen: IP addresses to listen on.
        ports: the four listeners.
        database: where Dovecot reads the views `mail_login`, `mail_device` and `mail_user`.
        certificate: PEM file, leaf first, then its chain.
        private_key: PEM file of the leaf's key.
        api_key: for doveadm's HTTP API.
        pepper: what stands before a device password when it is hashed (mailbackend.passwords).
        instance: Dovecot's instance_name, unique on the machine.
        mail_root_id: what the marker in the mail root must say, or nothing is started.
    """

    mail_host: str
    listen: tuple[str, ...]
    ports: Ports
    database: SqliteDatabase | PostgresDatabase
    certificate: str
    private_key: str
    api_key: str = field(repr=False)
    pepper: str = field(repr=False)
    instance: str
    mail_root_id: str

    def __post_init__(self) -> None:
        if not isinstance(self.mail_host, str) or not _HOST_NAME.match(self.mail_host):
            raise ConfigError(f"MAIL_HOST is {self.mail_host!r}: give a host name such as mail.example.com.")
        if not self.listen:
            raise ConfigError("MAIL_LISTEN is empty: give at least one IP address.")
        for address in self.listen:
            _ip_address(address)
        _path(self.certificate, "TLS_CERTIFICATE")
        _path(self.private_key, "TLS_KEY")
        if not isinstance(self.api_key, str) or not _SECRET.match(self.api_key):
            raise ConfigError(
                "The doveadm API key is damaged: remove its file in DATA_DIR/keys and start again."
            )
        if not isinstance(self.pepper, str) or not _SECRET.match(self.pepper):
            raise ConfigError(
                "The pepper of device passwords is damaged: bring its file in DATA_DIR/keys back from a backup."
            )
        if not isinstance(self.instance, str) or not _INSTANCE.match(self.instance):
            raise ConfigError("The instance name is damaged.")
        if not isinstance(self.mail_root_id, str) or not re.match(r"[0-9a-f]{32}\Z", self.mail_root_id):
            raise ConfigError("The mail root's id is damaged.")

    def to_json(self) -> str:
        """Return the configuration as one JSON document; it holds secrets, so store it with mode 0600."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> MailConfig:
        """Return the configuration that `text` holds.

        Raises:
            ConfigError: if it is not JSON, a key is missing or unknown, or a value has not the right form.
        """
        try:
            raw = json.loads(text)
        except ValueError as err:
            raise ConfigError(f"The mail configuration is not JSON: {err}.") from err
        values = _exact(raw, cls, "mail configuration")
        ports = _exact(values["ports"], Ports, "ports")
        database = values["database"]
        kind = SqliteDatabase if isinstance(database, dict) and "path" in database else PostgresDatabase
        listen = values["listen"]
        if not isinstance(listen, list):
            raise ConfigError("MAIL_LISTEN must be a list of IP addresses.")
        return cls(
            **{
                **values,
                "ports": Ports(**ports),
                "database": kind(**_exact(database, kind, "database")),
                "listen": tuple(listen),
            }
        )


def _exact(raw: Any, kind: type[Any], what: str) -> dict[str, Any]:
    names = {item.name for item in fields(kind)}
    if not isinstance(raw, dict) or set(raw) != names:
        raise ConfigError(f"The {what} must have exactly these keys: {', '.join(sorted(names))}.")
    return raw


def _path(value: Any, what: str) -> Path:
    try:
        return check_path(value if isinstance(value, str) else repr(value), what)
    except PathError as err:
        raise ConfigError(str(err)) from err


def _ip_address(value: Any) -> None:
    try:
        if not isinstance(value, str):
            raise ValueError
        ipaddress.ip_address(value)
        if "%" in value:
            raise ValueError
    except ValueError as err:
        raise ConfigError(f"MAIL_LISTEN holds {value!r}, which is not an IP address.") from err
