"""Choosing a language, also without being signed in: a cookie keeps it until an account says otherwise."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from panel.accounts import own_account
from panel.accounts.access import open_to_owners
from panel.accounts.models import User


@open_to_owners
@require_POST
def choose_language(request: HttpRequest) -> HttpResponse:
    """Take the language that a button names, and go back to the page that had it."""
    back = request.POST.get("next", "")
    # A path of the panel alone: what comes with the form may be somebody else's.
    is_ours = back.startswith("/") and url_has_allowed_host_and_scheme(back, allowed_hosts=None)
    response = redirect(back if is_ours else "home")
    language = request.POST.get("language", "")
    if language in dict(settings.LANGUAGES):
        if isinstance(request.user, User):
            own_account.set_language(user=request.user, language=language)
        keep_language(response, language)
    return response


def keep_language(response: HttpResponse, language: str) -> None:
    """Have this browser ask in a language from now on; with none, in those that its settings name."""
    if not language:
        response.delete_cookie(settings.LANGUAGE_COOKIE_NAME)
        return
    response.set_cookie(
        settings.LANGUAGE_COOKIE_NAME,
        language,
        max_age=settings.LANGUAGE_COOKIE_AGE,
        secure=settings.LANGUAGE_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
