"""The profile that sets up an address on an iPhone, iPad or Mac (Apple's Configuration Profile Reference).

It holds no password: the device asks for it. It is signed with the key of the mail servers' certificate, so that the
device can say from whom it comes.
"""

from __future__ import annotations

import logging
import plistlib
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, UUID, uuid5

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs7
from django.conf import settings
from django.utils.translation import gettext as _

from panel.addresses.mail_servers import MailServer
from panel.clients.authority import authority_certificate, authority_url
from panel.clients.told import outgoing_told

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/x-apple-aspen-config"
#: Both kinds of profile as Apple calls them.
_KINDS = {"imap": "EmailTypeIMAP", "pop3": "EmailTypePOP"}

#: A certificate, its key, and the certificates that lead to its root.
_Signer = tuple[x509.Certificate, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, list[x509.Certificate]]


def profile(address: str, server: MailServer) -> bytes:
    """Return the profile of an address, not signed yet.

    A second one for the same address and protocol has the same names, so that it takes the place of the first. One for
    the other protocol does not: with a POP account a device would throw away what it holds alone.

    Args:
        address: in full, as it is stored.
        server: the way in.
    """
    brand, trusted = settings.ENVIRONMENT.brand, _authority(address, server)
    whole = _unique(address, server.protocol)
    about = {"address": address, "protocol": server.protocol_name}
    words = [
        _("Sets up %(address)s by %(protocol)s. The password is not inside: your device asks for it.") % about
    ]
    if trusted:
        words.append(_("It also brings along the authority of this host, for your device to trust."))
    content = {
        "PayloadType": "Configuration",
        "PayloadVersion": 1,
        "PayloadIdentifier": f"{_reversed_host()}.{server.protocol}.{whole}",
        "PayloadUUID": str(whole).upper(),
        "PayloadDisplayName": f"{brand.name} ({address})",
        "PayloadOrganization": brand.name,
        "PayloadDescription": " ".join(words),
        "PayloadScope": "User",
        "PayloadContent": [_account(address, server, whole), *trusted],
    }
    return plistlib.dumps(content, sort_keys=False)


def signed(content: bytes) -> bytes:
    """Return a profile in a signed message (CMS, RFC 5652: DER, the profile inside, with the chain of certificates).

    Where the key of the host's own certificate cannot be read by the panel, or signs nothing that is known, the profile
    is returned as it is: devices take it, and say that nobody signed it. The log tells why.
    """
    environment = settings.ENVIRONMENT
    certificate = Path(environment.tls_certificate or settings.DATA_DIR.tls / "mail.crt")
    key = Path(environment.tls_key or settings.DATA_DIR.tls / "mail.key")
    signer = _signer(certificate, key, (_state(certificate), _state(key)))
    if signer is None:
        return content
    own, private_key, chain = signer
    builder = pkcs7.PKCS7SignatureBuilder().set_data(content).add_signer(own, private_key, hashes.SHA256())
    for link in chain:
        builder = builder.add_certificate(link)
    # Binary: not a byte of it changes, such as the ends of lines.
    return builder.sign(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary])


def _account(address: str, server: MailServer, whole: UUID) -> dict[str, Any]:
    outgoing = outgoing_told()
    own = uuid5(whole, "account")
    return {
        "PayloadType": "com.apple.mail.managed",
        "PayloadVersion": 1,
        "PayloadIdentifier": f"{_reversed_host()}.{server.protocol}.{whole}.account",
        "PayloadUUID": str(own).upper(),
        "PayloadDisplayName": address,
        "EmailAccountType": _KINDS[server.protocol],
        "EmailAddress": address,
        # The name of whoever owns the address is nobody's business here: they enter it in their program.
        "EmailAccountName": address,
        "EmailAccountDescription": address,
        "IncomingMailServerAuthentication": "EmailAuthPassword",
        "IncomingMailServerHostName": server.host,
        "IncomingMailServerPortNumber": server.port,
        # Also for STARTTLS. What is left out is false.
        "IncomingMailServerUseSSL": True,
        "IncomingMailServerUsername": address,
        "OutgoingMailServerAuthentication": "EmailAuthPassword",
        "OutgoingMailServerHostName": outgoing.host,
        "OutgoingMailServerPortNumber": outgoing.port,
        "OutgoingMailServerUseSSL": True,
        "OutgoingMailServerUsername": address,
        "OutgoingPasswordSameAsIncomingPassword": True,
    }


def _authority(address: str, server: MailServer) -> list[dict[str, Any]]:
    """Return the certificate of the host's own authority; nothing where everybody trusts the servers' anyway."""
    if not authority_url():
        return []
    try:
        certificate = x509.load_pem_x509_certificate(authority_certificate())
    except (OSError, ValueError) as err:
        logger.warning("Profiles for Apple's programs are without the host's authority: %s", err)
        return []
    whole = _unique(address, server.protocol)
    name = settings.ENVIRONMENT.mail_host
    return [
        {
            "PayloadType": "com.apple.security.root",
            "PayloadVersion": 1,
            "PayloadIdentifier": f"{_reversed_host()}.{server.protocol}.{whole}.authority",
            "PayloadUUID": str(uuid5(whole, "authority")).upper(),
            "PayloadDisplayName": _("Certificate authority of %(host)s") % {"host": name},
            "PayloadCertificateFileName": f"{name}-ca.crt",
            "PayloadContent": certificate.public_bytes(serialization.Encoding.DER),
        }
    ]


def _unique(address: str, protocol: str) -> UUID:
    return uuid5(uuid5(NAMESPACE_URL, settings.ENVIRONMENT.panel_url), f"{protocol}:{address}")


def _reversed_host() -> str:
    """Return the panel's name as such identifiers begin, com.example.panel."""
    host = urlsplit(settings.ENVIRONMENT.panel_url).hostname or "localhost"
    return ".".join(reversed(host.split(".")))


def _state(path: Path) -> tuple[int, int]:
    """Return what changes with a file; zeros for one that cannot be looked at."""
    try:
        state = path.stat()
    except OSError:
        return 0, 0
    return state.st_mtime_ns, state.st_ino


@lru_cache(maxsize=2)
def _signer(certificate: Path, key: Path, _states: tuple[tuple[int, int], ...]) -> _Signer | None:
    """Read what signs; again only when one of the files changes, so that anybody may ask for profiles."""
    try:
        chain = x509.load_pem_x509_certificates(certificate.read_bytes())
        private_key = serialization.load_pem_private_key(key.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as err:
        logger.warning("Profiles for Apple's programs are not signed: %s", err)
        return None
    if not isinstance(private_key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        logger.warning(
            "Profiles for Apple's programs are not signed: the key in %s is neither RSA nor EC.", key
        )
        return None
    if private_key.public_key() != chain[0].public_key():
        logger.warning(
            "Profiles for Apple's programs are not signed: %s is not the key of %s.", key, certificate
        )
        return None
    return chain[0], private_key, chain[1:]
