"""Who asks: recorded with what they change; nobody goes on with a password that was given to them."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from panel.accounts.models import Customer, User
from panel.core.audit import Actor, acting

#: Where a session keeps the customer that an administrator acts for.
ACTING_FOR = "acting_for"


def say_who_acts(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Say who asks and from where, for the audit trail, and for which customer an administrator acts."""

    def middleware(request: HttpRequest) -> HttpResponse:
        user = request.user
        remote_ip = request.META.get("REMOTE_ADDR", "")
        if not isinstance(user, User):
            actor = Actor(kind="person", remote_ip=remote_ip)
        else:
            user.acting_for = _customer_acted_for(request, user)
            actor = Actor(
                kind="person",
                id=user.pk,
                label=str(user),
                remote_ip=remote_ip,
                on_behalf_of=str(user.acting_for or ""),
            )
        with acting(actor):
            return get_response(request)

    return middleware


def _customer_acted_for(request: HttpRequest, user: User) -> Customer | None:
    pk = request.session.get(ACTING_FOR) if user.is_admin else None
    return Customer.objects.filter(pk=pk).first() if pk else None


def require_own_password(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Send a person whose password was given to them to the page where they choose their own."""

    def middleware(request: HttpRequest) -> HttpResponse:
        user = request.user
        allowed = {reverse("change_password"), reverse("sign_out")}
        if isinstance(user, User) and user.must_change_password and request.path not in allowed:
            return redirect("change_password")
        return get_response(request)

    return middleware
