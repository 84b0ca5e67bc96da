"""Pages of claimed domains: what a customer adds by itself, proved by a record in the domain's DNS."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from panel.accounts.access import customer_of, manager_of, person_of
from panel.accounts.models import Customer
from panel.accounts.selectors import may_change_some, may_manage
from panel.addresses import claims
from panel.addresses.claim_forms import ClaimDomainForm
from panel.addresses.models import Domain, DomainClaim
from panel.core.errors import Problem
from panel.core.forms import VersionedForm
from panel.core.pages import handle_form, page_of, press_button


@login_required
@require_safe
def list_domain_claims(request: HttpRequest) -> HttpResponse:
    """The claims that a person may see."""
    person = person_of(request)
    rows = claims.claims_for(person).order_by("name", "pk")
    context = {"page_obj": page_of(request, rows), "may_change": may_change_some(person)}
    return render(request, "addresses/list_domain_claims.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def claim_domain(request: HttpRequest) -> HttpResponse:
    """Claim a domain."""
    person = person_of(request)
    if not may_change_some(person):
        raise PermissionDenied
    form = ClaimDomainForm(request.POST or None, person=person)

    def save() -> HttpResponse:
        claim = claims.make_claim(customer=form.wanted_by, name=form.cleaned_data["name"])
        return redirect("show_domain_claim", claim.customer_id, claim.name)

    return handle_form(request, form, save, "addresses/claim_domain.html", {})


@login_required
@require_safe
def show_domain_claim(request: HttpRequest, pk: int, name: str) -> HttpResponse:
    """The record that proves a domain, and whether it was found; once it was, the domain's own page."""
    customer = customer_of(request, pk)
    claim = _claim(request, customer, name)
    if claim is None:
        return _to_domain(customer, name)
    context = {"claim": claim, "may_change": may_manage(person_of(request), customer)}
    return render(request, "addresses/show_domain_claim.html", context)


@login_required
@require_POST
def check_domain_claim(request: HttpRequest, pk: int, name: str) -> HttpResponse:
    """Look for the record of a claim now."""
    customer = customer_of(request, pk)
    manager_of(request, customer)
    claim = _claim(request, customer, name)
    if claim is None:
        return _to_domain(customer, name)
    try:
        found = claims.check_claim(claim=claim)
    except Problem as problem:
        messages.error(request, str(problem))
    else:
        if isinstance(found, Domain):
            messages.success(
                request,
                _("%(name)s is yours, and ready for its first mailbox.") % {"name": found.unicode_name},
            )
            return redirect("show_domain", found.name)
        messages.info(request, _("Looked for just now. What came of it is said below."))
    return redirect("show_domain_claim", pk, name)


@login_required
@require_POST
def renew_domain_claim(request: HttpRequest, pk: int, name: str) -> HttpResponse:
    """Have the record of a claim looked for again."""
    customer = customer_of(request, pk)
    manager_of(request, customer)
    claim = _claim(request, customer, name)
    if claim is None:
        return _to_domain(customer, name)
    return press_button(
        request,
        lambda: claims.renew_claim(claim=claim),
        _("The record is looked for again."),
        "show_domain_claim",
        pk,
        name,
    )


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def cancel_domain_claim(request: HttpRequest, pk: int, name: str) -> HttpResponse:
    """Give up a claim."""
    customer = customer_of(request, pk)
    manager_of(request, customer)
    claim = _claim(request, customer, name)
    if claim is None:
        return _to_domain(customer, name)
    form = VersionedForm(request.POST if request.method == "POST" else None)

    def save() -> HttpResponse:
        claims.cancel_claim(claim=claim)
        messages.success(request, _("%(name)s is not looked for any more.") % {"name": claim.unicode_name})
        return redirect("list_domains")

    return handle_form(request, form, save, "addresses/cancel_domain_claim.html", {"claim": claim})


def _claim(request: HttpRequest, customer: Customer, name: str) -> DomainClaim | None:
    return claims.claims_for(person_of(request)).filter(customer=customer, name=name).first()


def _to_domain(customer: Customer, name: str) -> HttpResponse:
    """Go on to the page of a domain that was claimed and is there by now.

    Raises:
        Http404: if it is not.
    """
    if not Domain.objects.filter(customer=customer, name=name, deleted_at=None).exists():
        raise Http404
    return redirect("show_domain", name)
