"""Who asks: answered in their language, recorded with what they change, and asked to wait or to choose a password."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from allauth.usersessions.models import UserSession
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import OperationalError, transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import translation

from panel.accounts.access import is_open_to_owners
from panel.accounts.limits import Busy, TooMany
from panel.accounts.models import Customer, User
from panel.core.audit import Actor, acting

logger = logging.getLogger(__name__)

#: Where a session keeps the customer that an administrator acts for.
ACTING_FOR = "acting_for"
#: Where a session keeps when its list was last told that it is used, and how often that is. Seconds.
_SEEN, _SEEN_EVERY = "seen", 300


def speak_their_language(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Answer in the language that a person chose, whatever their browser asks for."""
    known = dict(settings.LANGUAGES)

    def middleware(request: HttpRequest) -> HttpResponse:
        user = request.user
        if isinstance(user, User) and user.language in known:
            translation.activate(user.language)
            request.LANGUAGE_CODE = user.language
        return get_response(request)

    return middleware


class keep_owners_to_their_own:
    """Forbid the owners of mailboxes every page that is not marked as open to them."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass the request on; its view is looked at below."""
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Callable[..., Any], *_: Any) -> None:
        """Look at the page that is asked for.

        Raises:
            PermissionDenied: if it is not for them.
        """
        user = request.user
        if isinstance(user, User) and user.is_mailbox and not is_open_to_owners(view):
            raise PermissionDenied


class ask_to_wait:
    """Answer 429 or 503 with a page that says when to try again, where a limit was reached."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass the request on; exceptions arrive below."""
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Turn a limit into its page."""
        if isinstance(exception, TooMany):
            context = {"minutes": -(-exception.seconds // 60)}
            status, seconds = 429, exception.seconds
        elif isinstance(exception, Busy):
            context, status, seconds = {}, 503, 2
        else:
            return None
        answer = render(request, "429.html", context, status=status)
        answer["Retry-After"] = str(seconds)
        return answer


def note_session(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Note from where and when a session is used: every few minutes, for each note is a write.

    Where nothing can be written, as on a full disk, pages are read all the same.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated and time.time() - request.session.get(_SEEN, 0) > _SEEN_EVERY:
            try:
                with transaction.atomic():
                    UserSession.objects.create_from_request(request)
            except OperationalError as err:
                logger.warning("The use of a session could not be noted: %s", err)
            else:
                request.session[_SEEN] = int(time.time())
        return get_response(request)

    return middleware


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
        allowed = {reverse("change_password"), reverse("account_logout"), reverse("choose_language")}
        if isinstance(user, User) and user.must_change_password and request.path not in allowed:
            return redirect("change_password")
        return get_response(request)

    return middleware
