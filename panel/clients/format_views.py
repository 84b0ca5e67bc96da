"""What mail programs ask for, and get without signing in: the same for every address of a domain.

Some send a password along (Thunderbird, to the addresses of Autodiscover): it is neither looked at nor written down.
"""

from __future__ import annotations

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from panel.accounts.access import open_to_owners
from panel.addresses.hosts import asked_domain
from panel.addresses.mail_servers import MailServer
from panel.clients import codes, profile
from panel.clients.asked import Asked, read_address, read_domain
from panel.clients.autoconfig import autoconfig
from panel.clients.autodiscover import (
    REQUEST_MAX,
    Refusal,
    bad_request,
    json_answer,
    pox_error,
    pox_settings,
    read_request,
)
from panel.clients.told import best_server

_XML = "text/xml; charset=utf-8"


@open_to_owners
@require_safe
def show_autoconfig(request: HttpRequest) -> HttpResponse:
    """Mozilla's autoconfig, of the address in `emailaddress`, else of the domain under whose name it is asked for.

    Thunderbird for Android sends no address.
    """
    asked = read_address(request.GET.get("emailaddress", "")) or _asked_by_host(request)
    if not asked.protocols:
        raise Http404(_("Neither IMAP nor POP is on."))
    return HttpResponse(autoconfig(asked), content_type=_XML)


@open_to_owners
@csrf_exempt
def answer_autodiscover(request: HttpRequest) -> HttpResponse:
    """Microsoft's Autodiscover as POX. A request changes nothing: a forged one would gain nothing."""
    try:
        if request.method != "POST":
            raise bad_request(405)
        answer = HttpResponse(pox_settings(read_request(_small_body(request))), content_type=_XML)
    except Refusal as refusal:
        answer = HttpResponse(pox_error(refusal), content_type=_XML, status=refusal.status)
        if refusal.status == 405:
            answer.headers["Allow"] = "POST"
    return answer


@open_to_owners
@require_safe
def show_autodiscover_json(request: HttpRequest) -> JsonResponse:
    """Microsoft's Autodiscover as JSON: where it is as POX. Asks nobody, whatever the address."""
    # Programs write the names of parameters as they like.
    given = {name.lower(): str(value) for name, value in request.GET.items()}
    status, answer = json_answer(given.get("protocol", ""))
    return JsonResponse(answer, status=status)


@open_to_owners
@require_safe
def download_profile(request: HttpRequest) -> HttpResponse:
    """The profile of an address for an iPhone, iPad or Mac, for one protocol."""
    asked, server = _asked_by_query(request)
    return HttpResponse(
        profile.signed(profile.profile(asked.address, server)),
        content_type=profile.CONTENT_TYPE,
        headers={
            "Content-Disposition": f'attachment; filename="{asked.address}-{server.protocol}.mobileconfig"'
        },
    )


@open_to_owners
@require_safe
def show_code(request: HttpRequest) -> HttpResponse:
    """A QR code for an address. Its `kind` is what it leads to: `profile`, `thunderbird` (for Android) or `page`."""
    match request.GET.get("kind"):
        case "page":
            code = codes.page_code(_asked_address(request).address)
        case "profile":
            asked, server = _asked_by_query(request)
            code = codes.profile_code(asked.address, server)
        case "thunderbird":
            asked, server = _asked_by_query(request)
            code = codes.thunderbird_code(asked.address, server)
        case _other:
            raise Http404(_("There is no such code."))
    return HttpResponse(code, content_type=codes.CONTENT_TYPE)


def _asked_by_host(request: HttpRequest) -> Asked:
    """Return the domain under whose name is asked, or under the panel's own what counts for no domain in particular."""
    return read_domain(asked_domain(request)) or Asked("", settings.ENVIRONMENT.mail_host, None)


def _asked_address(request: HttpRequest) -> Asked:
    """Return the address that is asked for by `address`.

    Raises:
        Http404: if it is none.
    """
    asked = read_address(request.GET.get("address", ""))
    if asked is None:
        raise Http404(_("This is not an address."))
    return asked


def _asked_by_query(request: HttpRequest) -> tuple[Asked, MailServer]:
    """Return the address and the way in that are asked for by `address` and `protocol`; the recommended one else.

    Raises:
        Http404: if it is no address, or the protocol is not on.
    """
    asked = _asked_address(request)
    protocol = request.GET.get("protocol") or next(iter(asked.protocols), "")
    server = best_server(protocol) if protocol in asked.protocols else None
    if server is None:
        raise Http404(_("This protocol is not on."))
    return asked, server


def _small_body(request: HttpRequest) -> bytes:
    """Return what was posted.

    Raises:
        Refusal: if it is too large; it is not even read then.
    """
    try:
        length = int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError as err:
        raise bad_request(400) from err
    if length > REQUEST_MAX:
        raise bad_request(413)
    return request.body
