"""Logs: a bad request leaves one line, without a trace and without a forged one."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from types import SimpleNamespace

import pytest
from django.test import Client
from gunicorn.config import Config

from panel.core.logs import NoTraceOfBadRequests, QuotingLogger


@pytest.fixture
def log() -> Iterator[StringIO]:
    """Return what is logged in the way of the settings."""
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(NoTraceOfBadRequests())
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"garbage", "multipart/form-data", 400),
        (b"--x", "multipart/form-data; boundary=" + "y" * 300, 400),
        (b"a=b", "application/x-www-form-urlencoded; charset=utf-16", 400),
        (b"&".join([b"a=1"] * 2000), "application/x-www-form-urlencoded", 413),
        (b"a=" + b"x" * 3_000_000, "application/x-www-form-urlencoded", 413),
    ],
)
def test_malformed_form_is_refused_without_a_trace(
    log: StringIO, body: bytes, kind: str, status: int
) -> None:
    answer = Client().generic("POST", "/sign-in/", body, content_type=kind, HTTP_HOST="localhost")
    assert answer.status_code == status
    assert "Traceback" not in log.getvalue()
    assert len(log.getvalue().splitlines()) == 1


def test_a_mistake_of_ours_keeps_its_trace(log: StringIO) -> None:
    try:
        raise RuntimeError("ours")
    except RuntimeError:
        logging.getLogger("test").exception("It failed")
    assert "Traceback" in log.getvalue()


def test_a_path_forges_no_line() -> None:
    logger = QuotingLogger(Config())
    environ = {
        "REQUEST_METHOD": "GET",
        "RAW_URI": "/x",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "PATH_INFO": '/a\n127.0.0.1 - "forged"\r\t\x1b[0m\x85\\n',
        "REMOTE_ADDR": "127.0.0.1",
    }
    answer = SimpleNamespace(status="200 OK", sent=10, headers=[])
    request = SimpleNamespace(headers=[("USER-AGENT", "a\nb")])
    atoms = logger.atoms(answer, request, environ, timedelta(seconds=1))
    assert atoms["U"] == '/a\\n127.0.0.1 - "forged"\\r\\t\\x1b[0m\\x85\\\\n'
    assert atoms["{user-agent}i"] == "a\\nb"
    assert len("".join(str(value) for value in atoms.values()).splitlines()) == 1
