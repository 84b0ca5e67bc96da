"""The certificate that is served, and what is said of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mailbackend.supervisor.report import Certificate, LogUse, Report
from panel.service.selectors import Service, served_certificate

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def service(names: list[str], left: timedelta) -> Service:
    certificate = Certificate(
        names, "CN=X", (NOW - timedelta(days=9)).isoformat(), (NOW + left).isoformat(), "ab"
    )
    report = Report(1, NOW.isoformat(), [("IMAPS_PORT", "::1", 993)], certificate, [], [], LogUse(1, 2, 3))
    return Service(status=None, report=report, silence="", connected=None)


@pytest.mark.parametrize(
    ("left", "state", "days"),
    [
        (timedelta(days=300), "good", 300),
        (timedelta(days=13, hours=23), "soon", 13),
        (timedelta(seconds=1), "soon", 0),
        (timedelta(0), "expired", 0),
        (timedelta(days=-2), "expired", -2),
    ],
)
def test_how_long_it_is_valid(left: timedelta, state: str, days: int) -> None:
    served = served_certificate(service(["localhost"], left), NOW)
    assert served
    assert (served.state, served.days_left) == (state, days)


@pytest.mark.parametrize(
    ("names", "fits"),
    [
        (["localhost"], True),
        (["LOCALHOST"], True),
        (["other.test"], False),
        ([], False),
        (["*.localhost"], False),
        (["a.test", "localhost"], True),
    ],
)
def test_whom_it_is_valid_for(names: list[str], fits: bool) -> None:
    served = served_certificate(service(names, timedelta(days=99)), NOW)
    assert served
    assert served.fits is fits


def test_listeners_in_the_words_of_mail_programs() -> None:
    (listener,) = service([], timedelta(1)).listeners
    assert (listener.protocol, listener.security, listener.address, listener.port) == (
        "IMAP",
        "SSL/TLS",
        "::1",
        993,
    )
