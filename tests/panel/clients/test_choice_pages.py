"""The public page on POP and IMAP, and the certificate of the host's own authority."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from django.test import Client
from django.utils import timezone

from mailbackend.paths import DataDir
from panel.addresses.models import Mailbox
from panel.core.models import Installation
from panel.service.certificates import IssuedFiles, ensure_certificate
from tests.cast import Cast

pytestmark = pytest.mark.django_db


def text_of(client: Client, language: str = "en") -> str:
    """Return the page as it is answered to somebody whose browser speaks a language."""
    answer = client.get("/pop-or-imap/", headers={"accept-language": language})
    assert answer.status_code == 200
    return answer.content.decode()


def test_anybody_may_read_what_pop_and_imap_are(client: Client) -> None:
    said = text_of(client)
    for part in ("POP or IMAP?", 'id="who"', 'id="compared"', 'id="back-up"', "<svg", 'role="img"'):
        assert part in said
    assert " style=" not in said
    assert "<style" not in said
    assert client.post("/pop-or-imap/").status_code == 405


@pytest.mark.parametrize(
    ("deletes", "days", "said"),
    [
        ("", None, "keeps a copy of what POP deletes for 30 days"),
        (Mailbox.PopDeletes.KEEP_DAYS, 7, "keeps a copy of what POP deletes for 7 days"),
        (Mailbox.PopDeletes.KEEP_DAYS, 1, "keeps a copy of what POP deletes for 1 day,"),
        (Mailbox.PopDeletes.KEEP, None, "keeps a copy of what POP deletes until it is deleted over IMAP"),
        (Mailbox.PopDeletes.DELETE, None, ""),
    ],
)
def test_it_tells_what_the_platform_does_with_what_pop_deletes(
    client: Client, deletes: str, days: int | None, said: str
) -> None:
    Installation.objects.update_or_create(pk=1, defaults={"pop_deletes": deletes, "pop_keep_days": days})
    page = text_of(client)
    assert said in page
    assert ("keeps a copy" in page) == bool(said)


def test_it_asks_the_database_for_the_platforms_settings_alone(
    client: Client, django_assert_max_num_queries: Any
) -> None:
    with django_assert_max_num_queries(2):
        text_of(client)


def test_hosted_domains_answer_it_too(client: Client, cast: Cast) -> None:
    assert client.get("/pop-or-imap/", headers={"host": cast.domain.name}).status_code == 200
    assert client.get("/pop-or-imap/", headers={"host": "elsewhere.example"}).status_code == 400


@pytest.fixture
def issued(settings: Any, tmp_path: Path) -> IssuedFiles:
    """A private authority that has issued the servers' certificate."""
    settings.DATA_DIR = DataDir(tmp_path)
    files = IssuedFiles(tmp_path / "tls")
    files.folder.mkdir()
    ensure_certificate(files, "mail.example.net", timezone.now())
    return files


def test_the_authoritys_certificate_can_be_downloaded_and_its_key_cannot(
    client: Client, issued: IssuedFiles
) -> None:
    answer = client.get("/setup/ca.crt")
    assert answer["Content-Type"] == "application/x-x509-ca-cert"
    certificate = x509.load_pem_x509_certificate(answer.content)
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert b"PRIVATE" not in answer.content
    assert client.get("/setup/ca.key").status_code == 404


def test_a_certificate_that_everybody_trusts_needs_no_download(
    client: Client, issued: IssuedFiles, settings: Any
) -> None:
    settings.ENVIRONMENT = dataclasses.replace(settings.ENVIRONMENT, tls_certificate="/etc/own.pem")
    assert client.get("/setup/ca.crt").status_code == 404


def test_before_the_first_start_there_is_none(client: Client, settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = DataDir(tmp_path)
    assert client.get("/setup/ca.crt").status_code == 404
