"""The private certificate authority and the mail certificate it issues (RFC 5280).

The authority lives ten years; a person may install it on their devices. Its leaves live 397 days, the most
that Apple's programs take, and are issued again at two thirds of that.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFE = timedelta(days=3650)
LEAF_LIFE = timedelta(days=397)
#: Clocks of clients may be a little behind.
_BACKDATE = timedelta(hours=1)


@dataclass(frozen=True)
class IssuedFiles:
    """Where the authority and the leaf lie."""

    folder: Path

    @property
    def authority(self) -> Path:
        """The authority's certificate: public, for people to install."""
        return self.folder / "ca.crt"

    @property
    def authority_key(self) -> Path:
        """Its key."""
        return self.folder / "ca.key"

    @property
    def certificate(self) -> Path:
        """The mail certificate, leaf first, then the authority."""
        return self.folder / "mail.crt"

    @property
    def key(self) -> Path:
        """The leaf's key."""
        return self.folder / "mail.key"


def read_certificate(path: Path) -> x509.Certificate:
    """Return the first certificate of a PEM file.

    Raises:
        ValueError: if there is none.
        OSError: if it cannot be read.
    """
    return x509.load_pem_x509_certificate(path.read_bytes())


def ensure_certificate(files: IssuedFiles, host: str, now: datetime) -> bool:
    """Issue the authority and the leaf where they are missing, for another host, or due for renewal.

    Args:
        files: where they lie; the folder exists.
        host: the name that the leaf bears (MAIL_HOST).
        now: with a time zone.

    Returns:
        whether a leaf was issued.

    Raises:
        OSError: if the disk refuses; what was there stays.
    """
    if not (files.authority.exists() and files.authority_key.exists()):
        _issue_authority(files, host, now)
        _issue_leaf(files, host, now)
        return True
    if _is_due(files, host, now):
        _issue_leaf(files, host, now)
        return True
    return False


def renewal_due(certificate: x509.Certificate, now: datetime) -> bool:
    """Return whether two thirds of a certificate's life are over."""
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return now >= certificate.not_valid_before_utc + life * 2 / 3


def _is_due(files: IssuedFiles, host: str, now: datetime) -> bool:
    try:
        certificate = read_certificate(files.certificate)
        key = serialization.load_pem_private_key(files.key.read_bytes(), password=None)
    except (OSError, ValueError):
        return True
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    if host not in names.get_values_for_type(x509.DNSName) or renewal_due(certificate, now):
        return True
    # A power cut between the two renames leaves a key that is not the certificate's.
    return key.public_key() != certificate.public_key()


def _issue_authority(files: IssuedFiles, host: str, now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Restante"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Restante CA for {host}"[:64]),
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(now + AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(files.authority_key, _pem(key), 0o600)
    _write(files.authority, certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def _issue_leaf(files: IssuedFiles, host: str, now: datetime) -> None:
    authority = read_certificate(files.authority)
    authority_key = serialization.load_pem_private_key(files.authority_key.read_bytes(), password=None)
    assert isinstance(authority_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(now + LEAF_LIFE)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
        )
        .sign(authority_key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    _write(files.key, _pem(key), 0o600)
    _write(files.certificate, certificate.public_bytes(encoding) + authority.public_bytes(encoding), 0o644)


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes, mode: int) -> None:
    """Write beside and rename: the file is there whole or as it was."""
    beside = path.with_name(f".{path.name}-{secrets.token_hex(6)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    beside.replace(path)
