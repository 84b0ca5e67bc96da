"""The message that a new mailbox starts with, so that the first look shows something."""

from __future__ import annotations

from email.message import EmailMessage
from email.utils import formatdate, make_msgid

from django.conf import settings
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from panel.addresses.models import Mailbox


def welcome_message(mailbox: Mailbox) -> bytes:
    """Return the welcome message (RFC 5322) of a new mailbox."""
    message = EmailMessage()
    message["From"] = f"{settings.PRODUCT_NAME} <postmaster@{mailbox.domain.name}>"
    message["To"] = mailbox.address
    message["Subject"] = _("Welcome to your mailbox")
    message["Date"] = formatdate(localtime=False)
    message["Message-ID"] = make_msgid(domain=mailbox.domain.name)
    message["Auto-Submitted"] = "auto-generated"
    context = {"mailbox": mailbox, "mail_host": settings.ENVIRONMENT.mail_host}
    message.set_content(render_to_string("addresses/welcome.txt", context))
    return message.as_bytes()
