"""Which address a request comes from, with and without proxies that are trusted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from panel.core.middleware import behind_proxies

PROXIES = ("127.0.0.1/32", "10.0.0.0/8", "::1")


def seen(settings: Any, remote: str, forwarded: str, proto: str = "") -> tuple[str, bool]:
    settings.ENVIRONMENT = replace(settings.ENVIRONMENT, trusted_proxies=PROXIES)
    found: list[tuple[str, bool]] = []

    def view(request: HttpRequest) -> HttpResponse:
        found.append((request.META["REMOTE_ADDR"], request.is_secure()))
        return HttpResponse()

    headers = {"X-Forwarded-For": forwarded, "X-Forwarded-Proto": proto}
    behind_proxies(view)(RequestFactory().get("/", headers=headers, REMOTE_ADDR=remote))
    return found[0]


@pytest.mark.parametrize(
    ("remote", "forwarded", "expected"),
    [
        ("192.0.2.7", "", "192.0.2.7"),
        ("192.0.2.7", "203.0.113.9", "192.0.2.7"),
        ("127.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("127.0.0.1", "198.51.100.1, 203.0.113.9", "203.0.113.9"),
        ("127.0.0.1", "203.0.113.9, 10.1.2.3", "203.0.113.9"),
        ("127.0.0.1", "10.9.9.9", "10.9.9.9"),
        ("127.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("::1", "203.0.113.9", "203.0.113.9"),
        ("127.0.0.1", "203.0.113.9, nonsense", "127.0.0.1"),
        ("127.0.0.1", "203.0.113.9:1234", "127.0.0.1"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("", "203.0.113.9", ""),
    ],
)
def test_the_client_behind_trusted_proxies(settings: Any, remote: str, forwarded: str, expected: str) -> None:
    assert seen(settings, remote, forwarded)[0] == expected


def test_the_scheme_counts_only_from_a_trusted_proxy(settings: Any) -> None:
    assert seen(settings, "127.0.0.1", "", "https")[1]
    assert not seen(settings, "192.0.2.7", "", "https")[1]
    assert not seen(settings, "127.0.0.1", "", "http")[1]
