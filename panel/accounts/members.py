"""Writes: who belongs to a customer, and invitations.

An invitation's link bears a token that is made when the mail is sent and is kept nowhere: the row has its hash.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from urllib.parse import urlencode

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from panel.accounts.models import Customer, Invitation, Membership, User
from panel.accounts.services import check_line, clean_email, create_person
from panel.core import audit
from panel.core.errors import Problem
from panel.core.jobs import start_job
from panel.core.models import Job

#: Invitations of one customer that may be open at a time: nobody floods others with mail from here.
OPEN_INVITATIONS_MAX = 100
#: A mail is sent again after this long at the earliest.
SENT_AGAIN_AFTER = timedelta(minutes=1)


class LinkRefused(Problem):
    """An invitation's link does not work.

    Attributes:
        status: of the answer (RFC 9110).
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def add_member(*, customer: Customer, person: User, role: str) -> Membership:
    """Make a person a member.

    Raises:
        Problem: if they are one already.
    """
    with transaction.atomic():
        _lock(customer)
        _check_stranger(customer, person.email or "")
        membership = Membership.objects.create(customer=customer, user=person, role=_checked_role(role))
        audit.record("member.joined", target=person, customer_id=customer.pk, after={"role": role})
    return membership


def invite(*, customer: Customer, email: str, role: str, invited_by: User | None = None) -> Invitation:
    """Invite somebody by a mailed link. Whether the panel knows them makes no difference.

    Args:
        customer: to which.
        email: whom; the link works for whoever signs in with it.
        role: a code of Membership.Role.
        invited_by: who asks.

    Raises:
        Problem: if it is no e-mail, belongs to a member, or was invited already.
    """
    email, role = clean_email(email), _checked_role(role)
    with transaction.atomic():
        _lock(customer)
        _check_stranger(customer, email)
        pending = open_invitations(customer)
        if pending.filter(email=email).exists():
            raise Problem(
                _("%(email)s was invited already. Send that invitation again, or withdraw it.")
                % {"email": email},
                "email",
            )
        if pending.count() >= OPEN_INVITATIONS_MAX:
            raise Problem(_("Too many invitations are open. Withdraw some first."))
        invitation = Invitation.objects.create(
            customer=customer,
            email=email,
            role=role,
            token_hash=_hash(_new_token()),
            invited_by=invited_by,
            expires_at=timezone.now() + settings.INVITATION_LIFE,
        )
        audit.record("member.invited", target=invitation, customer_id=customer.pk, after={"role": role})
        start_job("send_invitation", invitation_id=invitation.pk, language=get_language() or "")
    return invitation


def send_again(*, invitation: Invitation) -> None:
    """Mail an invitation again, with a new link that works as long as the first one did. The old one ends.

    Raises:
        Problem: if it was accepted or withdrawn meanwhile, or was sent a moment ago.
    """
    with transaction.atomic():
        invitation = _locked(invitation)
        if sent_jobs(invitation).filter(created_at__gt=timezone.now() - SENT_AGAIN_AFTER).exists():
            raise Problem(_("It was sent a moment ago. Wait a minute before you send it again."))
        invitation.expires_at = timezone.now() + settings.INVITATION_LIFE
        invitation.save(update_fields=["expires_at"])
        audit.record("member.invited_again", target=invitation, customer_id=invitation.customer_id)
        start_job("send_invitation", invitation_id=invitation.pk, language=get_language() or "")


def withdraw(*, invitation: Invitation) -> None:
    """Take an invitation back: its link ends.

    Raises:
        Problem: if it was accepted or withdrawn meanwhile.
    """
    with transaction.atomic():
        invitation = _locked(invitation)
        audit.record("member.invitation_withdrawn", target=invitation, customer_id=invitation.customer_id)
        invitation.delete()


def new_link(invitation_id: int) -> tuple[Invitation, str] | None:
    """Give an open invitation a new token and return it with its link; None if nobody waits for it any more."""
    token = _new_token()
    with transaction.atomic():
        rows = Invitation.objects.select_related("customer", "invited_by")
        invitation = rows.filter(pk=invitation_id, accepted_at=None, expires_at__gt=timezone.now()).first()
        if invitation is None:
            return None
        invitation.token_hash = _hash(token)
        invitation.save(update_fields=["token_hash"])
    # In the query, which no log holds.
    return (
        invitation,
        f"{settings.ENVIRONMENT.panel_url}{reverse('accept_invitation')}?{urlencode({'token': token})}",
    )


def invitation_of(token: str) -> Invitation:
    """Return the open invitation that a link is for.

    Raises:
        LinkRefused: if there is none, it was used, or it expired.
    """
    invitation = Invitation.objects.select_related("customer").filter(token_hash=_hash(token)).first()
    if invitation is None:
        raise LinkRefused(
            _(
                "This link is not whole, or the invitation was withdrawn or sent again. Take the link from "
                "the newest mail, or ask whoever invited you."
            ),
            404,
        )
    if invitation.accepted_at:
        raise LinkRefused(_("This invitation was accepted already. Sign in."), 410)
    if invitation.expires_at <= timezone.now():
        raise LinkRefused(_("This invitation is too old. Ask whoever invited you to send it again."), 410)
    return invitation


