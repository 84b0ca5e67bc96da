"""Writes: the certificate, and the mail service's start, stop and reload."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import DatabaseError

from mailbackend.supervisor.control import Status, ask
from panel.core import audit, mail
from panel.core.models import Installation
from panel.service.certificates import IssuedFiles, ensure_certificate, read_certificate, renewal_due

logger = logging.getLogger(__name__)

COMMANDS = ("status", "reload", "restart", "stop", "start")


def issued_files() -> IssuedFiles:
    """Return where the private authority's files lie."""
    return IssuedFiles(settings.DATA_DIR.tls)


def renew_certificate(now: datetime) -> dict[str, Any]:
    """Renew the mail certificate at two thirds of its life, and have the mail service read it.

    The host's own certificate is renewed by whoever issued it: it is only read again here.

    Returns:
        whether it was renewed, and until when it is valid.

    Raises:
        OSError, ValueError: if it can be neither read nor written.
        SupervisorDown, ControlRefused: if the mail service does not take it.
    """
    environment = settings.ENVIRONMENT
    if environment.tls_certificate:
        _ask("reload")
        return {"renewed": False, "certificate": environment.tls_certificate}
    renewed = ensure_certificate(issued_files(), environment.mail_host, now)
    certificate = read_certificate(issued_files().certificate)
    if renewed:
        audit.record(
            "certificate.renewed",
            target=Installation.objects.get(),
            after={"valid_until_at": certificate.not_valid_after_utc},
        )
        _ask("reload")
    return {
        "renewed": renewed,
        "expires": certificate.not_valid_after_utc.isoformat(),
        "due": renewal_due(certificate, now),
    }


def control(command: str, *, wait: bool = True) -> Status:
    """Ask the mail supervisor to do one of COMMANDS and return its state after it. What it took on is recorded.

    Reload and restart hand it the configuration first, as the settings are now.

    Args:
        command: one of COMMANDS.
        wait: whether to wait until it is done; otherwise its report tells later what came of it.

    Raises:
        ConfigError: if a setting has not the right form.
        OSError: if the configuration cannot be written.
        SupervisorDown: if it does not answer.
        ControlRefused: with Dovecot's own words, if it cannot; nothing changed then.
    """
    status = _ask(command, wait=wait)
    if command != "status":
        _record(command)
    return status


def _record(command: str) -> None:
    """Write down what was asked for. It is done by now: a database that is away must not make it look undone."""
    try:
        audit.record(f"service.{command}", target=Installation.objects.get())
    except DatabaseError:
        logger.exception("Not in the audit trail, because the database does not answer: %s", command)


def _ask(command: str, *, wait: bool = True) -> Status:
    if command in ("reload", "restart", "start"):
        mail.write_mail_config()
    return ask(settings.DATA_DIR.control_socket, command, wait=wait)
