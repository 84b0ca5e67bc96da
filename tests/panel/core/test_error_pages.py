"""Every page, those of errors included, bears the security headers; no page shows what is inside."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.test import Client
from django.urls import include, path, reverse

from panel.accounts.limits import Busy, TooMany
from panel.accounts.models import User
from panel.core.logs import WithErrorCode
from tests.cast import PASSWORD, Cast

SignedIn = Callable[[User], Client]
SECRET = "the-innards-of-the-panel"
RAISED: dict[str, Exception] = {
    "403": PermissionDenied(SECRET),
    "404": Http404(SECRET),
    "429": TooMany(90),
    "500": RuntimeError(SECRET),
    "503": OperationalError(SECRET),
    "503-busy": Busy(SECRET),
}


def fail(request: HttpRequest, how: str) -> HttpResponse:
    """A view that raises what is asked for."""
    raise RAISED[how]


urlpatterns = [path("fail/<how>/", fail), path("", include("panel.urls"))]
handler400 = "panel.core.error_pages.bad_request"
handler500 = "panel.core.error_pages.server_error"


@pytest.fixture(autouse=True)
def failing(settings: Any) -> None:
    """Add the failing view."""
    settings.ROOT_URLCONF = __name__


@pytest.fixture
def log() -> Iterator[StringIO]:
    """What the product's log handler would write of errors."""
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(WithErrorCode())
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)


def assert_closed(answer: Any, *, kept: bool = False) -> None:
    """Check what every answer bears."""
    headers = answer.headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "camera=()" in headers["Permissions-Policy"]
    assert kept or "no-store" in headers["Cache-Control"]
    assert "Server" not in headers


@pytest.mark.parametrize("how", RAISED)
def test_errors_are_pages_that_show_nothing_of_the_inside(
    cast: Cast, signed_in: SignedIn, how: str, log: StringIO
) -> None:
    for client in (signed_in(cast.owner), Client()):
        client.raise_request_exception = False
        answer = client.get(f"/fail/{how}/")
        assert str(answer.status_code) == how[:3]
        page = answer.content.decode()
        assert "<h1>" in page
        assert SECRET not in page
        assert "Traceback" not in page
        assert ".py" not in page
        assert_closed(answer)
        assert answer.has_header("Retry-After") == (how[:3] in ("429", "503"))


def test_an_error_of_ours_has_a_code_that_the_log_has_too(log: StringIO) -> None:
    answer = Client(raise_request_exception=False).get("/fail/500/")
    code = re.search(r"<code>([0-9a-f]{8})</code>", answer.content.decode())
    assert code is not None
    assert f"Internal Server Error: /fail/500/ (error {code[1]})" in log.getvalue()
    assert SECRET in log.getvalue()


