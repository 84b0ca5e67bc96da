"""Mails that the panel sends to people: plain text, in their language, with links that come from PANEL_URL."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from allauth.account.utils import user_pk_to_url_str
from django.conf import settings
from django.contrib.auth.tokens import default_token_generator
from django.core.mail import EmailMessage
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _

from panel.accounts.devices import in_words
from panel.accounts.models import User
from panel.accounts.selectors import may_sign_in
from panel.core.audit import action_label


def send_password_reset(*, email: str, language: str) -> bool:
    """Send the link that sets a new password, if there is such a person. Returns whether there is.

    A mailbox's owner gets none: their mailbox is what they lost.

    Args:
        email: whose, normalised.
        language: of the page where it was asked for, for people who chose none.

    Raises:
        OSError: if the mail server does not take it.
    """
    user = User.objects.filter(email=email, kind=User.Kind.PERSON).first()
    if user is None or not may_sign_in(user):
        return False
    key = f"{user_pk_to_url_str(user)}-{default_token_generator.make_token(user)}"
    link = public_url(reverse("open_reset_link", query={"key": key}))
    with translation.override(user.language or language or settings.LANGUAGE_CODE):
        send_to(user, _("A new password for %(product)s"), "accounts/mail/reset_password.txt", {"link": link})
    return True


def send_notice(
    *, user_id: int, action: str, at: datetime, remote_ip: str, user_agent: str, language: str
) -> bool:
    """Tell a person what was changed in their account. Returns whether they are still there.

    Raises:
        OSError: if the mail server does not take it.
    """
    user = User.objects.filter(pk=user_id, kind=User.Kind.PERSON).first()
    if user is None:
        return False
    with translation.override(user.language or language or settings.LANGUAGE_CODE):
        context = {
            "what": action_label(action),
            "at": at,
            "remote_ip": remote_ip,
            "browser": in_words(user_agent),
            "link": public_url(reverse("show_account")),
        }
        send_to(user, _("Your account at %(product)s was changed"), "accounts/mail/notice.txt", context)
    return True


def public_url(path: str) -> str:
    """Return the public address of a page."""
    return f"{settings.ENVIRONMENT.panel_url}{path}"


def send_to(user: User, subject: str, template: str, context: dict[str, Any]) -> None:
    """Mail a person, in the language that is active.

    Args:
        user: to whom.
        subject: with %(product)s where the product's name is to stand; other % are not read.
        template: of the text.
        context: what it is filled with, beside the person and the product.

    Raises:
        OSError, smtplib.SMTPException: if the mail server does not take it.
    """
    known = {"user": user, "product_name": settings.PRODUCT_NAME, "panel_url": settings.ENVIRONMENT.panel_url}
    EmailMessage(
        subject=subject.replace("%(product)s", settings.PRODUCT_NAME),
        body=render_to_string(template, known | context),
        to=[user.email or ""],
        headers={"Auto-Submitted": "auto-generated"},
    ).send()
