"""The mail service's clients, made from the settings: the one place where panel and mailbackend meet."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db import connection

from mailbackend import lmtp, maildir
from mailbackend.config import MailConfig, PostgresDatabase, SqliteDatabase
from mailbackend.dovecot.doveadm import Doveadm
from mailbackend.supervisor.control import ControlRefused, Status, SupervisorDown, ask
from mailbackend.supervisor.states import State
from panel.core.errors import Problem
from panel.core.keys import read_or_make
from panel.core.models import Installation
from panel.core.said import in_words

#: The number of the pepper that new device passwords are hashed with.
PEPPER = 1
#: Seconds that a page may wait for the mail service.
PAGE_TIMEOUT = 3.0


def api_key() -> str:
    """Return the key of doveadm's HTTP API."""
    return read_or_make(settings.DATA_DIR.keys / "doveadm-api")


def pepper() -> str:
    """Return what stands before a device password when it is hashed.

    Without its file no device password opens anything any more, and each has to be made anew. It bears a number, which
    the rows carry too (`PEPPER`): a second one would be a second file, and the query of the logins would look for the
    hashes with both (`secret_hash IN (…)`) until no row has the first.
    """
    return read_or_make(settings.DATA_DIR.keys / f"pepper-{PEPPER}")


def doveadm(timeout: float = 10) -> Doveadm:
    """Return a client for doveadm's HTTP API; `timeout` in seconds."""
    return Doveadm(settings.DATA_DIR.doveadm_socket, api_key(), timeout=timeout)


def service_status(timeout: float = PAGE_TIMEOUT) -> Status:
    """Return what the mail supervisor says of itself.

    Raises:
        SupervisorDown: if it does not answer.
    """
    return ask(settings.DATA_DIR.control_socket, "status", timeout=timeout)


def sessions_are_possible() -> bool:
    """Return whether somebody may be connected although doveadm's socket has no listener.

    Dovecot's sessions outlive a master process that was killed, until the supervisor ends them.
    """
    try:
        return service_status().state in (State.RUNNING.value, State.STOPPING.value)
    except (SupervisorDown, ControlRefused):
        return False


def deliver(message: bytes, recipients: Sequence[str]) -> lmtp.Delivery:
    """Deliver a message over LMTP.

    Raises:
        lmtp.DeliveryFailed: if the mail service is not there.
    """
    return lmtp.deliver(settings.DATA_DIR.lmtp_socket, message, recipients)


def check_mail_root() -> None:
    """Check that the mail root is the one of this database.

    Raises:
        Problem: if its marker is missing, or this was never set up.
    """
    installation = Installation.objects.first()
    if installation is None:
        raise Problem(in_words("Restante is not set up yet: run 'make run' once."))
    try:
        maildir.check_mail_root(settings.DATA_DIR.mail, installation.mail_root_id)
    except maildir.MailRootMissing as err:
        raise Problem(in_words(str(err))) from err


def mail_config() -> MailConfig:
    """Return what the mail service is to be told.

    Raises:
        ConfigError: if a setting has not the right form.
    """
    environment = settings.ENVIRONMENT
    data_dir = settings.DATA_DIR
    installation = Installation.objects.get()
    return MailConfig(
        mail_host=environment.mail_host,
        listen=environment.mail_listen,
        ports=environment.mail_ports,
        database=_database(),
        certificate=environment.tls_certificate or str(data_dir.tls / "mail.crt"),
        private_key=environment.tls_key or str(data_dir.tls / "mail.key"),
        api_key=api_key(),
        pepper=pepper(),
        instance=_instance(installation),
        mail_root_id=installation.mail_root_id,
    )


def node() -> str:
    """Return the name of this Dovecot, by which rows of its log are known.

    Raises:
        Problem: if Restante is not set up yet.
    """
    installation = Installation.objects.first()
    if installation is None:
        raise Problem(in_words("Restante is not set up yet: run 'make run' once."))
    return _instance(installation)


def write_mail_config() -> None:
    """Hand the configuration to the mail supervisor: a file of mode 0600, whole or not at all.

    Raises:
        ConfigError: if a setting has not the right form.
        OSError: if it cannot be written.
    """
    place = settings.DATA_DIR.mail_config
    beside = place.with_name(f".{place.name}-{secrets.token_hex(6)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(mail_config().to_json())
        file.flush()
        os.fsync(descriptor)
    beside.replace(place)


def dovecot_role() -> tuple[str, str]:
    """Return name and password of Dovecot's own PostgreSQL role, which may read the views only."""
    name = f"{settings.DATABASES['default']['NAME']}_dovecot"
    return name, read_or_make(settings.DATA_DIR.keys / "dovecot-database")


def _instance(installation: Installation) -> str:
    return f"restante-{installation.mail_root_id[:8]}"


def _database() -> SqliteDatabase | PostgresDatabase:
    given: dict[str, Any] = connection.settings_dict
    if connection.vendor == "sqlite":
        return SqliteDatabase(path=str(given["NAME"]))
    user, password = dovecot_role()
    return PostgresDatabase(
        host=given["HOST"] or "/var/run/postgresql",
        port=int(given["PORT"] or 5432),
        name=given["NAME"],
        user=user,
        password=password,
    )
