"""Invitations: the mail, the link, and each way in which a link does not work."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.conf import settings
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation

from panel.accounts import members
from panel.accounts.members import LinkRefused
from panel.accounts.models import Invitation, Membership, User
from panel.core import jobs
from panel.core.errors import Problem
from panel.core.models import AuditEntry, Job
from tests.cast import PASSWORD, Cast, make_cast
from tests.panel.accounts.test_customers import at_once
from tests.panel.whole_database import tables_that_hold

SignedIn = Callable[[User], Client]

EMAIL = "new@martin.test"
OWN = {"name": "Nora", "password": "violet tractor under 9 moons"}


def invited(cast: Cast, email: str = EMAIL, role: str = "reader") -> str:
    """Invite somebody, have the mail sent, and return the path of the link in it."""
    members.invite(customer=cast.customer, email=email, role=role, invited_by=cast.owner)
    return sent_link()


def sent_link() -> str:
    """Run the jobs that wait and return the path of the newest mailed link."""
    for job in Job.objects.filter(kind="send_invitation", state=Job.State.QUEUED):
        jobs.run(job.pk)
    link = re.search(r"^(\S+)(/invitations/\?token=\S+)$", str(mail.outbox[-1].body), re.MULTILINE)
    assert link
    assert link[1] == settings.ENVIRONMENT.panel_url
    return link[2]


def token_of(path: str) -> str:
    """Return the token of a link."""
    return path.split("=")[1]


def test_owners_and_admins_invite(cast: Cast, signed_in: SignedIn) -> None:
    url = reverse("invite_member", args=[cast.customer.pk])
    for person, status in ((cast.manager, 403), (cast.reader, 403), (cast.stranger, 404)):
        assert signed_in(person).get(url).status_code == status
        assert signed_in(person).post(url, {"email": EMAIL, "role": "owner"}).status_code == status
    assert Client().post(url).status_code == 302
    assert not Invitation.objects.exists()
    assert signed_in(cast.owner).post(url, {"email": EMAIL, "role": "reader"}).status_code == 302
    other = {"email": "other@martin.test", "role": "owner"}
    assert signed_in(cast.admin).post(url, other).status_code == 302
    assert Invitation.objects.count() == 2


def test_the_answer_is_the_same_for_people_who_are_known(cast: Cast, signed_in: SignedIn) -> None:
    client, url = signed_in(cast.owner), reverse("invite_member", args=[cast.customer.pk])
    answers = []
    for email in ("unknown@x.test", cast.stranger.email):
        answer = client.post(url, {"email": email, "role": "reader"}, follow=True)
        page = answer.content.decode().replace(str(email), "THEM")
        page = re.sub(r"invitations/\d+/|csrf\S+ value=\S+", "", page)
        answers.append((answer.status_code, page))
        Invitation.objects.all().delete()
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    "form",
    [
        {"email": "", "role": "reader"},
        {"email": "nobody", "role": "reader"},
        {"email": "a@b.test\nBcc: all@x.test", "role": "reader"},
        {"email": "reader@martin.test", "role": "owner"},
        {"email": EMAIL, "role": ""},
        {"email": EMAIL, "role": "emperor"},
    ],
)
def test_bad_input_invites_nobody(cast: Cast, signed_in: SignedIn, form: dict[str, str]) -> None:
    answer = signed_in(cast.owner).post(reverse("invite_member", args=[cast.customer.pk]), form)
    assert answer.status_code == 422
    assert not Invitation.objects.exists()
    assert not Job.objects.filter(kind="send_invitation").exists()


def test_the_mail_says_who_and_until_when_and_no_row_has_the_token(cast: Cast) -> None:
    token = token_of(invited(cast))
    (message,) = mail.outbox
    assert message.to == [EMAIL]
    assert "Martin SA" in message.subject
    assert "owner@martin.test" in message.body
    assert tables_that_hold(token) == []


def test_somebody_new_chooses_a_password_and_belongs(cast: Cast) -> None:
    link, client = invited(cast, role="manager"), Client()
    page = client.get(link)
    assert page.status_code == 200
    assert EMAIL in page.content.decode()
    assert "no-store" in page["Cache-Control"]
    assert client.post(link, OWN | {"password": "short"}).status_code == 422
    assert not User.objects.filter(email=EMAIL).exists()
    assert client.post(link, OWN)["Location"] == reverse(settings.LOGIN_URL)
    person = User.objects.get(email=EMAIL)
    assert person.check_password(OWN["password"])
    assert (person.name, Membership.objects.get(user=person).role) == ("Nora", "manager")
    joined = AuditEntry.objects.get(action="member.joined", target_id=person.pk)
    assert (joined.actor, joined.actor_id, joined.remote_ip) == (EMAIL, person.pk, "127.0.0.1")


def test_somebody_known_signs_in_and_accepts(cast: Cast, signed_in: SignedIn) -> None:
    link = invited(cast, email="stranger@other.test", role="owner")
    page = Client().get(link).content.decode()
    assert f"{reverse(settings.LOGIN_URL)}?{urlencode({'next': link})}" in page
    assert 'type="password"' not in page
    assert Client().post(link, OWN).status_code == 200
    assert cast.stranger.check_password(PASSWORD)
    client = signed_in(cast.stranger)
    assert client.get(link).status_code == 200
    assert not Membership.objects.filter(user=cast.stranger, customer=cast.customer).exists()
    assert client.post(link)["Location"] == reverse("home")
    assert Membership.objects.get(user=cast.stranger, customer=cast.customer).role == "owner"


def test_a_link_is_for_one_person(cast: Cast, signed_in: SignedIn) -> None:
    link = invited(cast)
    answer = signed_in(cast.stranger).post(link)
    assert answer.status_code == 403
    assert "Sign out" in answer.content.decode()
    assert not Membership.objects.filter(user=cast.stranger, customer=cast.customer).exists()
    with pytest.raises(LinkRefused, match="is for"):
        members.accept(token=token_of(link), person=cast.stranger)


def test_a_link_works_once(cast: Cast) -> None:
    link = invited(cast)
    assert Client().post(link, OWN).status_code == 302
    for answer in (Client().get(link), Client().post(link, OWN)):
        assert answer.status_code == 410
        assert "accepted already" in answer.content.decode()
    assert User.objects.filter(email=EMAIL).count() == 1


def test_an_old_link_is_refused_and_works_when_sent_again(cast: Cast) -> None:
    old = invited(cast)
    Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    answer = Client().post(old, OWN)
    assert answer.status_code == 410
    assert "too old" in answer.content.decode()
    Job.objects.update(created_at=timezone.now() - timedelta(minutes=2))
    members.send_again(invitation=Invitation.objects.get())
    new = sent_link()
    assert Client().get(old).status_code == 404
    assert Client().post(new, OWN).status_code == 302


def test_withdrawn_and_tampered_links_are_refused_in_words(cast: Cast, signed_in: SignedIn) -> None:
    link = invited(cast)
    for path in (link[:-1], f"{link}x", *(f"/invitations/{end}" for end in ("", "?token=%00", "?token=é"))):
        answer = Client().get(path)
        assert answer.status_code == 404
        assert "not whole" in answer.content.decode()
    args = [cast.customer.pk, Invitation.objects.get().pk]
    assert signed_in(cast.owner).post(reverse("withdraw_invitation", args=args)).status_code == 302
    answer = Client().post(link, OWN)
    assert answer.status_code == 404
    assert "withdrawn" in answer.content.decode()
    assert not User.objects.filter(email=EMAIL).exists()


@pytest.mark.parametrize("name", ["send_invitation_again", "withdraw_invitation"])
def test_who_sends_again_and_withdraws(cast: Cast, signed_in: SignedIn, name: str) -> None:
    invited(cast)
    Job.objects.update(created_at=timezone.now() - timedelta(minutes=2))
    url = reverse(name, args=[cast.customer.pk, Invitation.objects.get().pk])
    for person, status in ((cast.manager, 403), (cast.reader, 403), (cast.stranger, 404)):
        assert signed_in(person).post(url).status_code == status
    assert Client().post(url).status_code == 302
    assert signed_in(cast.owner).get(url).status_code == 405
    assert Job.objects.filter(kind="send_invitation").count() == 1
    assert Invitation.objects.count() == 1
    assert signed_in(cast.owner).post(url).status_code == 302
    elsewhere = reverse(name, args=[cast.other_customer.pk, 1])
    assert signed_in(cast.stranger).post(elsewhere).status_code == 404


def test_nobody_is_flooded(cast: Cast) -> None:
    invited(cast)
    with pytest.raises(Problem, match="a moment ago"):
        members.send_again(invitation=Invitation.objects.get())
    with pytest.raises(Problem, match="invited already"):
        members.invite(customer=cast.customer, email=EMAIL.upper(), role="owner")
    assert len(mail.outbox) == 1


def test_a_mail_server_that_refuses_is_seen_and_tried_again(
    cast: Cast, signed_in: SignedIn, settings: object
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"  # type: ignore[attr-defined]
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1  # type: ignore[attr-defined]
    members.invite(customer=cast.customer, email=EMAIL, role="reader")
    job = Job.objects.get(kind="send_invitation")
    jobs.run(job.pk)
    job.refresh_from_db()
    assert job.state == Job.State.QUEUED
    assert "refused" in job.error
    page = signed_in(cast.owner).get(reverse("list_members", args=[cast.customer.pk])).content.decode()
    assert "Not mailed yet" in page
    assert "refused" not in page


def test_nothing_is_mailed_for_what_was_withdrawn_meanwhile(cast: Cast) -> None:
    invitation = members.invite(customer=cast.customer, email=EMAIL, role="reader")
    members.withdraw(invitation=invitation)
    jobs.run(Job.objects.get(kind="send_invitation").pk)
    assert Job.objects.get(kind="send_invitation").report == {"sent": False}
    assert mail.outbox == []


def test_an_invitation_of_a_member_gives_no_second_membership(cast: Cast, signed_in: SignedIn) -> None:
    link = invited(cast, email="stranger@other.test", role="owner")
    members.add_member(customer=cast.customer, person=cast.stranger, role="reader")
    assert signed_in(cast.stranger).post(link).status_code == 302
    assert Membership.objects.get(user=cast.stranger, customer=cast.customer).role == "reader"


@pytest.mark.django_db(transaction=True)
def test_a_link_opened_twice_at_once_makes_one_person() -> None:
    cast = make_cast()
    token = token_of(invited(cast))

    def accept() -> object:
        return members.accept_as_new(token=token, password=OWN["password"])

    outcomes = at_once(accept, accept, accept)
    assert outcomes.count("done") == 1, outcomes
    assert Membership.objects.filter(user__email=EMAIL).count() == 1


@pytest.mark.django_db(transaction=True)
def test_one_person_invited_twice_at_once_gets_one_invitation() -> None:
    cast = make_cast()

    def invite() -> object:
        return members.invite(customer=cast.customer, email=EMAIL, role="reader")

    assert at_once(invite, invite).count("done") == 1
    assert Invitation.objects.count() == 1


@pytest.mark.parametrize(
    ("inviter", "invited_person", "subject"),
    [
        ("fr", "", "Invitation à rejoindre "),
        ("en", "fr", "Invitation à rejoindre "),
        ("fr", "en", "Invitation to "),
        ("en", "", "Invitation to "),
    ],
)
def test_the_mail_speaks_as_the_invited_chose_else_as_the_inviter(
    cast: Cast, inviter: str, invited_person: str, subject: str
) -> None:
    email = EMAIL
    if invited_person:
        User.objects.filter(pk=cast.stranger.pk).update(language=invited_person)
        email = str(cast.stranger.email)
    with translation.override(inviter):
        members.invite(customer=cast.customer, email=email, role="reader", invited_by=cast.owner)
    with translation.override("en"):  # the worker's
        sent_link()
    assert mail.outbox[-1].subject == f"{subject}{cast.customer}"
    assert ("à" in str(mail.outbox[-1].body)) == subject.startswith("Invitation à")
