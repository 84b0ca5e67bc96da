"""QR codes (ISO/IEC 18004) that a telephone takes from the screen. They hold no password."""

from __future__ import annotations

import io
import json

import segno

from panel.addresses.mail_servers import TLS, MailServer
from panel.clients.told import help_url, outgoing_told, profile_url

CONTENT_TYPE = "image/svg+xml"
#: What a code may lead to: the profile for Apple's programs, the account in Thunderbird for Android, the help page.
KINDS = ("profile", "thunderbird", "page")
#: Thunderbird's numbers ("Export for Mobile" QR code format, version 1).
_FORMAT, _PASSWORD = 1, 1
_PROTOCOLS = {"imap": 0, "pop3": 1, "smtp": 0}
_STARTTLS, _TLS = 2, 3
#: Light modules around a code, as many as the standard asks for.
_QUIET = 4


def code_of(kind: str, address: str, server: MailServer) -> str:
    """Return a code as SVG.

    Args:
        kind: of KINDS.
        address: in full, as it is stored.
        server: the way in that is told; the help page is for all.
    """
    if kind == "profile":
        return _svg(profile_url(address, server.protocol))
    if kind == "thunderbird":
        return _svg(thunderbird_account(address, server))
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
