"""The job that mails an invitation: so that a mail server that refuses is seen and tried again."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.mail import send_mail
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from panel.accounts import members
from panel.accounts.models import User
from panel.core.jobs import job_kind


@job_kind(_("Sending an invitation"))
def send_invitation(*, invitation_id: int, language: str = "") -> dict[str, Any]:
    """Mail an invitation, each time with a new link; nothing is sent for one that was withdrawn meanwhile.

    Args:
        invitation_id: which.
        language: of whoever invites, for somebody who has not chosen one here.

    Raises:
        OSError, smtplib.SMTPException: if the mail server does not take it.
    """
    made = members.new_link(invitation_id)
    if made is None:
        return {"sent": False}
    invitation, link = made
    context = {"invitation": invitation, "link": link, "product_name": settings.PRODUCT_NAME}
    chosen = User.objects.filter(email=invitation.email).values_list("language", flat=True).first()
    with translation.override(chosen or language or settings.LANGUAGE_CODE):
        send_mail(
            gettext("Invitation to %(customer)s") % {"customer": invitation.customer},
            render_to_string("accounts/invitation.txt", context),
            None,
            [invitation.email],
        )
    return {"sent": True}
