"""The certificate of the host's own authority, for programs that are to trust it."""

from __future__ import annotations

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from panel.accounts.access import open_to_owners
from panel.clients import authority


@open_to_owners
@require_safe
def authority_certificate(_request: HttpRequest) -> HttpResponse:
    """The certificate in PEM (RFC 7468), as devices take it; 404 where everybody trusts the servers' anyway."""
    if not authority.authority_url():
        raise Http404(_("The servers' certificate is one that every device trusts."))
    try:
        certificate = authority.authority_certificate()
    except FileNotFoundError as err:
        raise Http404(_("The certificate has not been made yet.")) from err
    name = f"{settings.ENVIRONMENT.mail_host}-ca.crt"
    return HttpResponse(
        certificate,
        content_type="application/x-x509-ca-cert",
        headers={"Content-Disposition": f'inline; filename="{name}"'},
    )
