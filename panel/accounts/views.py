"""Pages of signing in: django-allauth's views, with our forms, words and limits."""

from __future__ import annotations

import json
import re
from typing import Any

from allauth.account import views as account
from allauth.mfa.base import views as mfa
from allauth.mfa.webauthn import views as passkeys
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.core.serializers.json import DjangoJSONEncoder
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from panel.accounts import own_account, services
from panel.accounts.access import open_to_owners, person_of
from panel.accounts.adapters import passkeys_work_at
from panel.accounts.forms import (
    AskForResetForm,
    CodeForm,
    ConfirmCodeForm,
    ConfirmPasskeyForm,
    ConfirmPasswordForm,
    OwnPasswordForm,
    PasskeyForm,
    ResetPasswordForm,
    SignInByPasskeyForm,
    SignInForm,
)


class SignIn(account.LoginView):
    """E-mail and password, or a passkey."""

    form_class = SignInForm
    template_name = "accounts/sign_in.html"

    def get_form_class(self) -> Any:
        """Ours, whatever is set."""
        return self.form_class

    def get_initial(self) -> dict[str, Any]:
        """Fill in the name that a link brings."""
        return super().get_initial() | {"username": self.request.GET.get("name", "")[:254]}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Offer passkeys where browsers do."""
        return super().get_context_data(**kwargs) | {"passkeys": passkeys_work_at(self.request)}


class SignInByCode(mfa.AuthenticateView):
    """The second factor: a code, or a passkey."""

    form_class = CodeForm
    webauthn_form_class = PasskeyForm
    template_name = "accounts/second_factor.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Offer what this person has."""
        context = super().get_context_data(**kwargs)
        types = set(self.stage.login.user.authenticator_set.values_list("type", flat=True))
        offered = "webauthn" in types and passkeys_work_at(self.request)
        return context | {"types": types, "passkeys": offered, "options": request_options(context)}


class SignInByPasskey(passkeys.LoginWebAuthnView):
    """A passkey alone: it is the second factor too."""

    form_class = SignInByPasskeyForm


class ConfirmPassword(account.ReauthenticateView):
    """The password once more."""

    form_class = ConfirmPasswordForm
    template_name = "accounts/confirm_password.html"


class ConfirmCode(mfa.ReauthenticateView):
    """A code, instead of the password."""

    form_class = ConfirmCodeForm
    template_name = "accounts/confirm_code.html"


class ConfirmPasskey(passkeys.ReauthenticateWebAuthnView):
    """A passkey, instead of the password."""

    form_class = ConfirmPasskeyForm
    template_name = "accounts/confirm_passkey.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Hand the browser what to sign."""
        context = super().get_context_data(**kwargs)
        return (
            context
            | kwargs
            | {"options": request_options(context), "passkeys": passkeys_work_at(self.request)}
        )

    def form_invalid(self, form: Any) -> HttpResponse:
        """Say what is wrong here, where it can be tried again."""
        return self.render_to_response(self.get_context_data(form=form))


class ResetPassword(account.PasswordResetFromKeyView):
    """A new password, by a mailed link."""

    form_class = ResetPasswordForm
    template_name = "accounts/reset_password.html"


# Django's form views take PUT for a POST.
_forms_only = require_http_methods(["GET", "HEAD", "POST"])
sign_in = open_to_owners(_forms_only(sensitive_post_parameters()(SignIn.as_view())))
sign_in_by_code = open_to_owners(_forms_only(sensitive_post_parameters()(SignInByCode.as_view())))
sign_in_by_passkey = open_to_owners(_forms_only(SignInByPasskey.as_view()))
confirm_password = _forms_only(sensitive_post_parameters()(ConfirmPassword.as_view()))
confirm_code = _forms_only(sensitive_post_parameters()(ConfirmCode.as_view()))
confirm_passkey = _forms_only(ConfirmPasskey.as_view())
reset_password = open_to_owners(_forms_only(sensitive_post_parameters()(ResetPassword.as_view())))
sign_out = open_to_owners(require_POST(account.LogoutView.as_view()))


@open_to_owners
@require_http_methods(["GET", "HEAD", "POST"])
def ask_for_reset(request: HttpRequest) -> HttpResponse:
    """Ask for a link to set a new password. The answer is the same for every e-mail, and takes as long."""
    form = AskForResetForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        own_account.request_password_reset(
            email=form.cleaned_data["email"], remote_ip=request.META.get("REMOTE_ADDR", "")
        )
        return redirect("account_reset_password_done")
    return render(request, "accounts/ask_for_reset.html", {"form": form}, status=400 if form.errors else 200)


@open_to_owners
@never_cache
@require_safe
def open_reset_link(request: HttpRequest) -> HttpResponse:
    """Take the key out of a mailed link: it stands in the query, which no log holds, and goes on in the session."""
    person, _dash, key = request.GET.get("key", "").partition("-")
    if not re.fullmatch(r"[0-9A-Za-z]{1,20}", person):
        person = "0"  # nobody: the page says that the link does not work
    request.session[account.INTERNAL_RESET_SESSION_KEY] = key[:200]
    return redirect("account_reset_password_from_key", uidb36=person, key=ResetPassword.reset_url_key)


@sensitive_post_parameters()
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def change_password(request: HttpRequest) -> HttpResponse:
    """Let a person choose their own password; other sessions of theirs end."""
    user = person_of(request)
    form = OwnPasswordForm(user, request.POST or None)
    if request.method == "POST" and form.is_valid():
        services.set_password(user=user, password=form.cleaned_data["new_password1"])
        update_session_auth_hash(request, user)
        own_account.tell_of_change(
            user=user,
            action="sign_in.password_changed",
            remote_ip=request.META.get("REMOTE_ADDR", ""),
            user_agent=request.headers.get("User-Agent", ""),
        )
        messages.success(request, _("Your password is changed. Other devices are signed out."))
        return redirect("home")
    context = {"form": form, "forced": user.must_change_password}
    return render(request, "accounts/change_password.html", context, status=400 if form.errors else 200)


def request_options(context: dict[str, Any]) -> str:
    """Return what allauth asks the browser to sign, as JSON for an attribute."""
    options = context.get("js_data", {}).get("request_options", {})
    return json.dumps(options, cls=DjangoJSONEncoder)
