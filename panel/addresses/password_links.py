"""Links by which a mailbox's owner chooses its password: once, not for ever, and only the newest."""

from __future__ import annotations

import hashlib
import secrets
from urllib.parse import urlencode

from django.conf import settings
from django.db import transaction
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from panel.accounts.models import User
from panel.addresses import services
from panel.addresses.models import Mailbox, PasswordLink
from panel.core import audit
from panel.core.errors import Problem


class LinkRefused(Problem):
    """A link does not work: never made, used, too old, or a newer one or a new password came after it."""

    def __init__(self) -> None:
        super().__init__(
            _(
                "It was used already, is too old, a newer one was made, or it is not whole. "
                "Ask whoever gave it to you for a new one."
            )
        )


def make_link(*, mailbox: Mailbox, created_by: User) -> tuple[PasswordLink, str]:
    """Make a link by which a mailbox's owner chooses its password. The one before ends.

    Args:
        mailbox: whose.
        created_by: who asks.

    Returns:
        the link's row, and its address: it is kept nowhere, the row has a hash of it.

    Raises:
        Problem: if the mailbox is deleted.
    """
    services.check_alive(mailbox)
    token = secrets.token_urlsafe(32)
    with transaction.atomic():
        _lock(mailbox.pk)
        PasswordLink.objects.filter(mailbox=mailbox, used_at=None).delete()
        link = PasswordLink.objects.create(
            mailbox=mailbox,
            token_hash=_hash(token),
            created_by=created_by,
            expires_at=timezone.now() + settings.PASSWORD_LINK_LIFE,
        )
        audit.record(
            "mailbox.link_made",
            target=mailbox,
            customer_id=mailbox.domain.customer_id,
            after={"expires_at": link.expires_at},
        )
    # In the query, which no log holds.
    query = urlencode({"token": token})
    return link, f"{settings.ENVIRONMENT.panel_url}{reverse('choose_mailbox_password')}?{query}"


def mailbox_of_link(token: str) -> Mailbox:
    """Return the mailbox whose password a link lets choose.

    Raises:
        LinkRefused: if it does not work, whatever the cause.
    """
    rows = PasswordLink.objects.select_related("mailbox__domain__customer")
    link = rows.filter(token_hash=_hash(token), used_at=None, expires_at__gt=timezone.now()).first()
    if link is None or link.mailbox.state == Mailbox.State.DELETED:
        raise LinkRefused
    return link.mailbox


def link_works(token: str) -> bool:
    """Say whether a link works."""
    try:
        mailbox_of_link(token)
    except LinkRefused:
        return False
    return True


def use_link(*, token: str, password: str) -> Mailbox:
    """Set the password that a mailbox's owner chose by a link. The link ends.

    Args:
        token: of the link.
        password: as typed.

    Returns:
        the mailbox.

    Raises:
        LinkRefused: if the link does not work, or no more.
        Problem: if the password cannot be used.
        Busy: if too many passwords are being hashed.
    """
    mailbox = mailbox_of_link(token)
    hashed = services.hashed_mailbox_password(password)
    with transaction.atomic():
        _lock(mailbox.pk)
        mailbox = mailbox_of_link(token)
        PasswordLink.objects.filter(token_hash=_hash(token)).update(used_at=timezone.now())
        services.save_mailbox_password(mailbox=mailbox, hashed=hashed, action="mailbox.password_chosen")
    return mailbox


def _lock(mailbox_id: int) -> None:
    """Let whoever makes, uses or ends a mailbox's links come one after the other."""
    Mailbox.objects.select_for_update().filter(pk=mailbox_id).first()


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
