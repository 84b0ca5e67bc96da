"""In which language people are answered: as their browser asks, as they chose, as their account says."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from panel.accounts.models import User
from tests.cast import Cast

SignedIn = Callable[[User], Client]
pytestmark = pytest.mark.django_db


def language_of(client: Client, path: str, **headers: str) -> str:
    """Return the language that a page says it is in."""
    page = client.get(path, headers=headers).content.decode()
    return page.partition('<html lang="')[2].partition('"')[0]


@pytest.mark.parametrize(
    ("asked", "answered"), [("fr-CH, fr;q=0.9, en;q=0.8", "fr"), ("de", "en"), ("", "en")]
)
def test_strangers_are_answered_as_their_browser_asks(asked: str, answered: str) -> None:
    assert language_of(Client(), reverse("account_login"), **{"accept-language": asked}) == answered


def test_strangers_choose_and_come_back_to_their_page() -> None:
    client = Client()
    page = f"{reverse('account_login')}?next=/domains/"
    assert 'name="language" value="fr"' in client.get(page).content.decode()
    answer = client.post(reverse("choose_language"), {"language": "fr", "next": page})
    assert answer.headers["Location"] == page
    assert answer.cookies["language"]["httponly"]
    assert language_of(client, page, **{"accept-language": "en"}) == "fr"
    assert "Mot de passe" in client.get(page).content.decode()


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.test/", "//evil.test/", "/\\evil.test", "javascript:alert(1)", ""]
)
def test_choosing_leads_nowhere_else(elsewhere: str) -> None:
    answer = Client().post(reverse("choose_language"), {"language": "fr", "next": elsewhere})
    assert answer.headers["Location"] == reverse("home")


def test_a_language_that_there_is_not_is_not_kept() -> None:
    answer = Client().post(reverse("choose_language"), {"language": "xx", "next": "/sign-in/"})
    assert answer.status_code == 302
    assert "language" not in answer.cookies


def test_the_account_counts_more_than_the_browser(cast: Cast, signed_in: SignedIn) -> None:
    client = signed_in(cast.owner)
    client.post(reverse("show_account"), {"language": "fr"})
    assert language_of(client, reverse("show_account"), **{"accept-language": "en"}) == "fr"
    client.post(reverse("account_logout"))
    assert language_of(client, reverse("account_login"), **{"accept-language": "en"}) == "fr"


def test_as_the_browser_asks_forgets_what_was_chosen_there(cast: Cast, signed_in: SignedIn) -> None:
    client = signed_in(cast.owner)
    client.post(reverse("show_account"), {"language": "fr"})
    client.post(reverse("show_account"), {"language": ""})
    assert language_of(client, reverse("show_account"), **{"accept-language": "en"}) == "en"


def test_whoever_must_choose_a_password_may_choose_a_language_first(cast: Cast, signed_in: SignedIn) -> None:
    User.objects.filter(pk=cast.owner.pk).update(must_change_password=True)
    client = signed_in(cast.owner)
    client.post(reverse("choose_language"), {"language": "fr", "next": reverse("change_password")})
    cast.owner.refresh_from_db()
    assert cast.owner.language == "fr"
    assert language_of(client, reverse("change_password"), **{"accept-language": "en"}) == "fr"


def test_a_refusal_is_not_in_the_language_of_whoever_was_answered_before() -> None:
    client = Client()
    assert language_of(client, reverse("account_login"), **{"accept-language": "fr"}) == "fr"
    assert language_of(client, "/", **{"accept-language": "en", "host": "not-ours.test"}) == "en"
    assert language_of(client, "/", **{"accept-language": "fr", "host": "not-ours.test"}) == "fr"