def accept(*, token: str, person: User) -> Customer:
    """Accept an invitation, as whoever is signed in with its e-mail.

    Raises:
        LinkRefused: if the link does not work, or is for somebody else.
    """
    with transaction.atomic():
        invitation = _locked_by(token)
        if person.email != invitation.email:
            raise LinkRefused(_("This invitation is for %(email)s.") % {"email": invitation.email}, 403)
        return _join(invitation, person)


def accept_as_new(*, token: str, password: str, name: str = "") -> User:
    """Accept an invitation as somebody whom the panel does not know yet.

    Args:
        token: of the link.
        password: of their choice.
        name: what to call them.

    Raises:
        LinkRefused: if the link does not work, or the person exists: they sign in and accept then.
        Problem: if the password is too easy.
    """
    name = check_line(name.strip(), _("The name"), longest=100)
    with transaction.atomic():
        invitation = _locked_by(token)
        if User.objects.filter(email=invitation.email).exists():
            raise LinkRefused(
                _("%(email)s has an account already: sign in first.") % {"email": invitation.email}, 409
            )
        person = create_person(email=invitation.email, password=password, name=name)
        with audit.acting_as(id=person.pk, label=str(person)):
            _join(invitation, person)
    return person


def change_role(*, membership: Membership, role: str) -> None:
    """Change what a member may do.

    Raises:
        Problem: if they are the only owner, or are no member any more.
    """
    role = _checked_role(role)
    with transaction.atomic():
        _lock(membership.customer)
        membership = _current(membership)
        if membership.role == role:
            return
        _check_owner_remains(membership)
        before = membership.role
        membership.role = role
        membership.save(update_fields=["role"])
        audit.record(
            "member.role_changed",
            target=membership.user,
            customer_id=membership.customer_id,
            before={"role": before},
            after={"role": role},
        )


def remove_member(*, membership: Membership) -> None:
    """End a person's part in a customer: from the next page on they see nothing of it.

    Raises:
        Problem: if they are the only owner, or are no member any more.
    """
    with transaction.atomic():
        _lock(membership.customer)
        membership = _current(membership)
        _check_owner_remains(membership)
        audit.record(
            "member.removed",
            target=membership.user,
            customer_id=membership.customer_id,
            before={"role": membership.role},
        )
        membership.delete()


def open_invitations(customer: Customer) -> QuerySet[Invitation]:
    """Return a customer's invitations that nobody accepted, newest first, expired ones included."""
    return Invitation.objects.filter(customer=customer, accepted_at=None)


def sent_jobs(invitation: Invitation) -> QuerySet[Job]:
    """Return the jobs that sent an invitation, newest first."""
    return Job.objects.filter(kind="send_invitation", arguments__invitation_id=invitation.pk)


def _join(invitation: Invitation, person: User) -> Customer:
    invitation.accepted_at = timezone.now()
    invitation.save(update_fields=["accepted_at"])
    membership = Membership.objects.filter(customer=invitation.customer, user=person).first()
    if membership is None:
        add_member(customer=invitation.customer, person=person, role=invitation.role)
    return invitation.customer


def _lock(customer: Customer) -> None:
    if not Customer.objects.select_for_update().filter(pk=customer.pk):
        raise Problem(_("%(customer)s was deleted meanwhile.") % {"customer": customer})


def _locked(invitation: Invitation) -> Invitation:
    found = Invitation.objects.select_for_update().filter(pk=invitation.pk, accepted_at=None).first()
    if found is None:
        raise Problem(_("This invitation was accepted or withdrawn meanwhile."))
    return found


def _locked_by(token: str) -> Invitation:
    Invitation.objects.select_for_update().filter(token_hash=_hash(token)).first()
    return invitation_of(token)


def _current(membership: Membership) -> Membership:
    rows = Membership.objects.select_related("user", "customer")
    found = rows.filter(pk=membership.pk).first()
    if found is None:
        raise Problem(_("%(person)s is no member any more.") % {"person": membership.user})
    return found


def _check_owner_remains(membership: Membership) -> None:
    owners = Membership.objects.filter(
        customer=membership.customer, role=Membership.Role.OWNER, user__is_active=True
    )
    if membership.role == Membership.Role.OWNER and not owners.exclude(pk=membership.pk).exists():
        raise Problem(
            _("%(person)s is the only owner. Make somebody else an owner first.")
            % {"person": membership.user},
            "role",
        )


def _check_stranger(customer: Customer, email: str) -> None:
    if Membership.objects.filter(customer=customer, user__email=email).exists():
        raise Problem(_("%(email)s is a member already.") % {"email": email}, "email")


def _checked_role(role: str) -> str:
    if role not in Membership.Role.values:
        raise Problem(_("Choose a role."), "role")
    return str(Membership.Role(role).value)


def _new_token() -> str:
    return secrets.token_urlsafe(32)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
