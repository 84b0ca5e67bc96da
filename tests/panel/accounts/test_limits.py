"""Limits: counted before a hash, by whom and from where, and nobody is kept out by a stranger for ever."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from panel.accounts import limits
from panel.accounts.limits import ACCOUNT, ACCOUNT_NETWORK, EVERYBODY, NETWORK, Busy, Limit, Rule, TooMany
from panel.accounts.models import Attempts
from panel.core.models import AuditEntry
from tests.cast import PASSWORD, Cast
from tests.panel.accounts.test_sign_in import hashes, post

__all__ = ["hashes"]
pytestmark = pytest.mark.django_db

RULE = Rule("test", 3, 60)


def take(limit: Limit) -> bool:
    """Take a place, and say whether there was one."""
    try:
        limits.take([limit])
    except TooMany:
        return False
    return True


def test_places_are_taken_and_given_back() -> None:
    limit = Limit.of(RULE, "a")
    assert [take(limit) for _ in range(5)] == [True, True, True, False, False]
    limits.give_back([limit])
    assert [take(limit), take(limit)] == [True, False]
    assert take(Limit.of(RULE, "b"))


def test_last_place_is_said() -> None:
    limit = Limit.of(RULE, "a")
    assert [limits.take([limit]) for _ in range(3)] == [False, False, True]


def test_all_or_none() -> None:
    full, free = Limit.of(RULE, "full"), Limit.of(Rule("other", 3, 60), "free")
    for _ in range(3):
        limits.take([full])
    for _ in range(9):
        assert not take(full)
    with pytest.raises(TooMany):
        limits.take([free, full])
    assert not Attempts.objects.filter(key=free.key).exists()


def test_window_ends_however_hard_somebody_knocks() -> None:
    limit = Limit.of(RULE, "a")
    for _ in range(3):
        limits.take([limit])
    end = Attempts.objects.get().ends_at
    for _ in range(10):
        assert not take(limit)
    assert Attempts.objects.get().ends_at == end
    Attempts.objects.update(ends_at=1)
    assert take(limit)
    assert Attempts.objects.get().count == 1


def test_old_windows_are_forgotten() -> None:
    limits.take([Limit.of(RULE, "a"), Limit.of(Rule("b", 1, 60), "b")])
    Attempts.objects.filter(key__startswith="test:").update(ends_at=1)
    assert limits.forget_old() == 1
    assert Attempts.objects.count() == 1


@pytest.mark.parametrize(
    ("remote_ip", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", "unknown"),
        ("x", "unknown"),
    ],
)
def test_networks(remote_ip: str, network: str) -> None:
    assert limits.network_of(remote_ip) == network


def test_one_account_whatever_way_it_is_typed() -> None:
    keys = {
        Limit.of(ACCOUNT, limits.normalised(name)).key
        for name in (" Ann@Host.test", "ann@host.TEST ", "ａnn@host.test")
    }
    assert len(keys) == 1
    assert not any("ann" in key for key in keys)


@pytest.mark.django_db(transaction=True)
def test_two_at_once_count_two() -> None:
    limit = Limit.of(Rule("race", 10, 60), "x")
    taken: list[bool] = []

    def go() -> None:
        for _ in range(5):
            taken.append(take(limit))
        connection.close()

    threads = [threading.Thread(target=go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (taken.count(True), taken.count(False)) == (10, 10)


def test_turnstile_lets_few_in_and_sends_the_rest_away() -> None:
    turnstile = limits.Turnstile(at_once=1, waiting=1, patience=0.05)
    with turnstile.turn():
        with pytest.raises(Busy), turnstile.turn():
            raise AssertionError("Nobody gets in beside.")
        inside = threading.Event()
        waiting = threading.Thread(
            target=lambda: _wait(limits.Turnstile(at_once=1, waiting=0, patience=0), inside)
        )
        waiting.start()
        waiting.join()
    with turnstile.turn():
        assert inside.is_set()


def _wait(turnstile: limits.Turnstile, inside: threading.Event) -> None:
    with turnstile.turn():
        inside.set()


def test_busy_is_said_and_counts_nothing(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    full = limits.Turnstile(at_once=1, waiting=0, patience=0)
    monkeypatch.setattr(limits, "hashing", full)
    with full.turn():
        answer = post(Client(), "admin@host.test", PASSWORD)
    assert (answer.status_code, answer["Retry-After"]) == (503, "2")
    assert "Try again in a few seconds" in answer.content.decode()
    assert set(Attempts.objects.values_list("count", flat=True)) == {0}
    assert post(Client(), "admin@host.test", PASSWORD).status_code == 302


def test_guessing_at_an_account_ends_before_the_hash(cast: Cast, hashes: list[str]) -> None:
    client = Client()
    answers = [post(client, "admin@host.test", f"guess-{n}") for n in range(60)]
    assert [answer.status_code for answer in answers] == [200] * 10 + [429] * 50
    assert len(hashes) == ACCOUNT_NETWORK.most
    assert 0 < int(answers[-1]["Retry-After"]) <= ACCOUNT_NETWORK.seconds
    assert "Wait 15 minutes" in answers[-1].content.decode()
    assert post(client, "admin@host.test", PASSWORD).status_code == 429
    assert AuditEntry.objects.filter(action="sign_in.failed").count() == 10
    assert AuditEntry.objects.filter(action="sign_in.limited").count() == 1


def test_guessing_at_unknown_people_ends_alike(cast: Cast, hashes: list[str]) -> None:
    client = Client()
    statuses = [post(client, "nobody@host.test", f"guess-{n}").status_code for n in range(20)]
    assert statuses == [200] * 10 + [429] * 10
    assert len(hashes) == 10


def test_one_network_guesses_at_few_people(cast: Cast, hashes: list[str]) -> None:
    statuses = [
        post(Client(), f"p{n}@host.test", "guess", REMOTE_ADDR="192.0.2.1").status_code for n in range(50)
    ]
    assert statuses.count(200) == len(hashes) == NETWORK.most
    assert post(Client(), "admin@host.test", PASSWORD, REMOTE_ADDR="192.0.2.2").status_code == 302


def test_many_networks_guess_at_one_person_within_limits(cast: Cast, hashes: list[str]) -> None:
    statuses = [
        post(Client(), "admin@host.test", "guess", REMOTE_ADDR=f"192.0.2.{n}").status_code for n in range(150)
    ]
    assert statuses.count(200) == len(hashes) == ACCOUNT.most


@pytest.mark.long
def test_all_together_are_limited(cast: Cast, hashes: list[str]) -> None:
    statuses = [
        post(Client(), f"p{n}@host.test", "guess", REMOTE_ADDR=f"10.0.{n // 250}.{n % 250}").status_code
        for n in range(EVERYBODY.most + 20)
    ]
    assert statuses.count(200) == len(hashes) == EVERYBODY.most


def test_owner_gets_in_from_their_browser_while_strangers_guess(cast: Cast) -> None:
    theirs = Client()
    assert post(theirs, "admin@host.test", PASSWORD).status_code == 302
    theirs.post(reverse("account_logout"))
    for n in range(ACCOUNT.most + 5):
        post(Client(), "admin@host.test", "guess", REMOTE_ADDR=f"192.0.2.{n}")
    assert post(Client(), "admin@host.test", PASSWORD, REMOTE_ADDR="198.51.100.1").status_code == 429
    assert post(theirs, "admin@host.test", PASSWORD).status_code == 302


def test_known_browser_is_limited_too_and_for_its_people_alone(cast: Cast) -> None:
    theirs = Client()
    post(theirs, "owner@martin.test", PASSWORD)
    theirs.post(reverse("account_logout"))
    statuses = [post(theirs, "owner@martin.test", "guess").status_code for _ in range(12)]
    assert statuses == [200] * 10 + [429] * 2
    assert [post(theirs, "admin@host.test", "guess").status_code for _ in range(12)] == [200] * 10 + [429] * 2


@pytest.mark.parametrize("value", ["", "x", "a:b:c", "W10:1abc:xyz"])
def test_forged_browser_is_a_stranger(cast: Cast, value: str) -> None:
    client = Client()
    client.cookies["device"] = value
    assert [post(client, "admin@host.test", "guess").status_code for _ in range(11)][-1] == 429


def test_success_counts_nothing(cast: Cast) -> None:
    for _ in range(ACCOUNT_NETWORK.most + 5):
        assert post(Client(), "admin@host.test", PASSWORD).status_code == 302


def test_confirming_and_changing_a_password_are_limited(
    cast: Cast, signed_in: Any, hashes: list[str]
) -> None:
    client = signed_in(cast.owner)
    statuses = [
        client.post(reverse("account_reauthenticate"), {"password": "x"}).status_code for _ in range(12)
    ]
    assert statuses == [200] * 10 + [429] * 2
    hashes.clear()
    new = {"old_password": PASSWORD, "new_password1": "my-own-password", "new_password2": "my-own-password"}
    assert client.post(reverse("change_password"), new).status_code == 429
    assert hashes == []
