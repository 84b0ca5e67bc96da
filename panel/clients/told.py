"""What every format for mail programs says, whichever it is: the servers, and where help is.

No format says anything of a mailbox: neither whether it exists, nor what it alone has switched off.
"""

from __future__ import annotations

from urllib.parse import urlencode

from django.conf import settings
from django.urls import reverse

from panel.addresses.mail_servers import SUBMISSIONS, TLS, MailServer, incoming_servers, outgoing_server


def best_server(protocol: str) -> MailServer | None:
    """Return the way in by a protocol that a program shall take, or None where both its ports are off.

    Args:
        protocol: "imap" or "pop3".
    """
    return next(iter(incoming_servers(protocol)), None)


def outgoing_told() -> MailServer:
    """Return the server for sending that formats name.

    That is the host's submission server. Where it names none, formats must have one all the same: Thunderbird and
    Thunderbird for Android refuse what has none, and Apple's reference requires it. They are told the mail host with
    the port of RFC 8314, section 7.3: a password that a program may send there stays with the host.
    """
    return outgoing_server() or MailServer("smtp", settings.ENVIRONMENT.mail_host, SUBMISSIONS, TLS)


def help_url(address: str) -> str:
    """Return where people are helped with an address; it may be empty."""
    query = f"?{urlencode({'address': address})}" if address else ""
    return f"{settings.ENVIRONMENT.panel_url}{reverse('setup_address')}{query}"


def profile_url(address: str, protocol: str) -> str:
    """Return where the profile of an address for Apple's programs is."""
    query = urlencode({"address": address, "protocol": protocol})
    return f"{settings.ENVIRONMENT.panel_url}{reverse('setup_profile')}?{query}"