@pytest.mark.django_db
def test_refusals_before_any_view_are_pages_too() -> None:
    client = Client(enforce_csrf_checks=True)
    answers = {
        400: client.get("/", headers={"Host": "evil.test"}),
        403: client.post("/sign-in/", {"username": "a"}),
        404: client.get("/nowhere/"),
        405: Client().put("/password/forgotten/sent/"),
        413: Client().post("/sign-in/", {"username": "x" * 3_000_000}),
    }
    for status, answer in answers.items():
        assert answer.status_code == status
        assert b"<h1>" in answer.content, status
        assert b"evil" not in answer.content
        # What was counted before the page was put in would cut it off.
        assert answer.headers.get("Content-Length") in (None, str(len(answer.content))), status
        assert_closed(answer)
    assert answers[405]["Allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.django_db
def test_head_is_answered_with_the_length_and_without_the_page() -> None:
    for url, host in (
        ("/password/forgotten/sent/", "localhost"),
        ("/nowhere/", "localhost"),
        ("/", "evil.test"),
    ):
        page, head = (Client().generic(method, url, headers={"Host": host}) for method in ("GET", "HEAD"))
        assert head.status_code == page.status_code
        assert head["Content-Length"] == str(len(page.content))
        assert head.content == b""


def test_pages_of_the_panel_are_closed(cast: Cast, signed_in: SignedIn) -> None:
    client = signed_in(cast.admin)
    client.post(reverse("account_reauthenticate"), {"password": PASSWORD})
    names = ("home", "list_mailboxes", "show_account", "mfa_activate_totp", "usersessions_list", "list_audit")
    for name in names:
        assert_closed(client.get(reverse(name)))
    qr = client.get(reverse("mfa_activate_totp")).content.decode()
    assert "<svg" in qr
    assert "style=" not in qr
    assert "data:" not in qr
    for name in ("account_login", "account_reset_password", "open_reset_link"):
        assert_closed(Client().get(reverse(name)))


def test_static_files_are_kept_and_closed(settings: Any, tmp_path: Any) -> None:
    (tmp_path / "style.css").write_text("a { color: red }")
    settings.STATIC_ROOT = tmp_path
    settings.WHITENOISE_USE_FINDERS = False
    answer = Client().get("/static/style.css")
    assert answer.status_code == 200
    assert "max-age" in answer["Cache-Control"]
    assert "no-store" not in answer["Cache-Control"]
    assert_closed(answer, kept=True)


def settings_with(**environment: str) -> dict[str, Any]:
    """Return some settings as another environment makes them."""
    names = ("SESSION_COOKIE_NAME", "CSRF_COOKIE_NAME", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE")
    wanted = (*names, "SECURE_HSTS_SECONDS", "ALLOWED_HOSTS", "SESSION_COOKIE_DOMAIN", "SESSION_COOKIE_PATH")
    code = (
        "import json; from django.conf import settings; "
        f"found = {{name: getattr(settings, name) for name in {wanted}}}; "
        "print(json.dumps(found | {'panel_url': settings.ENVIRONMENT.panel_url}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": ".", **environment},
        capture_output=True,
        check=True,
        timeout=60,
    )
    return dict(json.loads(done.stdout))


def test_an_https_panel_sends_its_cookies_over_https_to_itself_alone() -> None:
    found = settings_with(PANEL_URL="https://panel.example.com", PANEL_BIND="[2001:db8::1]:8000")
    assert found["SESSION_COOKIE_NAME"] == "__Host-sessionid"
    assert found["CSRF_COOKIE_NAME"] == "__Host-csrftoken"
    assert found["SESSION_COOKIE_SECURE"]
    assert found["CSRF_COOKIE_SECURE"]
    # What the prefix asks for, or browsers take no cookie at all.
    assert (found["SESSION_COOKIE_DOMAIN"], found["SESSION_COOKIE_PATH"]) == (None, "/")
    assert found["SECURE_HSTS_SECONDS"] >= 31536000
    assert found["ALLOWED_HOSTS"] == ["127.0.0.1", "[2001:db8::1]", "[::1]", "localhost", "panel.example.com"]


@pytest.mark.parametrize("port", ["", ":8443"])
def test_a_panel_with_other_letters_in_its_name_is_asked_for_in_ascii(port: str) -> None:
    """Browsers ask for it so, and steps for mail programs hold the address of the authority's certificate."""
    found = settings_with(PANEL_URL=f"https://panel.müller.example{port}/")
    assert "panel.xn--mller-kva.example" in found["ALLOWED_HOSTS"]
    assert found["panel_url"] == f"https://panel.xn--mller-kva.example{port}"


def test_a_panel_on_http_works_without() -> None:
    found = settings_with(PANEL_URL="http://panel.example.com")
    assert not found["SESSION_COOKIE_SECURE"]
    assert found["SECURE_HSTS_SECONDS"] == 0
    assert found["SESSION_COOKIE_NAME"] == "sessionid"


@pytest.mark.django_db
def test_browsers_are_told_to_stay_with_https(settings: Any) -> None:
    settings.SECURE_HSTS_SECONDS = 31536000
    settings.ENVIRONMENT = replace(settings.ENVIRONMENT, trusted_proxies=("127.0.0.1/32",))
    client = Client(headers={"X-Forwarded-Proto": "https"})
    for url, headers in (("/sign-in/", {}), ("/nowhere/", {}), ("/", {"Host": "evil.test"})):
        assert client.get(url, headers=headers)["Strict-Transport-Security"] == "max-age=31536000"
    assert not Client().get("/sign-in/").has_header("Strict-Transport-Security")
