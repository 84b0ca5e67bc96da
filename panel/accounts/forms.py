"""Forms of signing in and of one's own account."""

from __future__ import annotations

from typing import Any

from allauth.account.internal.flows.login import perform_password_login
from allauth.account.models import Login
from allauth.core import context
from allauth.mfa.base.forms import AuthenticateForm, ReauthenticateForm
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.forms import ActivateTOTPForm
from allauth.mfa.totp.internal.auth import SECRET_SESSION_KEY
from allauth.mfa.webauthn.forms import (
    AddWebAuthnForm,
    AuthenticateWebAuthnForm,
    EditWebAuthnForm,
    LoginWebAuthnForm,
    ReauthenticateWebAuthnForm,
)
from django import forms
from django.conf import settings
from django.contrib.auth.forms import PasswordChangeForm, SetPasswordForm
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from panel.accounts import limits, services, signing_in
from panel.accounts.devices import known_device
from panel.accounts.models import User
from panel.core.sealed import seal, unseal

#: No password that anybody types is longer; hashing more would be work for nothing.
PASSWORD_MAX = 1024
WRONG_CODE = _("This code is not right, or was used already. Wait for the next one and type it in full.")
WRONG_PASSKEY = _("The passkey was not accepted. Try it again, or use another way to sign in.")


class SignInForm(forms.Form):
    """E-mail and password: of a person, or of anybody that a backend knows."""

    username = forms.CharField(
        label=_("E-mail"),
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "username webauthn", "autofocus": True}),
    )
    password = forms.CharField(
        label=_("Password"),
        strip=False,
        max_length=PASSWORD_MAX,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )

    error_messages = {
        "invalid_login": _(
            "This e-mail and password do not fit together. Check both; capital letters matter."
        ),
    }

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request
        self.user: User | None = None
        # A second try, or a link that brought the e-mail: it is there, the password has to be typed.
        if self.data.get("username") or self.initial.get("username"):
            del self.fields["username"].widget.attrs["autofocus"]
            self.fields["password"].widget.attrs["autofocus"] = True

    def clean(self) -> dict[str, Any] | None:
        """Find out whose they are. What is wrong is not said: not whether there is such a person.

        Raises:
            TooMany: if this was tried too often; nothing was computed.
            Busy: if too many passwords are being checked.
        """
        cleaned = super().clean()
        if self.errors:
            return cleaned
        self.user = signing_in.check_password(
            self.request, self.cleaned_data["username"], self.cleaned_data["password"]
        )
        if self.user is None:
            raise forms.ValidationError(self.error_messages["invalid_login"], code="invalid_login")
        return cleaned

    def login(self, request: HttpRequest, redirect_url: str | None = None) -> HttpResponse:
        """Go on to the second factor, or in."""
        assert self.user is not None
        signing_in.note_password(request, self.user)
        credentials = {"email": self.user.sign_in_name}
        return perform_password_login(request, credentials, Login(user=self.user, redirect_url=redirect_url))


class OwnPasswordForm(PasswordChangeForm):
    """The old password, and the new one twice."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["old_password"].label = _("Current password")
        self.fields["new_password1"].label = _("New password")
        self.fields["new_password2"].label = _("New password again")

    def clean_old_password(self) -> str:
        """Check the password that they have, within the limits of confirming who they are."""
        password: str = self.cleaned_data["old_password"]
        if not signing_in.confirm_password(context.request, self.user, password):
            raise forms.ValidationError(self.error_messages["password_incorrect"], code="password_incorrect")
        return password

    def clean_new_password1(self) -> str:
        """Refuse to keep the password that was given."""
        password: str = self.cleaned_data["new_password1"]
        if password and password == self.cleaned_data.get("old_password"):
            raise forms.ValidationError(_("This is the password that you have now. Choose another."))
        return password


class AskForResetForm(forms.Form):
    """The e-mail that a link is sent to, whether it is somebody's or not."""

    email = forms.EmailField(
        label=_("E-mail"),
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "username", "autofocus": True}),
    )


class ResetPasswordForm(SetPasswordForm):
    """The new password twice, by a mailed link."""

    def __init__(self, *args: Any, user: User, temp_key: str = "", **kwargs: Any) -> None:  # noqa: ARG002
        super().__init__(user, *args, **kwargs)
        self.fields["new_password1"].label = _("New password")
        self.fields["new_password2"].label = _("New password again")

    def save(self, commit: bool = True) -> Any:  # noqa: ARG002 - Django's signature
        """Set it. Every session of theirs ends."""
        services.set_password(
            user=self.user, password=self.cleaned_data["new_password1"], action="sign_in.reset"
        )
        return self.user


