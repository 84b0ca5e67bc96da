"""Owners of mailboxes as users of the panel: made at the first sign-in, gone with the mailbox."""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.db.models import F, Model, QuerySet
from django.utils.translation import gettext as _

from mailbackend.addresses import AddressError, parse_address
from mailbackend.passwords import verify_password
from panel.accounts.models import User
from panel.addresses.models import Mailbox


def mailbox_named(name: str) -> Mailbox | None:
    """Return the mailbox with an address, as typed: the living one, or the one of that name that was deleted last."""
    try:
        address = str(parse_address(name))
    except AddressError:
        return None
    rows = Mailbox.objects.select_related("domain__customer", "user").filter(address=address)
    latest = (F(name).desc(nulls_first=True) for name in ("domain__deleted_at", "deleted_at"))
    return rows.order_by(*latest, "-pk").first()


def mailbox_of(owner: User) -> Mailbox | None:
    """Return an owner's mailbox, or None if it is no more."""
    return Mailbox.objects.select_related("domain__customer").filter(user=owner).first()


def owner_of(mailbox: Mailbox) -> User | None:
    """Return the user that a mailbox's owner is in the panel, made now if there is none yet.

    Returns:
        None if the mailbox's password is no more the one that `mailbox` was read with.
    """
    if mailbox.user is not None:
        _rename(mailbox.user, mailbox.address)
        return mailbox.user
    with transaction.atomic():
        # The user is read by itself, not joined: a joined row is the one from before this had to wait for the lock.
        rows = Mailbox.objects.select_for_update()
        now = rows.filter(pk=mailbox.pk, password=mailbox.password).first()
        if now is None:
            return None
        if now.user is None:
            now.user = User.objects.create(
                kind=User.Kind.MAILBOX, name=now.address, password=make_password(None)
            )
            now.save(update_fields=["user"])
    return now.user


def end_panel_sessions(mailboxes: QuerySet[Mailbox]) -> None:
    """End what sessions the owners of mailboxes have in the panel, in this transaction.

    An owner's own password is none; a session holds a hash of it all the same, and ends when it is another.
    """
    User.objects.filter(mailbox__in=mailboxes).update(password=make_password(None))


def forget_owners(mailboxes: Sequence[Mailbox]) -> None:
    """Delete the users of mailboxes that are about to be deleted for good."""
    User.objects.filter(kind=User.Kind.MAILBOX, mailbox__in=[mailbox.pk for mailbox in mailboxes]).delete()


def why_not(mailbox: Mailbox) -> str:
    """Return why a mailbox's owner may not be in the panel, in words for them, or an empty string.

    The reason that was written down for a suspension is for those who suspend, and is not told.
    """
    words = {"address": mailbox.display_address}
    match mailbox.state:
        case Mailbox.State.DELETED:
            return _("%(address)s is deleted. Ask whoever gave you this mailbox.") % words
        case Mailbox.State.SUSPENDED:
            return _("%(address)s is suspended. Ask whoever gave you this mailbox.") % words
        case Mailbox.State.CREATING:
            return _("%(address)s is still being created. Try again in a minute.") % words
        case _other:
            return ""


class MailboxesForSignIn:
    """What the sign-in asks (panel.accounts.mailbox_owners)."""

    def owner_named(self, name: str) -> User | None:
        """Return the owner of the mailbox with this address; one who never signed in is not saved."""
        mailbox = mailbox_named(name)
        if mailbox is None:
            return None
        return mailbox.user or User(kind=User.Kind.MAILBOX, name=mailbox.address)

    def refusal(self, owner: User) -> str:
        """Return why an owner may not be in the panel, or an empty string."""
        mailbox = mailbox_of(owner)
        return _("This mailbox is no more.") if mailbox is None else why_not(mailbox)

    def fits(self, owner: User, password: str) -> bool:
        """Say whether this is the password of the owner's mailbox."""
        mailbox = mailbox_of(owner)
        return mailbox is not None and verify_password(password, mailbox.password)

    def audited(self, owner: User) -> tuple[Model, int | None]:
        """Return the mailbox and its customer."""
        mailbox = mailbox_of(owner) if owner.pk else mailbox_named(owner.name)
        return (owner, None) if mailbox is None else (mailbox, mailbox.domain.customer_id)

    def other_name(self, person: User) -> str:
        """Return the mailbox's address for a person who has one by their e-mail, or the e-mail for its owner."""
        if person.is_mailbox:
            mailbox = mailbox_of(person)
            names = {mailbox.address, mailbox.display_address} if mailbox else set()
            other = User.objects.filter(email__in=names, is_active=True).first()
            return (other.email or "") if other else ""
        found = mailbox_named(person.email or "")
        return found.display_address if found and not why_not(found) else ""


def _rename(owner: User, address: str) -> None:
    """Call an owner as their mailbox is called now."""
    if owner.name != address:
        owner.name = address
        owner.save(update_fields=["name"])
