"""Nobody goes on with a password that was given to them."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from panel.accounts.models import User


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
