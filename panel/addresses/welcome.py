"""The message that a new mailbox starts with, so that the first look shows something."""

from __future__ import annotations

from email.charset import QP, Charset
from email.header import Header
from email.mime.text import MIMEText
from email.utils import formatdate, make_msgid

from django.conf import settings
from django.template.loader import get_template
from django.utils.translation import gettext as _

from panel.addresses.models import Mailbox

_UTF8 = Charset("utf-8")
_UTF8.body_encoding = QP


def welcome_message(mailbox: Mailbox) -> bytes:
    """Return the welcome message (RFC 5322) of a new mailbox."""
    context = {"mailbox": mailbox, "mail_host": settings.ENVIRONMENT.mail_host}
    text = get_template("addresses/welcome.txt").render(context)
    # EmailMessage would parse each header that it is given: ten times the work, for thousands of mailboxes.
    message = MIMEText(text, "plain", "us-ascii" if text.isascii() else _UTF8)  # type: ignore[arg-type]
    domain = mailbox.domain.name
    message["From"] = f"{settings.PRODUCT_NAME} <postmaster@{domain}>"
    message["To"] = mailbox.address
    message["Subject"] = Header(_("Welcome to your mailbox")).encode()
    message["Date"] = formatdate(localtime=False)
    message["Message-ID"] = make_msgid(domain=domain)
    message["Auto-Submitted"] = "auto-generated"
    return message.as_bytes()
