"""Pages of one's own account: what is known, language, second factor, passkeys, sessions."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes import views as codes
from allauth.mfa.totp import views as totp
from allauth.mfa.webauthn import views as webauthn
from allauth.mfa.webauthn.internal.auth import begin_registration
from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.serializers.json import DjangoJSONEncoder
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse_lazy
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from panel.accounts import own_account
from panel.accounts.access import open_to_owners, person_of
from panel.accounts.adapters import passkeys_work_at
from panel.accounts.devices import in_words
from panel.accounts.forms import AddAppForm, AddPasskeyForm, LanguageForm, RenamePasskeyForm
from panel.accounts.language_views import keep_language
from panel.accounts.models import User


@open_to_owners
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def show_account(request: HttpRequest) -> HttpResponse:
    """What the panel knows of whoever asks, and what they can change of it. POST chooses the language."""
    user = person_of(request)
    form = LanguageForm(request.POST or None, initial={"language": user.language})
    if request.method == "POST" and form.is_valid():
        own_account.set_language(user=user, language=form.cleaned_data["language"])
        if user.language:
            translation.activate(user.language)
        messages.success(request, _("Your language is saved."))
        response = redirect("show_account")
        keep_language(response, user.language)
        return response
    context = {"form": form, "sessions": len(_sessions(request, user)), **_second_factor_of(user)}
    return render(request, "accounts/show_account.html", context, status=400 if form.errors else 200)


@open_to_owners
@login_required
@require_safe
def list_sessions(request: HttpRequest) -> HttpResponse:
    """From where they are signed in."""
    return render(
        request, "accounts/list_sessions.html", {"sessions": _sessions(request, person_of(request))}
    )


@open_to_owners
@login_required
@require_POST
def end_session(request: HttpRequest, pk: int) -> HttpResponse:
    """Sign out one browser of theirs."""
    user = person_of(request)
    session = get_object_or_404(UserSession, pk=pk, user=user)
    if session.session_key == request.session.session_key:
        raise Http404  # that is what "Sign out" is for
    own_account.end_session(user=user, session=session)
    messages.success(
        request,
        _("%(browser)s is signed out.") % {"browser": in_words(session.user_agent)},
    )
    return redirect("usersessions_list")


@open_to_owners
@login_required
@require_POST
def end_other_sessions(request: HttpRequest) -> HttpResponse:
    """Sign out every browser of theirs but this one."""
    key = request.session.session_key or ""
    ended = own_account.end_other_sessions(user=person_of(request), session_key=key)
    messages.success(
        request,
        ngettext("%(count)s session is ended.", "%(count)s sessions are ended.", ended) % {"count": ended},
    )
    return redirect("usersessions_list")


class AddApp(totp.ActivateTOTPView):
    """A QR code for an authenticator app, and the first code that it shows."""

    form_class = AddAppForm
    template_name = "accounts/add_app.html"
    success_url = reverse_lazy("show_account")


class RemoveApp(totp.DeactivateTOTPView):
    """Stop asking for codes of the app."""

    template_name = "accounts/remove_app.html"
    success_url = reverse_lazy("show_account")


class ListPasskeys(webauthn.ListWebAuthnView):
    """Their passkeys."""

    template_name = "accounts/list_passkeys.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Say whether one can be added from here."""
        return super().get_context_data(**kwargs) | {"passkeys": passkeys_work_at(self.request)}


class AddPasskey(webauthn.AddWebAuthnView):
    """A new passkey: kept by the browser or on a key, and able to sign in alone."""

    form_class = AddPasskeyForm
    template_name = "accounts/add_passkey.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Hand the browser what to make: a passkey that it can find by itself, and that asks who holds it."""
        context = super().get_context_data(**kwargs) | kwargs
        options = begin_registration(person_of(self.request), True)
        return context | {
            "options": json.dumps(options, cls=DjangoJSONEncoder),
            "passkeys": passkeys_work_at(self.request),
        }

    def get_success_url(self) -> str:
        """Show recovery codes that were made with it, else the list."""
        return str(
            reverse_lazy(
                "mfa_view_recovery_codes" if self.did_generate_recovery_codes else "mfa_list_webauthn"
            )
        )


class RenamePasskey(webauthn.EditWebAuthnView):
    """Another name for a passkey."""

    form_class = RenamePasskeyForm
    template_name = "accounts/rename_passkey.html"


class RemovePasskey(webauthn.RemoveWebAuthnView):
    """A passkey that is lost, or no longer used."""

    template_name = "accounts/remove_passkey.html"


class ShowCodes(codes.ViewRecoveryCodesView):
    """The recovery codes that are left."""

    template_name = "accounts/show_recovery_codes.html"


class DownloadCodes(codes.DownloadRecoveryCodesView):
    """The same as a file."""

    template_name = "accounts/recovery_codes.txt"


class MakeCodes(codes.GenerateRecoveryCodesView):
    """New recovery codes; the old ones end."""

    template_name = "accounts/make_recovery_codes.html"


def _own(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Guard a page of the second factor. Owners of mailboxes have none: mail programs could not ask for it."""
    # Django's form views take PUT for a POST.
    return never_cache(login_required(require_http_methods(["GET", "HEAD", "POST"])(view)))


add_app = _own(AddApp.as_view())
remove_app = _own(RemoveApp.as_view())
list_passkeys = _own(ListPasskeys.as_view())
add_passkey = _own(AddPasskey.as_view())
rename_passkey = _own(RenamePasskey.as_view())
remove_passkey = _own(RemovePasskey.as_view())
show_codes = _own(ShowCodes.as_view())
download_codes = _own(DownloadCodes.as_view())
make_codes = _own(MakeCodes.as_view())


def _second_factor_of(user: User) -> dict[str, Any]:
    mine = list(Authenticator.objects.filter(user=user))
    by_type = {authenticator.type: authenticator for authenticator in mine}
    recovery = by_type.get(Authenticator.Type.RECOVERY_CODES)
    return {
        "app": by_type.get(Authenticator.Type.TOTP),
        "passkeys": [each for each in mine if each.type == Authenticator.Type.WEBAUTHN],
        "recovery": recovery,
        "codes_left": len(recovery.wrap().get_unused_codes()) if recovery else 0,
    }


def _sessions(request: HttpRequest, user: User) -> list[UserSession]:
    """Return their open sessions, this one first, then the one that was seen last."""
    found: list[UserSession] = UserSession.objects.purge_and_list(user)
    for session in found:
        session.browser = in_words(session.user_agent)
        session.here = session.session_key == request.session.session_key
    return sorted(found, key=lambda session: (not session.here, -session.last_seen_at.timestamp()))
