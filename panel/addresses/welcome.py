"""Messages that mailboxes get from the service itself: the one that a new mailbox starts with is the first."""

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
    return service_message(mailbox, _("Welcome to your mailbox"), text)


def service_message(mailbox: Mailbox, subject: str, text: str) -> bytes:
    """Return a message of the service (RFC 5322) to a mailbox's owner, which says that nobody typed it (RFC 3834)."""
    body = MIMEText(text, "plain", "us-ascii" if text.isascii() else _UTF8)  # type: ignore[arg-type]
    domain = mailbox.domain.name
    # All of these are plain ASCII; the email package would take most of the time of a mailbox for them.
    headers = (
        f"From: {Header(settings.PRODUCT_NAME).encode()} <postmaster@{domain}>\n"
        f"To: {mailbox.address}\n"
        f"Subject: {Header(subject).encode()}\n"
        f"Date: {formatdate(localtime=False)}\n"
        f"Message-ID: {make_msgid(domain=domain)}\n"
        "Auto-Submitted: auto-generated\n"
    )
    return headers.encode("ascii") + body.as_bytes()
