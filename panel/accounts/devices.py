"""Browsers: those that somebody signed in from before, and what to call them."""

from __future__ import annotations

import re
import secrets
from typing import Any

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _

from panel.accounts.limits import counted_as

#: A cookie that is sent to the sign-in pages alone. It lets nobody in: it says which limits count.
COOKIE = "device"
_SALT = "panel.accounts.devices"
_KEPT = 365 * 86400  # seconds
#: How many people one browser is remembered for.
_PEOPLE = 5


def known_device(request: HttpRequest, name: str) -> str:
    """Return the id of the browser if this person signed in from it within a year, else an empty string."""
    device, people = _read(request)
    return device if _mark(name) in people else ""


def remember_device(request: HttpRequest, response: HttpResponseBase, name: str) -> None:
    """Note in the browser that this person signed in from it."""
    device, people = _read(request)
    mark = _mark(name)
    people = [*(other for other in people if other != mark), mark][-_PEOPLE:]
    response.set_cookie(
        COOKIE,
        signing.dumps([device or secrets.token_urlsafe(12), people], salt=_SALT),
        max_age=_KEPT,
        path=reverse("account_login"),
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def _read(request: HttpRequest) -> tuple[str, list[str]]:
    try:
        value: Any = signing.loads(request.COOKIES.get(COOKIE, ""), salt=_SALT, max_age=_KEPT)
    except signing.BadSignature:
        return "", []
    return value[0], value[1]


def _mark(name: str) -> str:
    return salted_hmac(_SALT, counted_as(name), algorithm="sha256").hexdigest()[:24]


# The first that fits: Edge and Opera call themselves Chrome too, and everybody calls themselves Safari.
_BROWSERS = [
    (r"Edg(?:e|A|iOS)?/", "Edge"),
    (r"OPR/|Opera", "Opera"),
    (r"SamsungBrowser/", "Samsung Internet"),
    (r"Firefox/|FxiOS/", "Firefox"),
    (r"HeadlessChrome/|Chromium/", "Chromium"),
    (r"Chrome/|CriOS/", "Chrome"),
    (r"Safari/", "Safari"),
]
_SYSTEMS = [
    (r"iPhone", "iPhone"),
    (r"iPad", "iPad"),
    (r"Android", "Android"),
    (r"CrOS", "ChromeOS"),
    (r"Windows", "Windows"),
    (r"Macintosh|Mac OS X", "macOS"),
    (r"Linux|X11", "Linux"),
]


def in_words(user_agent: str) -> str:
    """Return what to call a browser by what it says of itself: "Firefox on Windows"."""
    browser, system = _first(_BROWSERS, user_agent), _first(_SYSTEMS, user_agent)
    if browser and system:
        return _("%(browser)s on %(system)s") % {"browser": browser, "system": system}
    return browser or system or _("An unknown browser")


def _first(names: list[tuple[str, str]], user_agent: str) -> str:
    return next((name for pattern, name in names if re.search(pattern, user_agent)), "")
