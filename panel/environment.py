"""The environment, read once, as one frozen object. Nothing below reads os.environ.

Imported by the settings and by the launcher, which needs it before Django is set up.
"""

from __future__ import annotations

import ipaddress
import os
import pwd
import re
import zoneinfo
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import environ

from mailbackend.config import ConfigError, Ports
from mailbackend.paths import SERVICE_ACCOUNT, DataDir, PathError
from panel.branding import PRODUCT, Brand, BrandProblem, read_brand

CHECKOUT = Path(__file__).resolve().parent.parent


class EnvironmentProblem(ValueError):
    """A setting cannot be used; the message names it and says what to write instead."""


@dataclass(frozen=True)
class Environment:
    """The settings of the contract (README, "Settings"), checked.

    Attributes:
        data_dir: the layout of DATA_DIR.
        database_url: as given, or empty for SQLite in DATA_DIR.
        redis_url: as given, or empty for the private Redis.
        secret_key: as given, or empty for the one kept in DATA_DIR.
        panel_host, panel_port: what gunicorn binds.
        panel_url: the public address, without a slash at the end.
        trusted_proxies: addresses whose X-Forwarded-For counts.
        mail_host: the name that clients are told.
        mail_listen: IP addresses of the mail service.
        mail_ports: its four ports.
        mx_hosts: the servers that take mail from outside, the first one before the others.
        smtp_host, smtp_port: the host's submission server, which mail programs are told; no host for none.
        tls_certificate, tls_key: an own certificate by path, or empty for one of the private CA's.
        dovecot_bin: the dovecot program, or empty to find it.
        dns_servers: who is asked for customers' DNS records, address and port, or nobody for the system's resolvers.
        time_zone: the zone in which times are shown.
        email_url: how the panel sends its own mail, as given, or empty to write it into the log.
        email_from: the sender of that mail.
        brand: the host's own name, logo, colour and links.
        debug: Django's; never in production.
    """

    data_dir: DataDir
    database_url: str
    redis_url: str
    secret_key: str
    panel_host: str
    panel_port: int
    panel_url: str
    trusted_proxies: tuple[str, ...]
    mail_host: str
    mail_listen: tuple[str, ...]
    mail_ports: Ports
    mx_hosts: tuple[str, ...]
    smtp_host: str
    smtp_port: int
    tls_certificate: str
    tls_key: str
    dovecot_bin: str
    dns_servers: tuple[tuple[str, int], ...]
    time_zone: str
    email_url: str
    email_from: str
    brand: Brand
    debug: bool

    @property
    def panel_bind(self) -> str:
        """Host and port as gunicorn wants them, IPv6 in brackets."""
        host = f"[{self.panel_host}]" if ":" in self.panel_host else self.panel_host
        return f"{host}:{self.panel_port}"


