"""The private authority: what it issues, and when it does so again."""

from __future__ import annotations

import shutil
import ssl
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from panel.service.certificates import LEAF_LIFE, IssuedFiles, ensure_certificate, read_certificate

NOW = datetime.now(UTC)


@pytest.fixture
def files(tmp_path: Path) -> IssuedFiles:
    """An authority and a leaf for mail.host.test."""
    files = IssuedFiles(tmp_path)
    assert ensure_certificate(files, "mail.host.test", NOW)
    return files


def test_leaf_bears_the_name_and_openssl_accepts_it(files: IssuedFiles) -> None:
    leaf = read_certificate(files.certificate)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["mail.host.test"]
    assert leaf.not_valid_after_utc - NOW <= LEAF_LIFE
    command = ["openssl", "verify", "-x509_strict", "-verify_hostname", "mail.host.test", "-CAfile"]
    done = subprocess.run([*command, files.authority, files.certificate], capture_output=True, check=False)
    assert done.returncode == 0, done
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(files.certificate, files.key)


def test_keys_are_for_nobody_else(files: IssuedFiles) -> None:
    assert {stat.S_IMODE(key.stat().st_mode) for key in (files.key, files.authority_key)} == {0o600}


@pytest.mark.parametrize(
    ("host", "later", "issued"),
    [
        ("mail.host.test", timedelta(0), False),
        ("mail.host.test", LEAF_LIFE * 2 / 3 - timedelta(days=1), False),
        ("mail.host.test", LEAF_LIFE * 2 / 3 + timedelta(days=1), True),
        ("other.host.test", timedelta(0), True),
    ],
)
def test_leaf_is_issued_again_when_due(files: IssuedFiles, host: str, later: timedelta, issued: bool) -> None:
    before = files.certificate.read_bytes()
    authority = files.authority.read_bytes()
    assert ensure_certificate(files, host, NOW + later) is issued
    assert (files.certificate.read_bytes() != before) is issued
    assert files.authority.read_bytes() == authority


@pytest.mark.parametrize("damage", ["no key", "foreign key", "not PEM"])
def test_damaged_leaf_is_issued_again(files: IssuedFiles, tmp_path: Path, damage: str) -> None:
    if damage == "no key":
        files.key.unlink()
    elif damage == "foreign key":
        shutil.copy(files.authority_key, files.key)
    else:
        files.certificate.write_text("x")
    assert ensure_certificate(files, "mail.host.test", NOW)
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(files.certificate, files.key)


def test_international_and_long_names(tmp_path: Path) -> None:
    host = "xn--caf-dma." + "a" * 60 + ".test"
    assert ensure_certificate(IssuedFiles(tmp_path), host, NOW)
    assert not ensure_certificate(IssuedFiles(tmp_path), host, NOW)
