"""Which names the panel answers to: its own with everything, those of hosted domains with what is public alone."""

from __future__ import annotations

from collections.abc import Callable
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


def answer_by_host(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Refuse a Host that is not ours (400), and give those of hosted domains nothing but what is public (404).

    A page under a hosted domain's name is made as if the panel's own had been asked for: whoever points a name at
    this server must not have links and redirects built from it.
    """
    own = urlsplit(settings.ENVIRONMENT.panel_url).netloc

    def middleware(request: HttpRequest) -> HttpResponse:
        try:
            request.get_host()
        except DisallowedHost as err:
            if not is_hosted(split_domain_port(request.META.get("HTTP_HOST", ""))[0]):
                return bad_request(request, err)
            if not _is_public(request.path_info):
                return HttpResponse(render_to_string("nothing_hosted.html"), status=404)
            request.META["HTTP_HOST"] = own
        return get_response(request)

    return middleware


def is_hosted(host: str) -> bool:
    """Say whether this is the name of an active domain, or one under which its settings are looked for."""
    try:
        name = normalise_domain(host)
    except AddressError:
        return False
    names = [name, *(name.removeprefix(prefix) for prefix in PREFIXES if name.startswith(prefix))]
    return domains_in_state(Domain.objects.filter(name__in=names), Domain.State.ACTIVE).exists()


def _is_public(path: str) -> bool:
    # What the public pages look like is served by WhiteNoise, which is no view.
    if path.startswith(settings.STATIC_URL):
        return True
    try:
        return resolve(path).url_name in settings.PUBLIC_URL_NAMES
    except Resolver404:
        return False
