"""Which names the panel answers to: its own with everything, those of hosted domains with what is public alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.http.request import split_domain_port
from django.template.loader import render_to_string
from django.urls import Resolver404, resolve

from mailbackend.addresses import AddressError, normalise_domain
from panel.addresses.models import Domain
from panel.addresses.selectors import domains_in_state
from panel.core.error_pages import bad_request

#: Names under which mail programs look for the settings of a domain.
PREFIXES = ("autoconfig.", "autodiscover.")
#: Where a request keeps the hosted domain under whose name it came. No header can write there.
_ASKED_DOMAIN = "restante.asked_domain"


def answer_by_host(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Refuse a Host that is not ours (400), and give those of hosted domains nothing but what is public (404).

    A page under a hosted domain's name is made as if the panel's own had been asked for: whoever points a name at
    this server must not have links and redirects built from it. So is a form that such a page sends (RFC 6454): what
    comes from any other origin stays foreign.
    """
    own = urlsplit(settings.ENVIRONMENT.panel_url).netloc

    def middleware(request: HttpRequest) -> HttpResponse:
        try:
            request.get_host()
        except DisallowedHost as err:
            domain = hosted_domain(split_domain_port(request.META.get("HTTP_HOST", ""))[0])
            if not domain:
                return bad_request(request, err)
            if not _is_public(request.path_info):
                return HttpResponse(render_to_string("nothing_hosted.html", _own_home()), status=404)
            if _is_from_its_own_page(request):
                request.META["HTTP_ORIGIN"] = settings.ENVIRONMENT.panel_url
            request.META["HTTP_HOST"], request.META[_ASKED_DOMAIN] = own, domain
        return get_response(request)

    return middleware


def asked_domain(request: HttpRequest) -> str:
    """Return the hosted domain under whose name a request came, or empty where it came under the panel's own.

    A panel may have the name of a hosted domain, or one under which its settings are looked for: that is its name too.
    """
    domain = request.META.get(_ASKED_DOMAIN)
    return hosted_domain(split_domain_port(request.get_host())[0]) if domain is None else str(domain)


def home(request: HttpRequest) -> dict[str, Any]:
    """Return for templates where home is under a hosted domain's name, which has none: at the panel's own."""
    return _own_home() if _ASKED_DOMAIN in request.META else {}


def hosted_domain(host: str) -> str:
    """Return the active domain that has this name, or whose settings are looked for under it; empty for any other."""
    try:
        name = normalise_domain(host)
    except AddressError:
        return ""
    names = [*(name.removeprefix(prefix) for prefix in PREFIXES if name.startswith(prefix)), name]
    rows = domains_in_state(Domain.objects.filter(name__in=names), Domain.State.ACTIVE)
    found = set(rows.values_list("name", flat=True))
    return next((name for name in names if name in found), "")


def _own_home() -> dict[str, Any]:
    return {"home_url": f"{settings.ENVIRONMENT.panel_url}/"}


def _is_from_its_own_page(request: HttpRequest) -> bool:
    """Say whether a form comes from a page of the very name that it is sent to, which a proxy may serve by HTTPS."""
    schemes = {request.scheme, urlsplit(settings.ENVIRONMENT.panel_url).scheme}
    origins = {f"{scheme}://{request.META['HTTP_HOST']}".lower() for scheme in schemes}
    return request.META.get("HTTP_ORIGIN", "").lower() in origins


def _is_public(path: str) -> bool:
    # What the public pages look like is served by WhiteNoise, which is no view.
    if path.startswith(settings.STATIC_URL):
        return True
    try:
        return resolve(path).url_name in settings.PUBLIC_URL_NAMES
    except Resolver404:
        return False
