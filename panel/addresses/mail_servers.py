"""What a mail program is told to reach a mailbox: the servers, their ports, how they are encrypted.

Only what is on is told, encrypted from the start before STARTTLS (RFC 8314, section 3).
"""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings

from panel.addresses.models import Domain, Mailbox

#: As mail programs call how a connection is encrypted.
TLS, STARTTLS = "SSL/TLS", "STARTTLS"
#: Codes of protocols as addresses of pages and settings have them, in the order in which they are recommended.
PROTOCOLS = ("imap", "pop3")
#: The port of submission that is encrypted from the start (RFC 8314, section 7.3).
SUBMISSIONS = 465


@dataclass(frozen=True)
class MailServer:
    """One way in.

    Attributes:
        protocol: "imap", "pop3" or "smtp".
        host, port: where.
        security: TLS or STARTTLS.
    """

    protocol: str
    host: str
    port: int
    security: str

    @property
    def protocol_name(self) -> str:
        """As mail programs write it."""
        return {"imap": "IMAP", "pop3": "POP3", "smtp": "SMTP"}[self.protocol]


def incoming_servers(protocol: str) -> tuple[MailServer, ...]:
    """Return the ways in by a protocol, the best first; none where both its ports are off.

    Args:
        protocol: "imap" or "pop3".
    """
    ports = settings.ENVIRONMENT.mail_ports
    plain, encrypted = (ports.imap, ports.imaps) if protocol == "imap" else (ports.pop3, ports.pop3s)
    offered = ((encrypted, TLS), (plain, STARTTLS))
    host = settings.ENVIRONMENT.mail_host
    return tuple(MailServer(protocol, host, port, security) for port, security in offered if port)


def outgoing_server() -> MailServer | None:
    """Return the host's submission server (RFC 6409), or None where the host names none."""
    host, port = settings.ENVIRONMENT.smtp_host, settings.ENVIRONMENT.smtp_port
    return MailServer("smtp", host, port, TLS if port == SUBMISSIONS else STARTTLS) if host else None


def protocols_of_mailbox(mailbox: Mailbox) -> tuple[str, ...]:
    """Return the protocols by which a mailbox can be reached; IMAP first."""
    return _reachable(mailbox.protocols)


def protocols_of_domain(domain: Domain | None) -> tuple[str, ...]:
    """Return the protocols that anybody may be told of: a domain's, or the platform's for a name that is not hosted.

    What one mailbox switches off is not told to strangers, who could find out by it which addresses exist.
    """
    return _reachable(PROTOCOLS if domain is None else [p for p in PROTOCOLS if getattr(domain, p)])


def servers_of(protocols: tuple[str, ...]) -> list[MailServer]:
    """Return all ways in by some protocols, IMAP first."""
    return [server for protocol in protocols for server in incoming_servers(protocol)]


def _reachable(protocols: tuple[str, ...] | list[str]) -> tuple[str, ...]:
    return tuple(p for p in PROTOCOLS if p in protocols and incoming_servers(p))
