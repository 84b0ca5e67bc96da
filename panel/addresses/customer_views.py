"""Pages of customers. They stand here and not in accounts because they show what a customer has."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from panel.accounts import customers as accounts
from panel.accounts.access import admin_of, customer_of, person_of
from panel.accounts.models import Customer
from panel.accounts.selectors import may_manage, may_own
from panel.addresses import customers, selectors
from panel.addresses.customer_forms import CustomerForm, NewCustomerForm
from panel.addresses.limit_words import saved_limit
from panel.core.forms import ConfirmForm, ReasonForm
from panel.core.pages import ask_first, handle_form, page_of, press_button

SORTS = {
    "name": "name",
    "-name": "-name",
    "domains": "domain_count",
    "-domains": "-domain_count",
    "mailboxes": "mailbox_count",
    "-mailboxes": "-mailbox_count",
    "created": "created_at",
    "-created": "-created_at",
}
#: Members and domains that a customer's page shows; the lists have all.
SHOWN = 10


@login_required
@require_safe
def list_customers(request: HttpRequest) -> HttpResponse:
    """All customers, for the host."""
    admin_of(request)
    q, state = request.GET.get("q", ""), request.GET.get("state", "")
    sort = request.GET.get("sort", "name")
    rows = customers.search_customers(Customer.objects.all(), q)
    if state in Customer.State.values:
        rows = rows.filter(suspended_at__isnull=state == Customer.State.ACTIVE)
    rows = customers.with_numbers(rows).order_by(SORTS.get(sort, "name"), "pk")
    context = {
        "page_obj": page_of(request, rows),
        "q": q,
        "sort": sort,
        "state": state,
        "states": Customer.State.choices,
    }
    return render(request, "addresses/list_customers.html", context)


@sensitive_post_parameters("owner_password")
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def create_customer(request: HttpRequest) -> HttpResponse:
    """Create a customer and its owner."""
    admin_of(request)
    form = NewCustomerForm(request.POST or None)

    def save() -> HttpResponse:
        customer = accounts.create_customer(
            name=form.cleaned_data["name"],
            owner_email=form.cleaned_data["owner_email"],
            owner_password=form.password,
            **form.limits,
        )
        if form.password is None:
            said = _("%(customer)s is created. An invitation is on its way to %(email)s.")
        else:
            said = _("%(customer)s is created, and %(email)s owns it.")
        messages.success(request, said % {"customer": customer, "email": form.cleaned_data["owner_email"]})
        return redirect("show_customer", customer.pk)

    return handle_form(request, form, save, "addresses/create_customer.html", {})


@login_required
@require_safe
def show_customer(request: HttpRequest, pk: int) -> HttpResponse:
    """One customer: what it has of what it may have, its people and domains."""
    person = person_of(request)
    customer = customer_of(request, pk)
    memberships = customer.memberships.select_related("user").order_by("user__email")
    domains = selectors.domains_in_state(selectors.domains_for(person), "").filter(customer=customer)
    context = {
        "customer": customer,
        "usage": customers.usage_of(customer),
        "memberships": memberships[:SHOWN],
        "member_count": memberships.count(),
        "domains": domains.order_by("name")[:SHOWN],
        "may_own": may_own(person, customer),
        "may_change": may_manage(person, customer),
    }
    return render(request, "addresses/show_customer.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def edit_customer(request: HttpRequest, pk: int) -> HttpResponse:
    """Change a customer's name and limits."""
    customer = customer_of(request, pk)
    admin_of(request)
    form = CustomerForm(request.POST or None, customer=customer)

    def save() -> HttpResponse:
        accounts.edit_customer(
            customer=customer,
            name=form.cleaned_data["name"],
            version=form.cleaned_data["version"],
            **form.limits,
        )
        given = customers.usage_of(customer).given_bytes
        messages.success(request, saved_limit(form.limits["max_storage_bytes"], given))
        return redirect("show_customer", pk)

    return handle_form(request, form, save, "addresses/edit_customer.html", {"customer": customer})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def suspend_customer(request: HttpRequest, pk: int) -> HttpResponse:
    """Shut out all of a customer's people and mailboxes."""
    customer = customer_of(request, pk)
    admin_of(request)
    told = _("Its people are told this when they sign in, such as: invoice 1234 unpaid.")
    form = ReasonForm(request.POST or None, initial={"reason": customer.suspended_reason}, help_text=told)

    context = {"customer": customer, "usage": customers.usage_of(customer)}
    return ask_first(
        request,
        form,
        lambda: customers.suspend_customer(customer=customer, reason=form.cleaned_data["reason"]),
        _("%(customer)s is suspended.") % {"customer": customer},
        "addresses/suspend_customer.html",
        context,
        "show_customer",
        pk,
    )


@login_required
@require_POST
def resume_customer(request: HttpRequest, pk: int) -> HttpResponse:
    """Let a customer's people and mailboxes in again."""
    customer = customer_of(request, pk)
    admin_of(request)
    return press_button(
        request,
        lambda: accounts.resume_customer(customer=customer),
        _("%(customer)s is active again.") % {"customer": customer},
        "show_customer",
        pk,
    )


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def delete_customer(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete a customer that has nothing, after its name was typed."""
    customer = customer_of(request, pk)
    admin_of(request)
    form = ConfirmForm(request.POST or None, expected=(customer.name,))

    context = {"customer": customer, "in_the_way": customers.in_the_way(customer)}
    return ask_first(
        request,
        form,
        lambda: customers.delete_customer(customer=customer),
        _("%(customer)s is deleted.") % {"customer": customer},
        "addresses/delete_customer.html",
        context,
        "list_customers",
    )
