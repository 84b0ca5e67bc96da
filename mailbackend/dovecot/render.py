"""MailConfig → the files of one Dovecot configuration, as text. Only the templates are read from disk."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import jinja2

from mailbackend.config import MailConfig, PostgresDatabase, SqliteDatabase
from mailbackend.dovecot.names import RECOVERABLE, RECOVERABLE_PREFIX
from mailbackend.dovecot.queries import TOKENS_2_3, TOKENS_2_4, Tokens, build_queries
from mailbackend.paths import DataDir

#: The packages that make a complete Dovecot on Debian.
PACKAGES = "dovecot-core dovecot-imapd dovecot-pop3d dovecot-lmtpd"

#: The configuration's entry, and the names of the certificate and key that lie beside it.
MAIN_FILE = "dovecot.conf"
CERTIFICATE_FILE = "certificate.pem"
KEY_FILE = "key.pem"

_TEMPLATE_SUFFIX = ".j2"


class UnsupportedVersion(ValueError):
    """This Dovecot cannot be used; the message says what to install."""


@dataclass(frozen=True)
class Family:
    """The Dovecot versions that one template folder serves.

    Attributes:
        folder: the template folder, beside this module.
        minimum: the oldest version that was considered.
        tokens: how its queries are written.
    """

    folder: str
    minimum: tuple[int, ...]
    tokens: Tokens


#: Template folders by the first two numbers of the version.
FAMILIES: dict[tuple[int, int], Family] = {
    (2, 3): Family(folder="conf-2.3", minimum=(2, 3, 13), tokens=TOKENS_2_3),
    (2, 4): Family(folder="conf-2.4", minimum=(2, 4, 1), tokens=TOKENS_2_4),
}


@dataclass(frozen=True)
class Identity:
    """Who Dovecot's processes are.

    Attributes:
        account: the account that owns the mail.
        group: its group.
        as_root: whether the master runs as root, so that login processes can be users of their own, in a
            chroot. Otherwise everything is the account.
    """

    account: str
    group: str
    as_root: bool


def choose_family(version: str) -> Family:
    """Return the template folder for `version`, the first word of what `dovecot --version` prints.

    Raises:
        UnsupportedVersion: if it is too old, or newer than what is known here.
    """
    match = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", version)
    if not match:
        raise UnsupportedVersion(
            f"Dovecot calls its version {version!r}, which says nothing: install Debian's {PACKAGES}."
        )
    numbers = tuple(int(part or 0) for part in match.groups())
    family = FAMILIES.get((numbers[0], numbers[1]))
    if family and numbers >= family.minimum:
        return family
    is_old = family is not None or numbers < min(FAMILIES)
    what = "too old" if is_old else "not supported"
    raise UnsupportedVersion(f"Dovecot {version} is {what}: install {_known_versions()} ({PACKAGES}).")


def _known_versions() -> str:
    """Return all that can be served, such as "2.3.13 or a later 2.3, or 2.4.1 or a later 2.4"."""
    return ", or ".join(
        f"{'.'.join(map(str, family.minimum))} or a later {major}.{minor}"
        for (major, minor), family in sorted(FAMILIES.items())
    )


def render(
    config: MailConfig, data: DataDir, version: str, identity: Identity, folder: Path
) -> dict[str, str]:
    """Return the files of the configuration: name → text. Some hold secrets: write them with mode 0600.

    Args:
        config: what the mail service is told.
        data: the layout of DATA_DIR.
        version: what `dovecot --version` prints; it chooses the template folder.
        identity: who the processes are.
        folder: where the files will lie, absolute: they name each other, and certificate and key beside them.

    Raises:
        UnsupportedVersion: if there are no templates for `version`.
    """
    family = choose_family(version)
    templates = Path(__file__).parent / family.folder
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - not HTML; every value has a pattern in MailConfig
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    context = {
        "config": config,
        "ports": config.ports,
        "data": data,
        "identity": identity,
        "folder": folder,
        "certificate_file": folder / CERTIFICATE_FILE,
        "key_file": folder / KEY_FILE,
        "protocols": _protocols(config),
        "recoverable": {"prefix": RECOVERABLE_PREFIX, "mailbox": RECOVERABLE},
        "queries": build_queries(family.tokens, data.mail, config.pepper),
        "database_driver": "sqlite" if isinstance(config.database, SqliteDatabase) else "pgsql",
        "database_connect": _database_connect(config.database),
    }
    return {
        path.name.removesuffix(_TEMPLATE_SUFFIX): environment.get_template(path.name).render(context)
        for path in sorted(templates.glob(f"*{_TEMPLATE_SUFFIX}"))
    }


def _protocols(config: MailConfig) -> list[str]:
    """A protocol without a port is off; LMTP is always there, on its unix socket."""
    ports = config.ports
    reachable = [("imap", ports.imap or ports.imaps), ("pop3", ports.pop3 or ports.pop3s)]
    return [name for name, on in reachable if on] + ["lmtp"]


def _database_connect(database: SqliteDatabase | PostgresDatabase) -> str:
    """Return what Dovecot's SQL driver connects to.

    For PostgreSQL it is a URI (libpq, "Connection URIs") with every value percent-encoded. Written as
    `host=… password=…`, Dovecot would take it apart at spaces: a password with two spaces in a row could not
    be written at all.

    Dovecot 2.3 escapes each password before it hashes it, and libpq refuses to escape what is no text in the client's
    encoding: with UTF-8, a wrong password in Latin-1 would be a temporary failure. In Latin-1 every byte is a letter.
    """
    if isinstance(database, SqliteDatabase):
        return database.path
    user, password, name, host = (
        quote(value, safe="") for value in (database.user, database.password, database.name, database.host)
    )
    return f"postgresql://{user}:{password}@/{name}?host={host}&port={database.port}&client_encoding=LATIN1"
