"""Connections in words, and what to do about each."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from panel.addresses.inherited import PopPolicy
from panel.addresses.models import Domain, Mailbox
from panel.connections.models import Connection, LogGap
from panel.connections.names import SHOWN, Mistake, harmless, mailboxes_meant, mistake_in
from panel.connections.words import advice, gap_in_words, in_words
from tests.cast import Cast
from tests.panel.connections.mailbox_rows import a_refusal, a_session

NOW = timezone.now()
MAILBOX = Mailbox(local_part="anna", address="anna@example.fr", domain=Domain(name="example.fr"))
#: What mail programs and attackers call themselves.
HOSTILE = (
    'it\'s "quoted"\r\nand more',
    "\x1b[31mred\x1b[0m\x00",
    "<script>alert(1)</script>",
    "\u202eevil",
    "x" * 10_000,
)


def session(**given: Any) -> Connection:
    """Return a session that nobody saved."""
    values: dict[str, Any] = {
        "protocol": "imap",
        "outcome": "accepted",
        "reason": "logged_out",
        "remote_ip": "192.0.2.7",
        "started_at": NOW - timedelta(hours=2),
        "ended_at": NOW,
        "retrieved": 0,
        "deleted": 0,
        "expunged": 0,
    }
    return Connection(**{**values, **given})


def refusal(reason: str, **given: Any) -> Connection:
    """Return a refusal that nobody saved."""
    return session(outcome="refused", reason=reason, started_at=NOW, **given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"protocol": "pop3", "retrieved": 14, "deleted": 14, "expunged": 14},
            "POP from 192.0.2.7 downloaded 14 messages and deleted them from the server.",
        ),
        (
            {"protocol": "pop3", "retrieved": 1, "deleted": 1, "expunged": 1},
            "POP from 192.0.2.7 downloaded 1 message and deleted it from the server.",
        ),
        (
            {"protocol": "pop3", "retrieved": 14, "deleted": 14},
            "POP from 192.0.2.7 downloaded 14 messages and deleted them for POP: "
            "POP does not show them any more, IMAP still does.",
        ),
        (
            {"protocol": "pop3", "retrieved": 3, "deleted": 1},
            "POP from 192.0.2.7 downloaded 3 messages. "
            "It deleted 1 message for POP: POP does not show it any more, IMAP still does.",
        ),
        (
            {"protocol": "pop3", "retrieved": 3, "deleted": 2, "expunged": 2},
            "POP from 192.0.2.7 downloaded 3 messages. It deleted 2 messages from the server.",
        ),
        (
            {"protocol": "pop3", "retrieved": 2},
            "POP from 192.0.2.7 downloaded 2 messages. It left them on the server.",
        ),
        (
            {"protocol": "pop3", "retrieved": 2, "deleted": 2, "expunged": None},
            "POP from 192.0.2.7 downloaded and deleted 2 messages.",
        ),
        (
            {"protocol": "pop3", "retrieved": 2, "deleted": 1, "expunged": None},
            "POP from 192.0.2.7 downloaded 2 messages. It deleted 1 message.",
        ),
        ({"protocol": "pop3"}, "POP from 192.0.2.7 looked for mail and downloaded no message."),
        (
            {"client_name": "Thunderbird", "client_version": "128.2", "retrieved": 3},
            "IMAP from 192.0.2.7 (Thunderbird 128.2) was signed in for 2\xa0hours and downloaded 3 messages.",
        ),
        (
            {"started_at": NOW - timedelta(seconds=1), "retrieved": 1, "expunged": 1},
            "IMAP from 192.0.2.7 was signed in for 1 second and downloaded 1 message. "
            "It deleted 1 message, or moved it to another folder.",
        ),
        (
            {"deleted": 2},
            "IMAP from 192.0.2.7 was signed in for 2\xa0hours and downloaded no message. "
            "It marked 2 messages as deleted, which are still there.",
        ),
        ({"retrieved": None}, "IMAP from 192.0.2.7 was signed in for 2\xa0hours."),
        ({"ended_at": None, "reason": ""}, "IMAP from 192.0.2.7 is signed in now."),
        (
            {"retrieved": None, "reason": "kicked"},
            "IMAP from 192.0.2.7 was signed in for 2\xa0hours. "
            "The server ended it, as it does after a new password or another change of the mailbox.",
        ),
        ({"remote_ip": "", "ended_at": None}, "IMAP from an unknown place is signed in now."),
    ],
)
def test_sessions(given: dict[str, Any], words: str) -> None:
    assert in_words(session(**given)) == words


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (PopPolicy("delete"), "downloaded 2 messages and deleted them from the server."),
        (PopPolicy("keep"), "deleted them for POP: POP does not show them any more, IMAP still does."),
        (
            PopPolicy("keep_days", 30),
            "deleted them for POP: POP does not show them any more, IMAP still does.",
        ),
    ],
)
def test_what_became_of_what_pop_deleted_is_what_the_mailbox_has_it_do(policy: PopPolicy, words: str) -> None:
    row = session(protocol="pop3", retrieved=2, deleted=2, expunged=None)
    assert words in in_words(row, pop=policy)
    assert ("Other devices do not find" in advice(row, pop=policy)) == (policy.deletes == "delete")


def test_a_clock_that_was_set_back_gives_no_negative_time() -> None:
    assert "for less than a second" in in_words(session(started_at=NOW + timedelta(hours=1)))


def test_refusals_say_what_happened_and_what_to_do() -> None:
    for reason in Connection.Refusal.values:
        row = refusal(reason, address="anna@example.fr")
        assert in_words(row).endswith("."), reason
        assert "192.0.2.7" in in_words(row), reason
        assert advice(row, mailbox=MAILBOX), reason
    assert in_words(refusal("wrong_password")) == "Somebody at 192.0.2.7 tried a wrong password."
    assert in_words(refusal("a reason of tomorrow")) == "Somebody at 192.0.2.7 was turned away."
    assert "without a user name" in in_words(refusal("unknown_address", address=""))


@pytest.mark.parametrize(
    ("tried", "mistake", "words"),
    [
        ("anna", Mistake.NO_DOMAIN, "lacks @example.fr: type anna@example.fr"),
        ("anna ", Mistake.NO_DOMAIN, "lacks @example.fr"),
        ("anna@example.com", Mistake.WRONG_DOMAIN, "What follows the @ is not right: type anna@example.fr"),
        ("anna@", Mistake.WRONG_DOMAIN, "What follows the @"),
        ("anna@example.fr.", Mistake.BADLY_WRITTEN, "exactly as anna@example.fr"),
        (" ANNA@Example.FR ", Mistake.BADLY_WRITTEN, "exactly as anna@example.fr"),
        ("anna @example.fr", Mistake.BADLY_WRITTEN, "exactly as anna@example.fr"),
        ("<anna@example.fr>", Mistake.BADLY_WRITTEN, "exactly as anna@example.fr"),
        ("ana@example.fr", Mistake.MISSPELT, "type anna@example.fr"),
        ("bob@example.fr", None, "The user name is the whole address"),
        ("bob", None, "The user name is the whole address"),
        ("", None, "The user name is the whole address"),
        ("x" * 254, None, "The user name is the whole address"),
    ],
)
def test_misspelt_names(tried: str, mistake: Mistake | None, words: str) -> None:
    assert mistake_in(tried, MAILBOX) is mistake
    assert words in advice(refusal("unknown_address", address=tried), mailbox=MAILBOX)


def test_nothing_is_promised_of_a_password_that_was_not_looked_at() -> None:
    said = advice(refusal("unknown_address", address="anna"), mailbox=MAILBOX)
    assert "Whether the password is right shows only then." in said


def test_a_name_without_its_domain_is_one_of_those_that_the_person_sees(cast: Cast) -> None:
    assert mailboxes_meant(cast.owner, ["anna", "anna@elsewhere.test", "nobody", ""]) == {
        "anna": cast.mailbox
    }
    assert mailboxes_meant(cast.stranger, ["anna"]) == {}


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (PopPolicy("keep_days", 30), "A copy stays on the server for 30 days, and IMAP shows it."),
        (PopPolicy("keep_days", 1), "A copy stays on the server for 1 day, and IMAP shows it."),
        (PopPolicy("keep"), "one that uses IMAP still does"),
    ],
)
def test_pop_that_deletes_says_what_other_devices_find(policy: PopPolicy, words: str) -> None:
    row = session(protocol="pop3", retrieved=2, deleted=2)
    assert words in advice(row, pop=policy)
    assert "Another device that uses POP does not find these messages any more" in advice(row, pop=policy)


def test_what_pop_deleted_at_once_is_gone_whatever_counts_today() -> None:
    row = session(protocol="pop3", retrieved=2, deleted=2, expunged=2)
    assert "Other devices do not find these messages any more." in advice(row, pop=PopPolicy("keep_days", 30))


def test_the_policy_is_the_mailboxs_own_or_an_inherited_one(cast: Cast) -> None:
    row = a_session(cast.mailbox, protocol="pop3", retrieved=1, deleted=1)
    assert "for 30 days" in advice(row)
    cast.domain.pop_deletes, cast.domain.pop_keep_days = "keep_days", 7
    cast.domain.save()
    assert "for 7 days" in advice(Connection.objects.get(pk=row.pk))


def test_the_log_outlives_its_mailbox(cast: Cast) -> None:
    row = a_session(cast.mailbox, protocol="pop3", retrieved=1, deleted=1, expunged=None)
    Mailbox.objects.filter(pk=cast.mailbox.pk).delete()
    assert "Another device that uses POP does not find these messages any more." in advice(
        Connection.objects.get(pk=row.pk)
    )


def test_sessions_that_did_nothing_worth_a_word_get_no_advice() -> None:
    assert advice(session()) == ""
    assert advice(session(protocol="pop3", retrieved=2)) == ""
    assert advice(session(ended_at=None)) == ""


@pytest.mark.parametrize(
    ("ports", "protocol", "words"),
    [
        ({}, "imap", "port {imaps} with SSL/TLS; or port {imap} with STARTTLS"),
        ({}, "pop3", "port {pop3s} with SSL/TLS; or port {pop3} with STARTTLS"),
        ({"imap": 0}, "imap", "choose port {imaps} with SSL/TLS."),
        ({"pop3s": 0}, "pop3", "choose STARTTLS with port {pop3}."),
    ],
)
def test_the_ports_are_those_of_this_installation(
    settings: Any, ports: dict[str, int], protocol: str, words: str
) -> None:
    there = dataclasses.replace(settings.ENVIRONMENT.mail_ports, **ports)
    settings.ENVIRONMENT = dataclasses.replace(settings.ENVIRONMENT, mail_ports=there)
    said = advice(refusal("no_tls", protocol=protocol))
    assert words.format(**dataclasses.asdict(there)) in said
    assert ("POP" if protocol == "pop3" else "IMAP") in said


def test_failed_encryption_names_the_server(settings: Any) -> None:
    assert settings.ENVIRONMENT.mail_host in advice(refusal("tls_failed"))


@pytest.mark.parametrize("text", HOSTILE)
def test_what_others_chose_stays_one_short_line(text: str) -> None:
    row = refusal("unknown_address", address=text[:254], client_name=text[:100])
    for said in (in_words(row), in_words(session(client_name=text[:100])), harmless(text)):
        assert said.replace("\xa0", " ").isprintable()
    assert len(harmless(text)) <= SHOWN + 1


def test_gaps_say_why() -> None:
    for cause in LogGap.Cause.values:
        assert "Connections of this time may be missing: " in gap_in_words(LogGap(cause=cause))
    assert gap_in_words(LogGap(cause="tomorrow's")) == "Connections of this time may be missing."


def test_refused_rows_are_told_without_a_question(cast: Cast, django_assert_num_queries: Any) -> None:
    row = a_refusal(cast.mailbox)
    with django_assert_num_queries(0):
        assert in_words(row)
        assert advice(row)