@cache
def read_environment() -> Environment:
    """Return the settings, from the environment and from `.env` in the checkout; the environment wins.

    Raises:
        EnvironmentProblem: if one cannot be used.
    """
    env = environ.Env()
    env.read_env(str(CHECKOUT / ".env"))
    try:
        brand = _brand(env)
        host, port = _host_and_port("PANEL_BIND", env.str("PANEL_BIND", "127.0.0.1:8000"))
        return Environment(
            data_dir=DataDir.at(_absolute(env.str("DATA_DIR", "") or _default_data_dir())),
            database_url=env.str("DATABASE_URL", ""),
            redis_url=_redis_url(env.str("REDIS_URL", "")),
            secret_key=env.str("SECRET_KEY", ""),
            panel_host=host,
            panel_port=port,
            panel_url=_panel_url(env.str("PANEL_URL", "") or f"http://localhost:{port}"),
            trusted_proxies=_addresses("TRUSTED_PROXIES", env.str("TRUSTED_PROXIES", "")),
            mail_host=_host_name("MAIL_HOST", env.str("MAIL_HOST", "localhost")),
            mail_listen=_addresses("MAIL_LISTEN", env.str("MAIL_LISTEN", "127.0.0.1")),
            mail_ports=Ports(
                imap=_port("IMAP_PORT", env.str("IMAP_PORT", "1143")),
                imaps=_port("IMAPS_PORT", env.str("IMAPS_PORT", "1993")),
                pop3=_port("POP3_PORT", env.str("POP3_PORT", "1110")),
                pop3s=_port("POP3S_PORT", env.str("POP3S_PORT", "1995")),
            ),
            mx_hosts=_mx_hosts(env.str("MX_HOSTS", ""))
            or (_host_name("MAIL_HOST", env.str("MAIL_HOST", "localhost")),),
            smtp_host=_smtp_host(env.str("SMTP_HOST", "")),
            smtp_port=_smtp_port(env.str("SMTP_PORT", "465")),
            tls_certificate=env.str("TLS_CERTIFICATE", ""),
            tls_key=env.str("TLS_KEY", ""),
            dovecot_bin=env.str("DOVECOT_BIN", ""),
            dns_servers=_dns_servers(env.str("DNS_SERVERS", "")),
            time_zone=_time_zone(env.str("TIME_ZONE", "UTC")),
            email_url=_email_url(env.str("EMAIL_URL", "")),
            email_from=_sender(
                env.str("EMAIL_FROM", ""),
                mail_host=_host_name("MAIL_HOST", env.str("MAIL_HOST", "localhost")),
                name=brand.name,
            ),
            brand=brand,
            debug=env.bool("DEBUG", False),
        )
    except (PathError, ConfigError, BrandProblem) as err:
        raise EnvironmentProblem(str(err)) from err


def _brand(env: environ.Env) -> Brand:
    """Return the brand.

    Raises:
        BrandProblem: if one of its settings cannot be used.
    """
    logo = env.str("BRAND_LOGO", "")
    return read_brand(
        name=env.str("BRAND_NAME", ""),
        logo=Path(_absolute(logo)) if logo else None,
        accent=env.str("BRAND_ACCENT", ""),
        support_url=env.str("SUPPORT_URL", ""),
        footer_links=env.str("FOOTER_LINKS", ""),
    )


def _default_data_dir() -> str:
    """Root and the account it hands the work to share one place; anybody else works in their checkout."""
    account = pwd.getpwuid(os.geteuid()).pw_name if _has_name(os.geteuid()) else ""
    return "/var/lib/restante" if account in ("root", SERVICE_ACCOUNT) else str(CHECKOUT / "var")


def _has_name(uid: int) -> bool:
    return any(entry.pw_uid == uid for entry in pwd.getpwall())


def _absolute(path: str) -> str:
    return path if path.startswith("/") else os.path.normpath(CHECKOUT / path)


def _port(name: str, value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", value) or int(value) > 65535:
        raise EnvironmentProblem(f"{name} is {value!r}: give a port number from 1 to 65535, or 0 for none.")
    return int(value)


def _smtp_host(value: str) -> str:
    return _plain_name("SMTP_HOST", value)


def _mx_hosts(value: str) -> tuple[str, ...]:
    return tuple(_plain_name("MX_HOSTS", name) for name in value.replace(",", " ").split())


def _plain_name(setting: str, value: str) -> str:
    """What mail programs are told goes into formats of many kinds: it is a plain name, or nothing."""
    name = _host_name(setting, value)
    if name and not re.fullmatch(r"(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?", name):
        raise EnvironmentProblem(f"{setting} is {value!r}: write a host name such as mail.example.com.")
    return name


def _smtp_port(value: str) -> int:
    port = _port("SMTP_PORT", value)
    if not port:
        raise EnvironmentProblem("SMTP_PORT is 0: leave SMTP_HOST empty where mail is sent elsewhere.")
    return port


def _host_and_port(name: str, value: str) -> tuple[str, int]:
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+)):([0-9]{1,5})", value)
    if not match or not 0 < int(match[3]) <= 65535:
        raise EnvironmentProblem(f"{name} is {value!r}: write it as address:port, such as 127.0.0.1:8000.")
    return match[1] or match[2], int(match[3])


