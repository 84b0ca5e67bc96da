"""An administrator acts for a customer: sees and may do what its owner may, and nothing else, until it ends."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from panel.accounts import customers
from panel.accounts.access import admin_of, customer_of, person_of
from panel.accounts.middleware import ACTING_FOR


@login_required
@require_POST
def act_for_customer(request: HttpRequest, pk: int) -> HttpResponse:
    """Begin to act for a customer."""
    customer = customer_of(request, pk)
    admin_of(request)
    customers.start_acting(customer=customer)
    request.session[ACTING_FOR] = customer.pk
    return redirect("home")


@login_required
@require_POST
def end_acting(request: HttpRequest) -> HttpResponse:
    """Act for nobody any more."""
    customer = person_of(request).acting_for
    request.session.pop(ACTING_FOR, None)
    if customer is None:
        return redirect("home")
    customers.end_acting(customer=customer)
    return redirect("show_customer", customer.pk)