class ConfirmPasswordForm(forms.Form):
    """The password once more, before something that matters."""

    password = forms.CharField(
        label=_("Password"),
        strip=False,
        max_length=PASSWORD_MAX,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password", "autofocus": True}),
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean_password(self) -> str:
        """Check it."""
        password: str = self.cleaned_data["password"]
        if not signing_in.confirm_password(context.request, self.user, password):
            raise forms.ValidationError(_("This is not your password."))
        return password


def _code_field() -> forms.CharField:
    attrs = {"autocomplete": "one-time-code", "inputmode": "numeric", "autofocus": True, "class": "code"}
    return forms.CharField(label=_("Code"), max_length=32, widget=forms.TextInput(attrs=attrs))


class _CodeForm(forms.Form):
    """A code of the authenticator app, or a recovery code."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["code"] = _code_field()

    def clean_code(self) -> str:
        """Check it, within the limits: each code works once."""
        code: str = self.cleaned_data["code"]
        authenticator = signing_in.check_code(context.request, self.user, code)  # type: ignore[attr-defined]
        if authenticator is None:
            raise forms.ValidationError(WRONG_CODE)
        self.authenticator = authenticator
        return code


class CodeForm(_CodeForm, AuthenticateForm):
    """The second factor at sign-in, by code."""


class ConfirmCodeForm(_CodeForm, ReauthenticateForm):
    """A code, before something that matters."""


class AddAppForm(ActivateTOTPForm):
    """The first code of an authenticator app: it shows that the app was set up right."""

    secret: str

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["code"] = _code_field()
        self._seal_secret()

    def _seal_secret(self) -> None:
        """The secret waits in the session for its first code: in the database, so it waits sealed."""
        if ":" in self.secret:
            self.secret = unseal(signing_in.SEALED_AS, self.secret)
        else:
            context.request.session[SECRET_SESSION_KEY] = seal(signing_in.SEALED_AS, self.secret)

    def clean_code(self) -> str:
        """Check it, within the limits."""
        counted = limits.for_confirming(self.user.pk)
        limits.take(counted)
        try:
            code = str(super().clean_code())
        except forms.ValidationError as err:
            raise forms.ValidationError(
                _(
                    "This code is not right. Check the clock of your telephone, and type the code that shows now."
                )
            ) from err
        limits.give_back(counted)
        return code


class _CredentialField(forms.JSONField):
    """JSON that anybody may have written: nested so deep that reading it fails, it is as wrong as any other."""

    widget = forms.HiddenInput

    def to_python(self, value: Any) -> Any:
        """Read it.

        Raises:
            ValidationError: if it cannot be read.
        """
        try:
            return super().to_python(value)
        except RecursionError as err:
            raise forms.ValidationError(WRONG_PASSKEY) from err


class _PasskeyForm(forms.Form):
    """What a browser answers for a passkey: JSON that anybody may have written."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["credential"] = _CredentialField()

    def clean_credential(self) -> Authenticator:
        """Check it, within the limits.

        fido2 raises whatever the damage happens to cause, so every error of values and types is a refusal.
        """
        counted = self._limits()
        limits.take(counted)
        try:
            found = super().clean_credential()  # type: ignore[misc]
        except (forms.ValidationError, ValueError, TypeError, LookupError, AttributeError) as err:
            raise forms.ValidationError(WRONG_PASSKEY) from err
        limits.give_back(counted)
        assert isinstance(found, Authenticator)
        return found

    def _limits(self) -> list[limits.Limit]:
        request = context.request
        user: User | None = self.user  # type: ignore[attr-defined]
        if user is None:
            return limits.for_passkey(request.META.get("REMOTE_ADDR", ""))
        if request.user.is_authenticated:
            return limits.for_confirming(user.pk)
        device = known_device(request, user.sign_in_name)
        return limits.for_code(user.pk, request.META.get("REMOTE_ADDR", ""), device)


class PasskeyForm(_PasskeyForm, AuthenticateWebAuthnForm):
    """The second factor at sign-in, by passkey."""


class SignInByPasskeyForm(_PasskeyForm, LoginWebAuthnForm):
    """A passkey instead of e-mail, password and code."""


class ConfirmPasskeyForm(_PasskeyForm, ReauthenticateWebAuthnForm):
    """A passkey, before something that matters."""


class AddPasskeyForm(AddWebAuthnForm):
    """A new passkey and what to call it. Every passkey may sign in alone, so it must ask who holds it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"] = _name_field()
        self.fields["credential"] = _CredentialField()
        self.fields.pop("passwordless", None)

    def clean(self) -> dict[str, Any]:
        """Check what the browser made."""
        try:
            return dict(super().clean())
        except (forms.ValidationError, ValueError, TypeError, LookupError, AttributeError) as err:
            raise forms.ValidationError(WRONG_PASSKEY) from err


class RenamePasskeyForm(EditWebAuthnForm):
    """Another name."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"] = _name_field()


def _name_field() -> forms.CharField:
    return forms.CharField(
        label=_("Name of the passkey"),
        help_text=_("Where it is kept, such as “Telephone” or “Key on my ring”."),
        max_length=60,
    )


class LanguageForm(forms.Form):
    """The language of the panel and of mails."""

    language = forms.ChoiceField(
        label=_("Language of pages and mails"),
        required=False,
        choices=[("", _("As the browser asks")), *settings.LANGUAGES],
    )
