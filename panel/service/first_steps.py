"""First steps on the homes of a new installation and a new customer: ticked by what is there, gone when all is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext as _

from panel.accounts.models import User
from panel.accounts.selectors import may_change_some
from panel.addresses import selectors
from panel.service.selectors import Service, served_certificate


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        done: whether what it asks for is there.
        text: what to do.
        why: what it is good for.
        url: where it is done.
    """

    done: bool
    text: str
    why: str
    url: str


def for_admin(person: User, service: Service, *, domains: int, mailboxes: int, now: datetime) -> list[Step]:
    """Return the steps of a new installation; none where all are done, or the person closed them.

    Args:
        person: who asks.
        service: the mail service as it is.
        domains, mailboxes: how many there are.
        now: this moment.
    """
    if person.first_steps_hidden_at:
        return []
    steps = [
        Step(
            domains > 0,
            _("Add your first domain"),
            _("The part of an address after the @."),
            reverse("create_domain"),
        ),
        Step(
            mailboxes > 0,
            _("Create your first mailbox"),
            _("It can receive and be read the moment it is created."),
            reverse("create_mailbox"),
        ),
        _second_factor(person, _("Your password alone should not be the key to everybody's mail.")),
        Step(
            _is_trusted(service, now),
            _("Give the mail service a certificate that everybody trusts"),
            _(
                "Its own is good for trying out; mail programs warn of it. TLS_CERTIFICATE and TLS_KEY name yours."
            ),
            reverse("show_service"),
        ),
        Step(
            bool(settings.ENVIRONMENT.email_url),
            _("Set up the sending of mails"),
            _("Invitations and forgotten passwords are mailed. EMAIL_URL says through which server."),
            reverse("platform_settings"),
        ),
    ]
    return _unless_all_done(steps)


def for_customers_people(person: User) -> list[Step]:
    """Return the steps of a new customer, for those of its people who may take them."""
    if person.first_steps_hidden_at or person.is_admin or not may_change_some(person):
        return []
    steps = [
        Step(
            selectors.living_domains_for(person).exists(),
            _("Have your domain here"),
            _("The part of an address after the @."),
            reverse("list_domains"),
        ),
        Step(
            selectors.in_state(selectors.mailboxes_for(person), "").exists(),
            _("Create your first mailbox"),
            _("It can receive and be read the moment it is created."),
            reverse("create_mailbox"),
        ),
        _second_factor(person, _("Whoever finds out your password can then still not sign in.")),
    ]
    return _unless_all_done(steps)


def _unless_all_done(steps: Sequence[Step]) -> list[Step]:
    return [] if all(step.done for step in steps) else list(steps)


def _second_factor(person: User, why: str) -> Step:
    mine = Authenticator.objects.filter(user=person).exclude(type=Authenticator.Type.RECOVERY_CODES)
    return Step(mine.exists(), _("Set up your second factor"), why, reverse("show_account"))


def _is_trusted(service: Service, now: datetime) -> bool:
    """Whether the certificate is the host's own, and can be used. Our own authority is known to nobody else."""
    served = served_certificate(service, now)
    if served is None:
        return bool(settings.ENVIRONMENT.tls_certificate)
    return not served.ours and served.fits and served.state != "expired"