def _panel_url(value: str) -> str:
    parts = urlsplit(value)
    try:
        port_ok = parts.port is None or parts.port > 0
    except ValueError:
        port_ok = False
    plain = parts.path in ("", "/") and not parts.query and not parts.fragment and not parts.username
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_ok or not plain:
        raise EnvironmentProblem(
            f"PANEL_URL is {value!r}: write it as https://panel.example.com, with a port if it is unusual."
        )
    if not parts.netloc.isascii():
        # As browsers ask for it, and as it may stand in what mail programs read.
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{_host_name('PANEL_URL', parts.hostname)}{port}"
    return value.rstrip("/")


def _redis_url(value: str) -> str:
    if value and not value.startswith(("redis://", "rediss://", "unix://")):
        raise EnvironmentProblem("REDIS_URL must begin with redis://, rediss:// or unix://.")
    return value


def _email_url(value: str) -> str:
    """Mail is sent through a server, into files for a try-out, or nowhere: into the log."""
    schemes = ("smtp://", "smtp+tls://", "smtp+ssl://", "consolemail://", "filemail://")
    if value and not value.startswith(schemes):
        raise EnvironmentProblem(
            "EMAIL_URL must be smtp://, smtp+tls:// or smtp+ssl:// followed by user:password@host:port."
        )
    return value


def _sender(value: str, *, mail_host: str, name: str) -> str:
    """Without a sender of its own the panel writes from the mail host, whose name is checked as MAIL_HOST, not here."""
    if not value:
        address = f"restante@{mail_host}"
        return address if name == PRODUCT else f"{name} <{address}>"
    if not re.fullmatch(r"(?:[^<>@\x00-\x1f]*<[^<>@\s]+@[^<>@\s]+>|[^<>@\s]+@[^<>@\s]+)", value):
        raise EnvironmentProblem(f"EMAIL_FROM is {value!r}: write it as Name <name@example.com>.")
    return value


def _time_zone(name: str) -> str:
    if name not in zoneinfo.available_timezones():
        raise EnvironmentProblem(f"TIME_ZONE is {name!r}: write it as Europe/Paris or UTC.")
    return name


def _host_name(name: str, value: str) -> str:
    host = value.strip().rstrip(".").lower()
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError as err:
        raise EnvironmentProblem(f"{name} is {value!r}, which is not a host name.") from err


def _addresses(name: str, value: str) -> tuple[str, ...]:
    found = tuple(value.replace(",", " ").split())
    for address in found:
        try:
            ipaddress.ip_network(address) if name == "TRUSTED_PROXIES" else ipaddress.ip_address(address)
        except ValueError as err:
            raise EnvironmentProblem(f"{name} holds {address!r}, which is not an IP address.") from err
    return found


def _dns_servers(value: str) -> tuple[tuple[str, int], ...]:
    """Each is an address, or address:port with an IPv6 address in brackets; separated by spaces or commas."""
    return tuple(_dns_server(text) for text in value.replace(",", " ").split())


def _dns_server(text: str) -> tuple[str, int]:
    match = re.fullmatch(r"(?:\[([^\[\]]+)\]|([^:\[\]]+))(?::([0-9]{1,5}))?", text)
    address, port = (match[1] or match[2], int(match[3] or 53)) if match else (text, 53)
    if not _is_ip_address(address, bracketed=bool(match and match[1])) or not 0 < port <= 65535:
        raise EnvironmentProblem(
            f"DNS_SERVERS holds {text!r}: write each as an IP address, or with its port as 192.0.2.53:5353 "
            "or [2001:db8::53]:5353."
        )
    return address, port


def _is_ip_address(text: str, *, bracketed: bool) -> bool:
    """Whether it is an IP address; between brackets one of IPv6."""
    try:
        return ipaddress.ip_address(text).version == 6 or not bracketed
    except ValueError:
        return False
