"""Middleware of the whole panel."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.template.loader import render_to_string
from django.utils import translation

from panel.core.ip import is_ip_address

logger = logging.getLogger(__name__)

type_of_view = Callable[[HttpRequest], HttpResponse]


def speak_their_browsers_language(get_response: type_of_view) -> type_of_view:
    """Answer in the language that the browser asks for, from the first refusal on.

    Django's LocaleMiddleware stands behind those who refuse: their pages would be in the language of whoever was
    answered before.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        translation.activate(translation.get_language_from_request(request))
        return get_response(request)

    return middleware


class database_unavailable:
    """Answer 503 with a page that says so when the database is locked or gone, instead of a trace."""

    def __init__(self, get_response: type_of_view) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass the request on; errors arrive below."""
        try:
            return self.get_response(request)
        except (OperationalError, InterfaceError) as err:
            return self._unavailable(err)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:  # noqa: ARG002
        """Turn a database error of a view into the page."""
        if isinstance(exception, OperationalError | InterfaceError):
            return self._unavailable(exception)
        return None

    def _unavailable(self, err: Exception) -> HttpResponse:
        logger.error("The database does not answer: %s", err)
        return HttpResponse(render_to_string("503.html"), status=503, headers={"Retry-After": "10"})


#: What browsers may not do on our pages (W3C Permissions Policy), passkeys and copying excepted.
PERMISSIONS = ", ".join(
    [
        *(
            f"{feature}=()"
            for feature in (
                "accelerometer", "autoplay", "browsing-topics", "camera", "display-capture", "encrypted-media",
                "fullscreen", "geolocation", "gyroscope", "magnetometer", "microphone", "midi", "payment",
                "picture-in-picture", "screen-wake-lock", "serial", "usb", "xr-spatial-tracking",
            )
        ),
        "clipboard-write=(self)",
        "publickey-credentials-create=(self)",
        "publickey-credentials-get=(self)",
    ]
)  # fmt: skip


def harden(get_response: type_of_view) -> type_of_view:
    """Add to every answer what Django's own middleware does not, and a page to a refusal that has none.

    Nothing that the panel says is kept by browsers and proxies, unless the view says so: on a shared computer the
    Back button must not show what somebody saw who has signed out. Static files say so themselves.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if not response.streaming:
            if response.status_code == 405 and not response.content:
                response.content = render_to_string("405.html").encode()
                response.headers["Content-Length"] = str(len(response.content))
            if request.method == "HEAD":
                # The length stays that of the page (RFC 9110, section 9.3.2). gunicorn would drop the body too, with
                # a warning in the log each time.
                response.headers.setdefault("Content-Length", str(len(response.content)))
                response.content = b""
        response.headers.setdefault("Permissions-Policy", PERMISSIONS)
        response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return middleware


def serve_brand(get_response: type_of_view) -> type_of_view:
    """Serve the style sheet and the logo of a host's brand, beside the static files and kept as long as they are.

    They come from the settings, not from a folder: a setting that changes counts with the next start.
    """
    files = {f"{settings.STATIC_URL}{file.name}": file for file in settings.ENVIRONMENT.brand.files}

    def middleware(request: HttpRequest) -> HttpResponse:
        file = files.get(request.path_info)
        if file is None or request.method not in ("GET", "HEAD"):
            return get_response(request)
        headers = {
            "Cache-Control": "max-age=315360000, public, immutable",
            "Content-Length": str(len(file.content)),
        }
        return HttpResponse(file.content, content_type=file.content_type, headers=headers)

    return middleware


class compress(GZipMiddleware):
    """Compress pages, but none that another site asked for.

    BREACH reads a secret out of the lengths of many compressed pages, each asked for with another guess in its
    address. Such requests come from a page of the attacker's, and browsers say so over HTTPS (Sec-Fetch-Site, W3C
    Fetch Metadata): they are answered uncompressed. For browsers that do not say, Django adds a random number of
    bytes to each page and gives each form's token another mask.
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Compress what may be compressed."""
        if request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site"):
            return response
        return super().process_response(request, response)


def behind_proxies(get_response: type_of_view) -> type_of_view:
    """Make REMOTE_ADDR and the scheme those of the client where a proxy that we trust passes them on.

    X-Forwarded-For is read from its end, as long as each hop is in TRUSTED_PROXIES: whatever stands before was
    written by somebody that nobody vouches for.
    """
    trusted = [ipaddress.ip_network(text) for text in settings.ENVIRONMENT.trusted_proxies]

    def middleware(request: HttpRequest) -> HttpResponse:
        meta: dict[str, Any] = request.META
        hops = [hop.strip() for hop in meta.get("HTTP_X_FORWARDED_FOR", "").split(",") if hop.strip()]
        if _is_in(meta.get("REMOTE_ADDR", ""), trusted):
            if meta.get("HTTP_X_FORWARDED_PROTO", "").strip().lower() == "https":
                meta["wsgi.url_scheme"] = "https"
            while hops and _is_in(meta["REMOTE_ADDR"], trusted) and is_ip_address(hops[-1]):
                meta["REMOTE_ADDR"] = hops.pop()
        return get_response(request)

    return middleware


def _is_in(text: str, networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    return is_ip_address(text) and any(ipaddress.ip_address(text) in network for network in networks)
