"""A new password by a mailed link: the same answer for everybody, and the second factor stays."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from panel.accounts.models import Customer, User
from panel.core import jobs
from panel.core.models import AuditEntry, Job
from tests.cast import PASSWORD, Cast
from tests.panel.accounts.test_second_factor import set_up

SignedIn = Callable[[User], Client]
pytestmark = pytest.mark.django_db

NEW = "another-good-passw0rd"


def ask(email: str, **headers: str) -> int:
    """Ask for a link, and let the worker send what there is to send."""
    answer = Client().post(reverse("account_reset_password"), {"email": email}, headers=headers)
    if answer.status_code == 302:
        assert answer["Location"] == reverse("account_reset_password_done")
        jobs.run(Job.objects.latest("id").pk)
    return answer.status_code


def link() -> str:
    """Return the path of the link in the last mail."""
    found = re.search(
        r"^http://localhost:8000(/password/new/\?key=\S+)$", str(mail.outbox[-1].body), re.MULTILINE
    )
    assert found is not None
    return found[1]


def choose(client: Client, path: str, password: str = NEW) -> int:
    """Follow a link and choose a password."""
    form = client.get(path)
    assert form.status_code == 302
    assert client.get(form["Location"]).status_code == 200
    data = {"new_password1": password, "new_password2": password}
    return client.post(form["Location"], data).status_code


def test_link_sets_a_password_and_ends_sessions(cast: Cast, signed_in: SignedIn) -> None:
    open_session = signed_in(cast.owner)
    ask("Owner@Martin.test")
    client = Client()
    assert choose(client, link()) == 302
    assert "_auth_user_id" not in client.session
    assert open_session.get(reverse("home")).status_code == 302
    for password, status in ((PASSWORD, 200), (NEW, 302)):
        data = {"username": cast.owner.email, "password": password}
        assert Client().post(reverse("account_login"), data).status_code == status
    assert AuditEntry.objects.filter(action="sign_in.reset", target=cast.owner.email).count() == 1


def test_link_comes_from_the_public_address(cast: Cast) -> None:
    ask("owner@martin.test", host="127.0.0.1")
    assert "127.0.0.1" not in mail.outbox[-1].body
    assert mail.outbox[-1].to == ["owner@martin.test"]


def test_link_works_once(cast: Cast) -> None:
    ask("owner@martin.test")
    path = link()
    assert choose(Client(), path) == 302
    assert "no longer works" in Client().get(path, follow=True).content.decode()


def test_easy_password_is_refused(cast: Cast) -> None:
    ask("owner@martin.test")
    assert choose(Client(), link(), "password") == 200
    cast.owner.refresh_from_db()
    assert cast.owner.check_password(PASSWORD)


@pytest.mark.parametrize(
    "path",
    [
        "1-set-password/",
        "1-x/",
        "0-0/",
        "-/",
        "1-abc-def/",
        "",
        "?key=",
        "?key=1",
        "?key=1-x",
        "?key=zzzzzzzz-abc-def",
        "?key=%00-%00",
        "?key=99999999999999999999-a",
        "?key=1-" + "a" * 9999,
    ],
)
def test_invented_links_do_nothing(cast: Cast, path: str) -> None:
    answer = Client().get(f"/password/new/{path}", follow=True)
    assert answer.status_code in (200, 404)
    assert b"new_password1" not in answer.content


def test_unknown_and_known_are_answered_alike(cast: Cast) -> None:
    Customer.objects.filter(pk=cast.other_customer.pk).update(suspended_at=timezone.now())
    User.objects.create(kind=User.Kind.MAILBOX, name="box@martin.test")
    for email in ("nobody@host.test", "stranger@other.test", "box@martin.test", str(cast.mailbox.address)):
        assert ask(email) == 302
    assert mail.outbox == []
    kinds = list(Job.objects.filter(kind="mail_password_reset").values_list("state", flat=True))
    assert kinds == ["done"] * 4


def test_second_factor_stays(cast: Cast, signed_in: SignedIn) -> None:
    set_up(signed_in(cast.owner))
    ask("owner@martin.test")
    assert choose(Client(), link()) == 302
    data = {"username": cast.owner.email, "password": NEW}
    assert Client().post(reverse("account_login"), data)["Location"] == reverse("mfa_authenticate")


def test_mail_speaks_their_language(cast: Cast) -> None:
    User.objects.filter(pk=cast.owner.pk).update(language="fr")
    ask("owner@martin.test", **{"accept-language": "en"})
    assert link()
    assert mail.outbox[0].subject == "Nouveau mot de passe pour Restante"
    assert str(mail.outbox[0].body).startswith("Bonjour,")


def test_asking_is_limited_alike(cast: Cast) -> None:
    for email in ("owner@martin.test", "nobody@host.test"):
        assert [ask(email) for _ in range(5)] == [302, 302, 302, 429, 429]
    assert len(mail.outbox) == 3


@pytest.mark.parametrize("email", ["", "x", "a@b\n.test", "a\x00@b.test", "x" * 300 + "@a.test"])
def test_bad_email_is_said(cast: Cast, email: str) -> None:
    assert ask(email) == 400
