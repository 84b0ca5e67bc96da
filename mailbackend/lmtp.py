"""Deliver a message over LMTP (RFC 2033), with an answer for each recipient."""

from __future__ import annotations

import smtplib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


class DeliveryFailed(Exception):
    """The mail service could not be asked, or stopped answering; nothing that it accepted is lost."""


@dataclass
class Delivery:
    """Who got the message, and who did not: address → the server's reason, in its words."""

    delivered: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


def deliver(socket: Path, message: bytes, recipients: Sequence[str], *, timeout: float = 60) -> Delivery:
    """Deliver `message` to `recipients`.

    Args:
        socket: the LMTP listener.
        message: RFC 5322, any line endings.
        recipients: addresses, already normalised.
        timeout: seconds for each step.

    Raises:
        DeliveryFailed: if the service is not there or the conversation breaks.
    """
    outcome = Delivery()
    try:
        with smtplib.LMTP(str(socket), timeout=timeout) as client:
            client.ehlo_or_helo_if_needed()
            _reply_ok(client.mail("", ["BODY=8BITMIME"]), "sender")
            accepted = _name_recipients(client, recipients, outcome)
            if accepted:
                _send_message(client, message, accepted, outcome)
    except (OSError, smtplib.SMTPException) as err:
        raise DeliveryFailed(f"The mail service did not take the message: {err}.") from err
    return outcome


def _name_recipients(client: smtplib.LMTP, recipients: Sequence[str], outcome: Delivery) -> list[str]:
    accepted = []
    for recipient in recipients:
        code, text = client.rcpt(recipient)
        if code in (250, 251):
            accepted.append(recipient)
        else:
            outcome.refused[recipient] = _reason(code, text)
    return accepted


def _send_message(client: smtplib.LMTP, message: bytes, accepted: list[str], outcome: Delivery) -> None:
    _reply_ok(client.docmd("DATA"), "message", expected=354)
    client.send(_dot_stuffed(message))
    # smtplib reads one reply after the data, as SMTP has it. LMTP gives one for each accepted recipient.
    for recipient in accepted:
        code, text = client.getreply()
        if 200 <= code < 300:
            outcome.delivered.append(recipient)
        else:
            outcome.refused[recipient] = _reason(code, text)


def _dot_stuffed(message: bytes) -> bytes:
    lines = message.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    if lines and lines[-1] == b"":
        lines.pop()
    return b"".join((b"." if line.startswith(b".") else b"") + line + b"\r\n" for line in lines) + b".\r\n"


def _reply_ok(reply: tuple[int, bytes], what: str, expected: int = 250) -> None:
    code, text = reply
    if code != expected:
        raise smtplib.SMTPResponseException(code, f"{what} refused: {_reason(code, text)}")


def _reason(code: int, text: bytes) -> str:
    return f"{code} {text.decode('utf-8', 'replace')}"
