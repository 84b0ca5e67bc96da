"""The profile for Apple's programs: OpenSSL says who signed it, and plistlib what is in it."""

from __future__ import annotations

import logging
import plistlib
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.x509.oid import NameOID
from django.test import Client

from mailbackend.config import Ports
from mailbackend.paths import DataDir
from panel.addresses import services
from panel.branding import read_brand
from panel.service.certificates import IssuedFiles, ensure_certificate
from tests.cast import Cast
from tests.panel.clients.conftest import Environ

pytestmark = pytest.mark.django_db
PATH = "/setup/profile.mobileconfig"
NOW = datetime.now(UTC)


@pytest.fixture(autouse=True)
def environ(host: Environ) -> Environ:
    """Have a host in production."""
    return host


@pytest.fixture
def authority(settings: Any, tmp_path: Path) -> Path:
    """Have the private authority and a certificate of it; returns the authority's file."""
    settings.DATA_DIR = DataDir(tmp_path)
    settings.DATA_DIR.tls.mkdir()
    ensure_certificate(IssuedFiles(settings.DATA_DIR.tls), "mail.host.example", NOW)
    return IssuedFiles(settings.DATA_DIR.tls).authority


def download(address: str, protocol: str = "imap", **headers: str) -> bytes:
    """Return the file as a telephone gets it."""
    answer = Client().get(PATH, {"address": address, "protocol": protocol}, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/x-apple-aspen-config"
    assert (
        answer.headers["Content-Disposition"] == f'attachment; filename="{address}-{protocol}.mobileconfig"'
    )
    return answer.content


def verified(content: bytes, authority: Path) -> dict[str, Any]:
    """Return what is inside, once OpenSSL has checked who signed it."""
    # A server's certificate is not one for mail, which OpenSSL would look for; Apple's programs do not.
    command = ("openssl", "cms", "-verify", "-inform", "DER", "-purpose", "any", "-CAfile", str(authority))
    done = subprocess.run(command, input=content, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(plistlib.loads(done.stdout))


def own_certificate(
    environ: Environ, folder: Path, key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
) -> Path:
    """Have a certificate of the host's own, which signs itself; returns its file."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.host.example")])
    algorithm = hashes.SHA256() if isinstance(key, rsa.RSAPrivateKey) else None
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(hours=1))
        .not_valid_after(NOW + timedelta(days=90))
        .sign(key, algorithm)
    )
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / "own.crt").write_bytes(certificate.public_bytes(encoding))
    (folder / "own.key").write_bytes(key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain))
    environ(tls_certificate=str(folder / "own.crt"), tls_key=str(folder / "own.key"))
    return folder / "own.crt"


@pytest.mark.parametrize(
    ("protocol", "kind", "port"), [("imap", "EmailTypeIMAP", 993), ("pop3", "EmailTypePOP", 995)]
)
def test_signed_and_complete(cast: Cast, authority: Path, protocol: str, kind: str, port: int) -> None:
    address = cast.mailbox.address
    whole = verified(download(address, protocol), authority)
    account, trusted = whole["PayloadContent"]
    for payload in (whole, account, trusted):
        assert payload["PayloadVersion"] == 1
        assert UUID(payload["PayloadUUID"])
        assert payload["PayloadIdentifier"].startswith(f"example.host.panel.{protocol}.")
    assert whole["PayloadIdentifier"] != account["PayloadIdentifier"]
    assert whole["PayloadUUID"] != account["PayloadUUID"]
    assert whole["PayloadType"] == "Configuration"
    assert whole["PayloadOrganization"] == "Restante"
    assert account["PayloadType"] == "com.apple.mail.managed"
    assert {name: value for name, value in account.items() if not name.startswith("Payload")} == {
        "EmailAccountType": kind,
        "EmailAddress": address,
        "EmailAccountName": address,
        "EmailAccountDescription": address,
        "IncomingMailServerAuthentication": "EmailAuthPassword",
        "IncomingMailServerHostName": "mail.host.example",
        "IncomingMailServerPortNumber": port,
        "IncomingMailServerUseSSL": True,
        "IncomingMailServerUsername": address,
        "OutgoingMailServerAuthentication": "EmailAuthPassword",
        "OutgoingMailServerHostName": "smtp.host.example",
        "OutgoingMailServerPortNumber": 465,
        "OutgoingMailServerUseSSL": True,
        "OutgoingMailServerUsername": address,
        "OutgoingPasswordSameAsIncomingPassword": True,
    }


def test_the_hosts_own_authority_is_brought_along(cast: Cast, authority: Path) -> None:
    whole = verified(download(cast.mailbox.address), authority)
    account, trusted = whole["PayloadContent"]
    assert trusted["PayloadType"] == "com.apple.security.root"
    assert len({part["PayloadUUID"] for part in (whole, account, trusted)}) == 3
    certificate = x509.load_der_x509_certificate(trusted["PayloadContent"])
    assert certificate == x509.load_pem_x509_certificate(authority.read_bytes())
    assert "the authority of this host" in whole["PayloadDescription"]


def test_no_authority_is_brought_along_where_everybody_trusts_the_certificate(
    cast: Cast, authority: Path, environ: Environ, tmp_path: Path
) -> None:
    own = own_certificate(environ, tmp_path, rsa.generate_private_key(65537, 2048))
    whole = verified(download(cast.mailbox.address), own)
    assert [part["PayloadType"] for part in whole["PayloadContent"]] == ["com.apple.mail.managed"]
    assert "authority" not in whole["PayloadDescription"]


def test_an_authority_that_cannot_be_read_is_left_out(
    cast: Cast, authority: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = authority.read_bytes()
    for hinder in (authority.unlink, lambda: authority.write_text("nonsense")):
        hinder()
        content = download(cast.mailbox.address)
        authority.write_bytes(kept)
        (account,) = verified(content, authority)["PayloadContent"]
        assert account["PayloadType"] == "com.apple.mail.managed"
    assert "without the host's authority" in caplog.text


def test_a_second_one_takes_the_place_of_the_first(cast: Cast, authority: Path) -> None:
    def names(address: str, protocol: str) -> tuple[str, ...]:
        whole = verified(download(address, protocol), authority)
        parts = (whole, *whole["PayloadContent"])
        return tuple(part[name] for part in parts for name in ("PayloadIdentifier", "PayloadUUID"))

    first = names(cast.mailbox.address, "imap")
    assert names(cast.mailbox.address, "imap") == first
    # But no account that is another's, or that holds mail which is nowhere else.
    for other in (
        names(cast.mailbox.address, "pop3"),
        names(f"bob@{cast.domain.name}", "imap"),
    ):
        assert not set(other) & set(first)


def test_the_hosts_name_and_the_readers_language(cast: Cast, authority: Path, environ: Environ) -> None:
    environ(brand=read_brand(name="Courrier & Cie", logo=None, accent="", support_url="", footer_links=""))
    whole = verified(download(cast.mailbox.address), authority)
    assert whole["PayloadOrganization"] == "Courrier & Cie"
    assert whole["PayloadDisplayName"] == f"Courrier & Cie ({cast.mailbox.address})"
    assert "password" in whole["PayloadDescription"]


def test_without_a_submission_server_the_mail_host_is_named(
    cast: Cast, authority: Path, environ: Environ
) -> None:
    environ(smtp_host="")
    account, _trusted = verified(download(cast.mailbox.address), authority)["PayloadContent"]
    assert account["OutgoingMailServerHostName"] == "mail.host.example"
    assert account["OutgoingMailServerPortNumber"] == 465


def test_what_is_off_or_no_address_is_not_found(cast: Cast, environ: Environ) -> None:
    def status(**query: str) -> int:
        return Client().get(PATH, query).status_code

    address = cast.mailbox.address
    services.edit_domain_protocols(domain=cast.domain, imap=True, pop3=False)
    assert status(address=address) == status(address=address, protocol="imap") == 200
    for protocol in ("pop3", "smtp", "IMAP", "x", "\x00"):
        assert status(address=address, protocol=protocol) == 404
    for bad in ("", "anna", "a@b@c", "a\r\nb@c.test", '"a"@b.test', "x" * 6000):
        assert status(address=bad, protocol="imap") == 404
    environ(mail_ports=Ports(imap=0, imaps=0, pop3=110, pop3s=995))
    assert status(address=address) == 404


def test_a_certificate_of_the_hosts_own_signs(cast: Cast, environ: Environ, tmp_path: Path) -> None:
    own = own_certificate(environ, tmp_path, rsa.generate_private_key(65537, 2048))
    assert verified(download(cast.mailbox.address), own)["PayloadType"] == "Configuration"


def test_what_cannot_sign_leaves_it_unsigned(
    cast: Cast, authority: Path, environ: Environ, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    tls = IssuedFiles(authority.parent)
    key = ed25519.Ed25519PrivateKey.generate()
    own = own_certificate(environ, tmp_path, key)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"x"),
    )
    (tmp_path / "encrypted.key").write_bytes(encrypted)
    for certificate, private_key, why in (
        (own, tmp_path / "own.key", "neither RSA nor EC"),
        (own, tmp_path / "missing.key", "No such file"),
        (own, tmp_path / "encrypted.key", "encrypted"),
        (own, own, ""),
        (tls.key, tls.key, ""),
        (own, tls.key, "is not the key of"),
    ):
        caplog.clear()
        environ(tls_certificate=str(certificate), tls_key=str(private_key))
        for _again in range(2):
            content = download(cast.mailbox.address)
            assert plistlib.loads(content)["PayloadContent"][0]["EmailAddress"] == cast.mailbox.address
        # Said once, not as often as somebody asks.
        (line,) = [record.getMessage() for record in caplog.records if "not signed" in record.getMessage()]
        assert why in line
        assert "PRIVATE KEY" not in line


def test_a_renewed_certificate_signs_at_once(cast: Cast, authority: Path) -> None:
    files = IssuedFiles(authority.parent)
    before = download(cast.mailbox.address)
    files.certificate.unlink()
    ensure_certificate(files, "mail.host.example", NOW)
    serial = x509.load_pem_x509_certificate(files.certificate.read_bytes()).serial_number
    after = download(cast.mailbox.address)
    number = serial.to_bytes((serial.bit_length() + 7) // 8, "big")
    assert number in after
    assert number not in before
    verified(after, authority)
