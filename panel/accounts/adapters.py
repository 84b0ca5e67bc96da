"""What django-allauth asks of this project."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import qrcode
from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.stagekit import clear_login
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from django.conf import settings
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from panel.accounts import own_account, services, signing_in
from panel.accounts.devices import remember_device
from panel.accounts.mailbox_owners import mailboxes
from panel.accounts.models import User
from panel.accounts.selectors import may_sign_in, suspended_customers_of
from panel.core.audit import record
from panel.core.sealed import seal, unseal

#: What is said after something was done, by the name of allauth's own message. Others are not said.
_MESSAGES = {
    "mfa/messages/totp_activated.txt": gettext_lazy("Your authenticator app is set up."),
    "mfa/messages/totp_deactivated.txt": gettext_lazy("The authenticator app is no longer asked for."),
    "mfa/messages/webauthn_added.txt": gettext_lazy("Your passkey is saved."),
    "mfa/messages/webauthn_removed.txt": gettext_lazy("The passkey is removed."),
    "mfa/messages/recovery_codes_generated.txt": gettext_lazy("You have new recovery codes. Keep them safe."),
}

#: What is recorded and told the person by mail, by the name of allauth's own mail.
_NOTICES = {
    "mfa/email/totp_activated": "sign_in.totp_added",
    "mfa/email/totp_deactivated": "sign_in.totp_removed",
    "mfa/email/webauthn_added": "sign_in.passkey_added",
    "mfa/email/webauthn_removed": "sign_in.passkey_removed",
    "mfa/email/recovery_codes_generated": "sign_in.recovery_codes_made",
}


class AccountAdapter(DefaultAccountAdapter):
    """Signing in and out."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:  # noqa: ARG002 - allauth's signature
        """Nobody signs up: the host and its customers invite."""
        return False

    def is_safe_url(self, url: str | None) -> bool:
        """Say whether a page may send people there: to another page of the panel, named by its path.

        allauth would take every name in ALLOWED_HOSTS too: localhost, which is whoever's computer it is.
        """
        return url_has_allowed_host_and_scheme(url, allowed_hosts=None)

    def get_login_stages(self) -> list[str]:
        """After the password comes the second factor, and nothing else."""
        return ["allauth.mfa.stages.AuthenticateStage"]

    def pre_login(self, request: HttpRequest, user: Any, **kwargs: Any) -> HttpResponse | None:  # noqa: ARG002
        """Stop whoever may not sign in, by a passkey as by a password."""
        if may_sign_in(user):
            return None
        clear_login(request)
        messages.error(request, _why_not(user))
        return redirect("account_login")

    def login(self, request: HttpRequest, user: Any) -> None:
        """Let them in, unless their password was changed since they typed it: that ends what was begun with it.

        Raises:
            ImmediateHttpResponse: if it was.
        """
        if not signing_in.password_still_holds(request, user):
            clear_login(request)
            messages.error(request, _("Your password was changed meanwhile. Sign in again."))
            raise ImmediateHttpResponse(redirect("account_login"))
        super().login(request, user)

    def post_login(self, request: HttpRequest, user: Any, **kwargs: Any) -> HttpResponse:
        """Record who came in, and note that they did from this browser."""
        with signing_in.as_person(request, user):
            signing_in.note("sign_in.succeeded", user)
        response = super().post_login(request, user, **kwargs)
        remember_device(request, response, user.sign_in_name)
        return response

    def reauthenticate(self, user: Any, password: str) -> bool:
        """Say whether a signed-in person typed their password."""
        return signing_in.confirm_password(self.request, user, password)

    def set_password(self, user: Any, password: str) -> None:
        """Set the password that was chosen by a mailed link; every session ends."""
        services.set_password(user=user, password=password, action="sign_in.reset")

    def add_message(
        self,
        request: HttpRequest,
        level: int,
        message_template: str | None = None,
        message_context: dict[str, Any] | None = None,  # noqa: ARG002
        extra_tags: str = "",
        message: str | None = None,
    ) -> None:
        """Say what was done, in our words."""
        words = message or _MESSAGES.get(message_template or "")
        if words:
            messages.add_message(request, level, str(words), extra_tags=extra_tags)

    def send_notification_mail(
        self,
        template_prefix: str,
        user: Any,
        context: dict[str, Any] | None = None,  # noqa: ARG002
        email: str | None = None,  # noqa: ARG002
    ) -> None:
        """Record a change of somebody's second factor, and tell them by mail: it may not have been them."""
        action = _NOTICES.get(template_prefix)
        if action is None:
            return
        with transaction.atomic():
            record(action, target=user)
            own_account.tell_of_change(
                user=user,
                action=action,
                remote_ip=self.get_client_ip(self.request),
                user_agent=self.get_http_user_agent(self.request),
            )


class SecondFactorAdapter(DefaultMFAAdapter):
    """Authenticator apps, passkeys and recovery codes."""

    def encrypt(self, text: str) -> str:
        """Seal a secret for the database."""
        return seal(signing_in.SEALED_AS, text)

    def decrypt(self, encrypted_text: str) -> str:
        """Open what was sealed."""
        return unseal(signing_in.SEALED_AS, encrypted_text)

    def build_totp_svg(self, url: str) -> SafeString:
        """Return the QR code as SVG to stand in the page: black on white, its size left to the style sheet."""
        code = qrcode.QRCode(border=2)
        code.add_data(url)
        rows = code.get_matrix()
        dots = "".join(
            f"M{x} {y}h1v1h-1z" for y, row in enumerate(rows) for x, dark in enumerate(row) if dark
        )
        size = len(rows)
        label = _("QR code for your authenticator app")
        # Numbers and our own words only.
        return mark_safe(  # noqa: S308
            f'<svg class="qr" viewBox="0 0 {size} {size}" role="img" aria-label="{label}">'
            f'<path class="qr-paper" d="M0 0h{size}v{size}H0z"/><path class="qr-ink" d="{dots}"/></svg>'
        )

    def generate_authenticator_name(self, user: Any, type: Any) -> str:  # noqa: ARG002 - allauth's names
        """A passkey is named by whoever adds it; one without a name says what it is."""
        return _("Passkey")

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        """Passkeys belong to the public address, whatever Host says."""
        return {
            "id": urlsplit(settings.ENVIRONMENT.panel_url).hostname or "localhost",
            "name": settings.PRODUCT_NAME,
        }


def passkeys_work_at(request: HttpRequest) -> bool:
    """Say whether browsers offer passkeys where this page is: at the public address, over HTTPS or on localhost."""
    public = urlsplit(settings.ENVIRONMENT.panel_url)
    is_secure = public.scheme == "https" or public.hostname == "localhost"
    return is_secure and request.get_host() == public.netloc


def _why_not(user: User) -> str:
    """Return why somebody whose password or passkey was right may not sign in."""
    if user.is_active and user.is_mailbox:
        return mailboxes().refusal(user)
    suspended = suspended_customers_of(user).first() if user.is_active else None
    if suspended is None:
        return _("This account is switched off. Ask your host.")
    reason = suspended.suspended_reason
    if not reason:
        return _("%(customer)s is suspended. Ask your host.") % {"customer": suspended}
    return _("%(customer)s is suspended: %(reason)s. Ask your host.") % {
        "customer": suspended,
        "reason": reason.rstrip("."),
    }
