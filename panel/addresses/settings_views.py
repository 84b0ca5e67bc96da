"""Pages of settings: what the platform, a customer and a domain say for those below them."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from panel.accounts.access import admin_of, customer_of, person_of
from panel.accounts.selectors import may_manage, may_own
from panel.addresses import selectors
from panel.addresses.forms import KEPT_DAYS, InheritedForm
from panel.addresses.inherited import Level, read_pop_policy, what_counts, what_would_count
from panel.addresses.inheriting import set_inherited
from panel.addresses.services import PASSWORD_MAX, PASSWORD_MIN
from panel.core.models import Installation
from panel.core.pages import handle_form


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def platform_settings(request: HttpRequest) -> HttpResponse:
    """What all customers inherit, and what the environment says."""
    admin_of(request)
    installation = Installation.objects.first()
    if installation is None:
        raise Http404  # it was never set up
    environment = settings.ENVIRONMENT
    context = {
        "sends": bool(environment.email_url),
        "sender": environment.email_from,
        "time_zone": settings.TIME_ZONE,
    }
    return _settings(
        request, installation, may_change=True, here=reverse("platform_settings"), context=context
    )


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def customer_settings(request: HttpRequest, pk: int) -> HttpResponse:
    """What the domains of a customer inherit: its owners say."""
    customer = customer_of(request, pk)
    return _settings(
        request,
        customer,
        may_change=may_own(person_of(request), customer),
        here=reverse("customer_settings", args=[pk]),
        context={"customer": customer},
    )


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def domain_settings(request: HttpRequest, name: str) -> HttpResponse:
    """What the mailboxes of a domain inherit: whoever manages them says."""
    person = person_of(request)
    domain = selectors.living_domains_for(person).select_related("customer").filter(name=name).first()
    if domain is None:
        raise Http404
    return _settings(
        request,
        domain,
        may_change=may_manage(person, domain.customer),
        here=reverse("domain_settings", args=[name]),
        context={"domain": domain},
    )


def _settings(
    request: HttpRequest, level: Level, *, may_change: bool, here: str, context: dict[str, Any]
) -> HttpResponse:
    if request.method == "POST" and not may_change:
        raise PermissionDenied
    inherited = what_would_count(level)
    form = InheritedForm(request.POST or None, level=level, inherited=inherited)

    def save() -> HttpResponse:
        set_inherited(
            level=level,
            default_quota_bytes=form.cleaned_data["default_quota"],
            pop=read_pop_policy(form.policy),
            kept_days={name: form.cleaned_data[name] for name in KEPT_DAYS if name in form.fields},
            version=form.cleaned_data["version"],
        )
        messages.success(
            request,
            _("Saved. New mailboxes get this quota; what POP deletes counts from the next connection on."),
        )
        return redirect(here)

    return handle_form(
        request,
        form,
        save,
        "addresses/settings.html",
        {
            **context,
            "level": level,
            "counts": what_counts(level),
            "inherited": inherited,
            "may_change": may_change,
            "days": settings.DELETION_WINDOW.days,
            "password_min": PASSWORD_MIN,
            "password_max": PASSWORD_MAX,
        },
    )
