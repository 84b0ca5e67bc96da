"""QR codes (ISO/IEC 18004) that a telephone takes from the screen. They hold no password."""

from __future__ import annotations

import io
import json

import segno

from panel.addresses.mail_servers import TLS, MailServer
from panel.clients.told import help_url, outgoing_told, profile_url

CONTENT_TYPE = "image/svg+xml"
#: Thunderbird's numbers ("Export for Mobile" QR code format, version 1).
_FORMAT, _PASSWORD = 1, 1
_PROTOCOLS = {"imap": 0, "pop3": 1, "smtp": 0}
_STARTTLS, _TLS = 2, 3
#: Light modules around a code, as many as the standard asks for.
_QUIET = 4


def profile_code(address: str, server: MailServer) -> str:
    """Return the code, SVG, that leads an iPhone or iPad to its profile."""
    return _svg(profile_url(address, server.protocol))


def thunderbird_code(address: str, server: MailServer) -> str:
    """Return the code, SVG, that Thunderbird for Android reads."""
    return _svg(thunderbird_account(address, server))


def page_code(address: str) -> str:
    """Return the code, SVG, that leads any other device to the help page, whatever is on."""
    return _svg(help_url(address))


def thunderbird_account(address: str, server: MailServer) -> str:
    """Return an account as Thunderbird for Android reads it from a code: JSON without a password, one of one codes."""
    outgoing = outgoing_told()
    account = [
        _FORMAT,
        [1, 1],
        _server(server, address),
        # Its owner's name is nobody's business here: they enter it in their program.
        [[_server(outgoing, address), [address, address]]],
    ]
    return json.dumps(account, separators=(",", ":"))


def _server(server: MailServer, user_name: str) -> list[str | int]:
    security = _TLS if server.security == TLS else _STARTTLS
    return [_PROTOCOLS[server.protocol], server.host, server.port, security, _PASSWORD, user_name]


def _svg(content: str) -> str:
    """Return a code: dark on light whatever the page's colours, for readers of codes know nothing else."""
    written = io.BytesIO()
    code = segno.make(content, error="m", micro=False)
    code.save(
        written,
        kind="svg",
        border=_QUIET,
        dark="#000",
        light="#fff",
        omitsize=True,
        xmldecl=False,
        svgclass=None,
        lineclass=None,
        nl=False,
    )
    return written.getvalue().decode("ascii")
