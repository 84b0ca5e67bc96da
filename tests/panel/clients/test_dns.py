"""The page of a domain's DNS: verdicts on what the DNS says, whatever that is, and a page that never waits for it."""

from __future__ import annotations

import dataclasses
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbackend.config import Ports
from panel.accounts.models import User
from panel.addresses.services import create_domain
from panel.clients import dns_answers, dns_looks
from panel.clients.dns_answers import Answer, Further, Outcome, Question, ask
from panel.clients.dns_looks import Look, known_of
from panel.clients.dns_standing import standing_of
from panel.clients.dns_verdicts import (
    State,
    Verdict,
    further_questions,
    judge,
    overall,
    questions_about,
)
from panel.clients.records import Subject, wanted_records, zone_file
from tests.cast import Cast
from tests.dns_server import DnsServer

pytestmark = pytest.mark.django_db
SignedIn = Callable[[User], Client]

NAME = "shop.example"
PANEL = ("panel.host.example A 192.0.2.1", "panel.host.example AAAA 2001:db8::1")


@pytest.fixture(autouse=True)
def production(dns: DnsServer, settings: Any) -> None:
    """Have the settings of a host in production."""
    settings.ENVIRONMENT = dataclasses.replace(
        settings.ENVIRONMENT,
        panel_url="https://panel.host.example",
        mail_host="mail.host.example",
        mail_ports=Ports(imap=143, imaps=993, pop3=110, pop3s=995),
        mx_hosts=("mail.host.example",),
        smtp_host="smtp.host.example",
        smtp_port=465,
    )
    settings.ALLOWED_HOSTS = ["testserver"]


@pytest.fixture(autouse=True)
def nothing_remembered(settings: Any) -> Iterator[None]:
    """Have a cache of this test's own, and let no look outlive it."""
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    cache.clear()
    dns_looks.forget()
    yield
    wait_until_nobody_asks()
    dns_looks.forget()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Hold all questions back until this is set."""
    let_go = threading.Event()

    def ask_later(questions: Iterable[Question], further: Further) -> dict[Question, Answer]:
        assert let_go.wait(60)
        return ask(questions, further)

    monkeypatch.setattr(dns_looks, "ask", ask_later)
    yield let_go
    let_go.set()
    wait_until_nobody_asks()


def wait_until_nobody_asks() -> None:
    """Wait for the threads that ask."""
    for thread in threading.enumerate():
        if thread.name == "dns":
            thread.join(60)
            assert not thread.is_alive()


def verdicts(selector: str = "") -> list[Verdict]:
    """Return the verdicts on the domain as the DNS is now."""
    records = wanted_records(NAME)
    answers = ask(questions_about(NAME, records, selector), partial(further_questions, NAME))
    return judge(records, answers, selector)


def verdict_on(subject: Subject, beginning: str = "", selector: str = "") -> Verdict:
    """Return the verdict on one record."""
    return next(
        each
        for each in verdicts(selector)
        if each.record.subject == subject and each.record.name.startswith(beginning)
    )


def complete(dns: DnsServer) -> None:
    """Have all that the domain should have, and a key."""
    dns.put_all(*PANEL)
    for record in wanted_records(NAME):
        if record.value and record.value != "0 0 0 .":
            dns.put_all(f"{record.name} {record.kind} {record.value}")
    dns.put(f"s1._domainkey.{NAME}", "v=DKIM1; k=rsa; p=MIGf")


# -- the verdicts -----------------------------------------------------------------------------------------------


def test_all_that_should_be_there_is_in_order(dns: DnsServer) -> None:
    complete(dns)
    found = verdicts()
    assert {each.record.name: each.words for each in found if not each.is_in_order} == {}
    assert overall(NAME, found, {Question(NAME, "MX"): Answer(Outcome.FOUND)}).words == "All is there."


def test_a_domain_with_nothing(dns: DnsServer) -> None:
    dns.domains.add(NAME)
    dns.put_all(*PANEL)
    found = verdicts()
    assert {each.state for each in found} == {State.MISSING}
    said = overall(NAME, found, {Question(NAME, "MX"): Answer(Outcome.NONE)})
    assert (said.level, said.words) == ("error", "4 records that mail needs are not in order.")


def test_a_domain_that_is_none(dns: DnsServer) -> None:
    records = wanted_records(NAME)
    answers = ask(questions_about(NAME, records))
    said = overall(NAME, judge(records, answers), answers)
    assert said.words == "The DNS knows no domain of this name."


@pytest.mark.parametrize(
    ("lines", "state"),
    [
        (["10 mail.host.example."], State.RIGHT),
        (["10 MAIL.Host.Example."], State.RIGHT),
        (["10 mail.host.example.", "20 backup.example."], State.UNSURE),
        (["10 mx.elsewhere.example."], State.WRONG),
        (["0 ."], State.WRONG),
        ([], State.MISSING),
    ],
)
def test_mx(dns: DnsServer, lines: list[str], state: State) -> None:
    dns.domains.add(NAME)
    dns.put_all(*(f"{NAME} MX {line}" for line in lines))
    found = verdict_on(Subject.MX)
    assert (found.state, len(found.found)) == (state, len(lines))


def test_several_mx_hosts_of_the_hosts_own(dns: DnsServer, settings: Any) -> None:
    settings.ENVIRONMENT = dataclasses.replace(
        settings.ENVIRONMENT, mx_hosts=("mx1.host.example", "mx2.host.example")
    )
    dns.put_all(f"{NAME} MX 10 mx2.host.example.")
    found = [each for each in verdicts() if each.record.subject == Subject.MX]
    assert [(each.record.value, each.state) for each in found] == [
        ("10 mx1.host.example.", State.MISSING),
        ("20 mx2.host.example.", State.RIGHT),
    ]


@pytest.mark.parametrize(
    ("texts", "state"),
    [
        (["v=spf1 mx a:smtp.host.example ~all"], State.RIGHT),
        (["V=SPF1 +A:smtp.host.example -all"], State.RIGHT),
        (["something=else", "v=spf1 a:smtp.host.example -all", "v=spf10 x"], State.RIGHT),
        (["v=spf1 include:_spf.elsewhere.example ~all"], State.UNSURE),
        (["v=spf1 a:smtp.host.example ~all", "v=spf1 -all"], State.WRONG),
        (["v=spf1 +all"], State.WRONG),
        (["v=spf1 a:smtp.host.example all"], State.WRONG),
        (["v=spf1 " + " ".join(f"include:s{number}.example" for number in range(11)) + " ~all"], State.WRONG),
        (["v=spf1"], State.UNSURE),
        (["spf1 a:smtp.host.example"], State.MISSING),
        ([""], State.MISSING),
    ],
)
def test_spf(dns: DnsServer, texts: list[str], state: State) -> None:
    dns.put(NAME, *texts)
    assert verdict_on(Subject.SPF).state == state


#: The server that sends, by its name, and whom a domain may include.
SERVER = ("smtp.host.example A 192.0.2.25", "smtp.host.example AAAA 2001:db8::25")
INCLUDED = {
    "yes.example": "v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all",
    "no.example": "v=spf1 ip4:198.51.100.1 ?all",
    "half.example": "v=spf1 ip4:192.0.2.25 -all",
    "deep.example": "v=spf1 include:no.example include:yes.example -all",
    "moved.example": "v=spf1 redirect=yes.example",
    "loop.example": "v=spf1 include:pool.example -all",
    "pool.example": "v=spf1 include:loop.example -all",
    "itself.example": "v=spf1 redirect=itself.example",
    "misspelt.example": "v=spf1 ip4:192.0.2 -all",
    "mx.example": "v=spf1 mx -all",
    "near.example": "v=spf1 a:near.host.example/24//32 -all",
    "message.example": "v=spf1 exists:%{i}._spf.example -all",
    "other.example": "v=spf1 foo=bar -ip4:192.0.2.25 a:smtp.host.example -all",
    "full.example": "v=spf1 " + " ".join(["a:smtp.host.example"] * 10) + " -all",
}


@pytest.mark.parametrize(
    ("parts", "state", "words"),
    [
        ("include:yes.example -all", State.RIGHT, "is permitted"),
        ("include:deep.example -all", State.RIGHT, "is permitted"),
        ("redirect=moved.example", State.RIGHT, "is permitted"),
        ("include:moved.example ~all", State.RIGHT, "is permitted"),
        ("include:mx.example -all", State.RIGHT, "is permitted"),
        ("include:near.example -all", State.RIGHT, "is permitted"),
        ("INCLUDE:YES.example. -ALL", State.RIGHT, "is permitted"),
        ("ip4:192.0.2.25 ip6:2001:DB8::25 -all", State.RIGHT, "is permitted"),
        ("exists:%{i}.example include:yes.example -all", State.RIGHT, "is permitted"),
        ("include:no.example ~all", State.WRONG, "does not permit the server"),
        ("-include:yes.example ?all", State.WRONG, "does not permit the server"),
        ("include:no.example", State.WRONG, "does not permit the server"),
        # What follows `all` is not looked at, and a redirect beside it neither.
        ("-all include:yes.example", State.WRONG, "does not permit the server"),
        ("-all redirect=yes.example", State.WRONG, "does not permit the server"),
        ("include:half.example -all", State.UNSURE, "send from 2001:db8::25"),
        ("include:other.example -all", State.UNSURE, "send from 192.0.2.25"),
        ("include:loop.example -all", State.WRONG, "more than 10 times"),
        ("redirect=itself.example", State.WRONG, "more than 10 times"),
        ("include:full.example -all", State.WRONG, "more than 10 times"),
        ("include:none.example include:yes.example -all", State.WRONG, "“include:none.example”"),
        ("redirect=none.example", State.WRONG, "“redirect=none.example”"),
        ("include:misspelt.example -all", State.WRONG, "“ip4:192.0.2”"),
        ("nonsense -all", State.WRONG, "“nonsense”"),
        ("a/33 -all", State.WRONG, "“a/33”"),
        ("a///1 -all", State.WRONG, "“a///1”"),
        # What is broken behind what permits the server does no harm to it.
        ("include:yes.example include:none.example -all", State.RIGHT, "is permitted"),
        ("include:message.example -all", State.UNSURE, "does not name smtp.host.example"),
        ("exists:%{i}.example ~all", State.UNSURE, "does not name smtp.host.example"),
        ("ptr -all", State.UNSURE, "does not name smtp.host.example"),
        ("include:%{d}.example -all", State.UNSURE, "does not name smtp.host.example"),
        ("a:%{d/}.example -all", State.UNSURE, "does not name smtp.host.example"),
        ("include:silent.example -all", State.NO_ANSWER, "is not known"),
        ("include:failing.example include:no.example -all", State.NO_ANSWER, "is not known"),
        ("include:failing.example include:yes.example -all", State.RIGHT, "is permitted"),
    ],
)
def test_spf_is_followed(
    dns: DnsServer, monkeypatch: pytest.MonkeyPatch, parts: str, state: State, words: str
) -> None:
    monkeypatch.setattr(dns_answers, "LIFETIME", 1.0)
    dns.put_all(*SERVER, "mx.example MX 10 smtp.host.example.", "near.host.example A 192.0.2.1")
    dns.put_all("near.host.example AAAA 2001:db8:ffff::1")
    for name, text in INCLUDED.items():
        dns.put(name, text)
    dns.failing.add("failing.example")
    if "silent" in parts:
        dns.silent.add("silent.example")
    dns.domains.add("none.example")
    dns.put(NAME, f"v=spf1 {parts}")
    found = verdict_on(Subject.SPF)
    assert (found.state, words in found.words) == (state, True), found.words


def test_spf_is_followed_no_longer_than_the_page_waits(
    dns: DnsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dns_answers, "LIFETIME", 1.0)
    dns.put_all(*SERVER)
    dns.slow = 0.3
    dns.put(NAME, "v=spf1 include:d0.example -all")
    for number in range(9):
        dns.put(f"d{number}.example", f"v=spf1 include:d{number + 1}.example -all")
    asked = [Question(NAME, "TXT"), Question(NAME, "MX")]
    begun = time.monotonic()
    answers = ask(asked, partial(further_questions, NAME))
    assert time.monotonic() - begun < 1.0 + dns_answers.GRACE
    assert Question("d9.example", "TXT") not in answers
    found = judge([each for each in wanted_records(NAME) if each.subject == Subject.SPF], answers)
    assert [each.state for each in found] == [State.NO_ANSWER]


def test_spf_asks_for_no_more_than_receivers_would(dns: DnsServer) -> None:
    dns.put_all(*SERVER)

    def including(names: str) -> str:
        return f"v=spf1 {' '.join(f'include:{names}{number}.example' for number in range(10))} -all"

    dns.put(NAME, including("a"))
    for number in range(10):
        dns.put(f"a{number}.example", including(f"b{number}"))
    assert "more than 10 times" in verdict_on(Subject.SPF).words
    included = [name for name in dns.names_asked() if re.match(r"[ab]\d", name)]
    assert len(included) <= 2 * 10


def test_what_is_included_is_kept_with_the_look(dns: DnsServer) -> None:
    dns.put_all(*SERVER)
    dns.put(NAME, "v=spf1 include:yes.example -all")
    dns.put("yes.example", INCLUDED["yes.example"])
    standing_of(NAME)
    wait_until_nobody_asks()
    dns_looks.forget()
    found = standing_of(NAME)
    assert not found.known.looking
    assert [each.state for each in found.verdicts if each.record.subject == Subject.SPF] == [State.RIGHT]


def test_spf_in_pieces_is_one_text(dns: DnsServer) -> None:
    dns.texts[NAME] = [["v=spf1 a:smtp.", "host.exam", "ple ~all"]]
    assert verdict_on(Subject.SPF).state == State.RIGHT


def test_spf_is_found_among_very_many_texts_over_tcp(dns: DnsServer) -> None:
    dns.put(
        NAME, *(f"proof-{number}={'x' * 200}" for number in range(200)), "v=spf1 a:smtp.host.example ~all"
    )
    assert verdict_on(Subject.SPF).state == State.RIGHT
    assert (NAME, "TXT", "tcp") in dns.asked


@pytest.mark.parametrize(
    ("texts", "state"),
    [
        (["v=DMARC1; p=none"], State.RIGHT),
        (["v=DMARC1;p=reject;rua=mailto:x@shop.example"], State.RIGHT),
        (["v=DMARC1; rua=mailto:x@shop.example"], State.WRONG),
        (["v=DMARC1; p=nothing"], State.WRONG),
        (["v=DMARC1; p=none", "v=DMARC1; p=reject"], State.WRONG),
        (["v = DMARC1 ; p = Quarantine"], State.RIGHT),
        (["v=dmarc1; p=none"], State.MISSING),
        (["p=none"], State.MISSING),
    ],
)
def test_dmarc(dns: DnsServer, texts: list[str], state: State) -> None:
    dns.put(f"_dmarc.{NAME}", *texts)
    assert verdict_on(Subject.DMARC).state == state


def test_a_domain_may_be_spoken_for_by_one_above_it(dns: DnsServer) -> None:
    dns.put("_dmarc.firm.example", "v=DMARC1; p=reject")
    records = wanted_records("mail.shop.firm.example")
    found = judge(records, ask(questions_about("mail.shop.firm.example", records)))
    assert next(each for each in found if each.record.subject == Subject.DMARC).state == State.RIGHT
    assert "_dmarc.example" not in dns.names_asked()


@pytest.mark.parametrize(
    ("selector", "texts", "state"),
    [
        ("", ["v=DKIM1; p=MIGf"], State.UNSURE),
        ("", None, State.MISSING),
        ("s1", ["v=DKIM1; k=rsa; p=MIGf"], State.RIGHT),
        ("s1", ["p=MIGf"], State.RIGHT),
        ("s1", ["v=DKIM1; p="], State.WRONG),
        ("s1", ["v=DKIM1; p=a", "v=DKIM1; p=b"], State.WRONG),
        ("s1", ["nothing of it"], State.MISSING),
        ("s2", ["v=DKIM1; p=MIGf"], State.MISSING),
    ],
)
def test_dkim(dns: DnsServer, selector: str, texts: list[str] | None, state: State) -> None:
    dns.domains.add(NAME)
    if texts is not None:
        dns.put(f"s1._domainkey.{NAME}", *texts)
    assert verdict_on(Subject.DKIM, selector=selector).state == state


@pytest.mark.parametrize(
    ("lines", "state"),
    [
        (["autoconfig.shop.example CNAME panel.host.example."], State.RIGHT),
        (["autoconfig.shop.example A 192.0.2.1"], State.RIGHT),
        (["autoconfig.shop.example AAAA 2001:db8::1"], State.RIGHT),
        (["autoconfig.shop.example CNAME x.example.", "x.example CNAME panel.host.example."], State.RIGHT),
        (["autoconfig.shop.example CNAME x.example.", "x.example A 192.0.2.1"], State.RIGHT),
        (["autoconfig.shop.example A 192.0.2.99"], State.WRONG),
        (["autoconfig.shop.example CNAME nowhere.example."], State.WRONG),
        ([], State.MISSING),
    ],
)
def test_names_that_lead_to_the_panel(dns: DnsServer, lines: list[str], state: State) -> None:
    dns.put_all(*PANEL, *lines)
    assert verdict_on(Subject.AUTOCONFIG).state == state


@pytest.mark.parametrize("url", ["https://192.0.2.7", "https://[2001:DB8:0::7]:8443"])
def test_a_panel_without_a_name_is_led_to_by_its_address(dns: DnsServer, settings: Any, url: str) -> None:
    settings.ENVIRONMENT = dataclasses.replace(settings.ENVIRONMENT, panel_url=url)
    dns.domains.add(NAME)
    assert verdict_on(Subject.AUTOCONFIG).state == State.MISSING
    dns.put_all("autoconfig.shop.example A 192.0.2.7", "autoconfig.shop.example AAAA 2001:db8::7")
    assert verdict_on(Subject.AUTOCONFIG).state == State.RIGHT


def test_nothing_is_said_to_lead_elsewhere_while_nobody_says_where_the_panel_is(dns: DnsServer) -> None:
    dns.put_all("autoconfig.shop.example A 192.0.2.7")
    dns.failing.add("panel.host.example")
    assert verdict_on(Subject.AUTOCONFIG).state == State.NO_ANSWER


@pytest.mark.parametrize(
    ("name", "values", "state"),
    [
        ("_imaps._tcp", ["0 1 993 mail.host.example."], State.RIGHT),
        ("_imaps._tcp", ["7 9 993 Mail.Host.Example."], State.RIGHT),
        ("_imaps._tcp", ["0 1 143 mail.host.example."], State.WRONG),
        ("_imaps._tcp", ["0 1 993 other.example."], State.WRONG),
        ("_imaps._tcp", ["0 1 993 mail.host.example.", "0 1 993 other.example."], State.WRONG),
        ("_imaps._tcp", ["0 0 0 ."], State.WRONG),
        ("_imaps._tcp", [], State.MISSING),
        ("_pop3._tcp", [], State.RIGHT),
        ("_pop3._tcp", ["0 0 0 ."], State.RIGHT),
        ("_pop3._tcp", ["0 1 110 mail.host.example."], State.WRONG),
    ],
)
def test_srv(dns: DnsServer, settings: Any, name: str, values: list[str], state: State) -> None:
    settings.ENVIRONMENT = dataclasses.replace(
        settings.ENVIRONMENT, mail_ports=Ports(imap=143, imaps=993, pop3=0, pop3s=995)
    )
    dns.domains.add(NAME)
    dns.put_all(*(f"{name}.{NAME} SRV {value}" for value in values))
    assert verdict_on(Subject.SRV, name).state == state


# -- hostile answers --------------------------------------------------------------------------------------------


def servfail(dns: DnsServer) -> None:
    dns.failing.update(question.name for question in questions_about(NAME, wanted_records(NAME)))


def not_dns(dns: DnsServer) -> None:
    dns.raw.update({question.name: b"\xff" * 400 for question in questions_about(NAME, wanted_records(NAME))})


def nothing_but_an_id(dns: DnsServer) -> None:
    dns.raw.update({question.name: b"" for question in questions_about(NAME, wanted_records(NAME))})


def pointers_in_a_circle(dns: DnsServer) -> None:
    """A question whose name is compressed to itself (RFC 1035, section 4.1.4)."""
    circle = b"\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\xc0\x0c\x00\x10\x00\x01"
    dns.raw.update({question.name: circle for question in questions_about(NAME, wanted_records(NAME))})


def aliases_in_a_circle(dns: DnsServer) -> None:
    for question in questions_about(NAME, wanted_records(NAME)):
        dns.aliases[question.name] = f"circle.{question.name}"
        dns.aliases[f"circle.{question.name}"] = question.name


def silence(dns: DnsServer) -> None:
    dns.silent.update(question.name for question in questions_about(NAME, wanted_records(NAME)))


@pytest.mark.parametrize(
    "hostile", [servfail, not_dns, nothing_but_an_id, pointers_in_a_circle, aliases_in_a_circle, silence]
)
def test_answers_that_cannot_be_read_are_none(
    dns: DnsServer, monkeypatch: pytest.MonkeyPatch, hostile: Callable[[DnsServer], None]
) -> None:
    monkeypatch.setattr(dns_answers, "LIFETIME", 1.0)
    hostile(dns)
    records = wanted_records(NAME)
    answers = ask(questions_about(NAME, records))
    found = judge(records, answers)
    assert {each.state for each in found} == {State.NO_ANSWER}
    assert overall(NAME, found, answers).words == "The DNS gave no answer about this domain."


def test_one_name_that_is_not_answered_says_nothing_of_the_others(
    dns: DnsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dns_answers, "LIFETIME", 4.0)
    complete(dns)
    dns.silent.add(f"_dmarc.{NAME}")
    found = verdicts()
    assert [each.record.subject for each in found if each.state == State.NO_ANSWER] == [Subject.DMARC]
    said = overall(NAME, found, {Question(NAME, "MX"): Answer(Outcome.FOUND)})
    assert said.words == "Not all records could be looked up."


def test_more_is_kept_of_no_answer_than_pages_can_bear(dns: DnsServer) -> None:
    dns.put(NAME, *(f"{number:04} {'x' * 2000}" for number in range(25)), "v=spf1 " + "a" * 3000)
    dns.put_all(*(f"{NAME} MX {number} mx{number}.example." for number in range(500)))
    answers = ask([Question(NAME, "TXT"), Question(NAME, "MX")])
    for answer in answers.values():
        assert len(answer.values) <= dns_answers.RECORDS_MAX
        assert max(map(len, answer.values)) <= dns_answers.TEXT_MAX + 3
    assert answers[Question(NAME, "TXT")].values[0].startswith("v=spf1 ")


def test_what_is_no_plain_letter_is_written_as_a_number(dns: DnsServer) -> None:
    dns.put(NAME, "v=spf1 a:smtp.host.example \N{RIGHT-TO-LEFT OVERRIDE}\x00\x1b[31m<script>")
    (value,) = ask([Question(NAME, "TXT")])[Question(NAME, "TXT")].values
    assert value == r"v=spf1 a:smtp.host.example \226\128\174\000\027[31m<script>"


def test_what_an_alias_leads_to_is_not_shown(dns: DnsServer) -> None:
    """It may be a name that only the host's own resolvers know."""
    dns.domains.add(NAME)
    dns.put_all(
        f"{NAME} CNAME secret.internal.",
        f"autoconfig.{NAME} CNAME secret.internal.",
        f"_imaps._tcp.{NAME} CNAME secret.internal.",
        f"s1._domainkey.{NAME} CNAME secret.internal.",
        "secret.internal MX 10 mx-secret.internal.",
        "secret.internal SRV 0 1 389 directory-secret.internal.",
        "secret.internal A 10.1.2.3",
        "secret.internal TXT password=hidden",
    )
    found = verdicts("s1")
    shown = {value for each in found for value in each.found}
    assert shown == {"secret.internal"}
    assert {each.state for each in found if each.record.subject in (Subject.MX, Subject.AUTOCONFIG)} == {
        State.WRONG
    }


def test_a_name_that_is_too_long_for_the_dns_is_not_asked_for(dns: DnsServer) -> None:
    name = ".".join(["a" * 60] * 4) + ".example"
    records = wanted_records(name)
    found = judge(records, ask(questions_about(name, records, "x" * 64)), "x" * 64)
    assert {each.state for each in found} >= {State.NO_ANSWER}


def test_a_fault_met_in_one_answer_says_nothing_of_the_others(
    dns: DnsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_words(record: object) -> str:
        if "MX" in type(record).__name__:
            raise IndexError
        return "text"

    monkeypatch.setattr(dns_answers, "_in_words", in_words)
    dns.put(NAME, "text")
    dns.put_all(f"{NAME} MX 10 mail.host.example.")
    answers = ask([Question(NAME, "TXT"), Question(NAME, "MX")])
    assert [answer.outcome for answer in answers.values()] == [Outcome.FOUND, Outcome.FAILED]


def test_without_any_resolver_nothing_is_answered(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import dns.resolver

    def none(_resolver: object) -> object:
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr(dns_answers, "configured", none)
    assert ask([Question(NAME, "MX")]) == {Question(NAME, "MX"): Answer(Outcome.FAILED)}


# -- what is known, and when it is looked at ---------------------------------------------------------------------

QUESTIONS = (Question(NAME, "MX"),)


def look_at(**ago: float) -> Look:
    """Return a look of some time ago."""
    return Look(
        timezone.now() - timedelta(**ago), {QUESTIONS[0]: Answer(Outcome.FOUND, ("10 old.example.",))}
    )


def test_nothing_is_waited_for_and_one_look_answers_all(dns: DnsServer, held: threading.Event) -> None:
    dns.put_all(f"{NAME} MX 10 mail.host.example.")
    for _again in range(3):
        known = known_of(NAME, QUESTIONS)
        assert (known.look, known.looking) == (None, True)
    held.set()
    wait_until_nobody_asks()
    known = known_of(NAME, QUESTIONS)
    assert known.look is not None
    assert not known.looking
    assert known.look.answers[QUESTIONS[0]].values == ("10 mail.host.example.",)
    assert dns.names_asked() == [NAME]


def test_a_look_is_shared_by_the_cache_and_by_memory_where_that_is_away(
    dns: DnsServer, settings: Any
) -> None:
    known_of(NAME, QUESTIONS)
    wait_until_nobody_asks()
    dns_looks.forget()
    assert known_of(NAME, QUESTIONS).look is not None
    cache.clear()
    assert known_of(NAME, QUESTIONS).looking
    wait_until_nobody_asks()
    cache.clear()
    assert known_of(NAME, QUESTIONS).look is not None


def test_without_redis_pages_still_know_what_this_process_saw(dns: DnsServer, settings: Any) -> None:
    settings.CACHES = {
        "default": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": "unix:///nowhere/redis.sock",
            "OPTIONS": {"IGNORE_EXCEPTIONS": True},
        }
    }
    assert known_of(NAME, QUESTIONS).looking
    wait_until_nobody_asks()
    assert not known_of(NAME, QUESTIONS).looking


def remember(look: Look) -> None:
    dns_looks._remembered[NAME] = look


def test_an_old_look_is_shown_while_a_new_one_is_made(dns: DnsServer) -> None:
    remember(look_at(minutes=11))
    known = known_of(NAME, QUESTIONS)
    assert known.look is not None
    assert known.looking
    wait_until_nobody_asks()
    assert known_of(NAME, QUESTIONS).look != known.look


def test_a_very_old_look_is_none(dns: DnsServer) -> None:
    remember(look_at(hours=13))
    assert known_of(NAME, QUESTIONS).look is None


def test_somebody_may_have_it_looked_at_again_but_not_all_the_time(dns: DnsServer) -> None:
    future = timezone.now() + timedelta(days=1)
    remember(look_at(seconds=5))
    assert not known_of(NAME, QUESTIONS, newer_than=future).looking
    remember(look_at(seconds=15))
    assert not known_of(NAME, QUESTIONS).looking
    assert not known_of(NAME, QUESTIONS, newer_than=timezone.now() - timedelta(seconds=20)).looking
    assert known_of(NAME, QUESTIONS, newer_than=future).looking


def test_a_look_that_does_not_answer_all_questions_is_none(dns: DnsServer) -> None:
    remember(look_at(seconds=5))
    known = known_of(NAME, (*QUESTIONS, Question(NAME, "TXT")))
    assert (known.look, known.looking) == (None, True)


@pytest.mark.parametrize(
    "kept",
    ["nonsense", {}, {"at": "x", "answers": []}, {"at": "2026-01-01T00:00:00+00:00", "answers": [[1]]}],
)
def test_what_another_version_has_kept_is_no_look(dns: DnsServer, kept: object) -> None:
    cache.set(f"dns:look:{NAME}", kept)
    assert known_of(NAME, QUESTIONS).look is None


def test_few_looks_are_made_at_a_time(dns: DnsServer, held: threading.Event) -> None:
    for number in range(10):
        assert known_of(f"d{number}.example", (Question(f"d{number}.example", "MX"),)).looking
    assert sum(thread.name == "dns" for thread in threading.enumerate()) == dns_looks.AT_ONCE
    held.set()
    wait_until_nobody_asks()
    assert len(dns.names_asked()) == dns_looks.AT_ONCE


# -- the page ---------------------------------------------------------------------------------------------------


def open_page(client: Client, cast: Cast, **query: str) -> str:
    """Return the page once nothing is looked up any more, as a browser without scripts gets it by reloading."""
    url = reverse("domain_dns", args=[cast.domain.name])
    client.get(url, query)
    wait_until_nobody_asks()
    return client.get(url, query).content.decode()


def test_the_page_says_first_what_should_be_there_and_then_what_is(
    dns: DnsServer, cast: Cast, signed_in: SignedIn, held: threading.Event
) -> None:
    client = signed_in(cast.reader)
    dns.put_all(f"{cast.domain.name} MX 10 mail.host.example.")
    first = client.get(reverse("domain_dns", args=[cast.domain.name])).content.decode()
    assert "The DNS is being looked at." in first
    assert "data-poll" in first
    assert "10 mail.host.example." in first
    assert "Being looked up" in first
    poll = client.get(reverse("domain_dns", args=[cast.domain.name]), {"poll": "1"})
    assert poll.status_code == 204
    held.set()
    wait_until_nobody_asks()
    page = open_page(client, cast)
    assert "Mail for this domain arrives here." in page
    assert "data-poll" not in page


def test_what_the_dns_says_is_shown_as_text(dns: DnsServer, cast: Cast, signed_in: SignedIn) -> None:
    dns.put(cast.domain.name, "v=spf1 <script>alert(1)</script>")
    page = open_page(signed_in(cast.owner), cast)
    assert "<script>alert" not in page
    assert "v=spf1 &lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_a_key_is_looked_up_by_its_name(dns: DnsServer, cast: Cast, signed_in: SignedIn) -> None:
    dns.put(f"s1._domainkey.{cast.domain.name}", "v=DKIM1; p=MIGf")
    client = signed_in(cast.owner)
    assert "Some key is announced." in open_page(client, cast)
    assert "A key is announced under this name." in open_page(client, cast, selector="S1")
    assert "A key is announced under this name." in open_page(
        client, cast, selector=f"s1._domainkey.{cast.domain.name}"
    )


@pytest.mark.parametrize("selector", ["<b>", "a b", "a..b", "é", "-", "x" * 300, "\x00"])
def test_what_is_no_selector_is_not_asked_for(
    dns: DnsServer, cast: Cast, signed_in: SignedIn, selector: str
) -> None:
    page = open_page(signed_in(cast.owner), cast, selector=selector)
    assert "A selector consists of" in page
    assert not [
        name for name in dns.names_asked() if not name.endswith((cast.domain.name, "panel.host.example"))
    ]


@pytest.mark.parametrize("after", ["", "x", "-1", "9" * 11, "9" * 40, "1e9", "٣"])
def test_any_moment_may_be_written_into_the_address(
    dns: DnsServer, cast: Cast, signed_in: SignedIn, after: str
) -> None:
    assert (
        signed_in(cast.owner)
        .get(reverse("domain_dns", args=[cast.domain.name]), {"after": after})
        .status_code
        == 200
    )


def test_domains_of_others_and_deleted_ones_have_no_page(cast: Cast, signed_in: SignedIn) -> None:
    for name in ("domain_dns", "download_domain_zone"):
        assert signed_in(cast.stranger).get(reverse(name, args=[cast.domain.name])).status_code == 404
        assert Client().get(reverse(name, args=[cast.domain.name])).status_code == 302
    cast.domain.deleted_at = timezone.now()
    cast.domain.save()
    assert signed_in(cast.admin).get(reverse("domain_dns", args=[cast.domain.name])).status_code == 404


def test_the_zone_file_is_downloaded(cast: Cast, signed_in: SignedIn) -> None:
    create_domain(name="café.test", customer=cast.customer)
    answer = signed_in(cast.owner).get(reverse("download_domain_zone", args=["xn--caf-dma.test"]))
    assert answer.content.decode() == zone_file(wanted_records("xn--caf-dma.test"))
    assert answer.headers["Content-Disposition"] == 'attachment; filename="xn--caf-dma.test.zone.txt"'


def test_the_domains_page_leads_there(cast: Cast, signed_in: SignedIn) -> None:
    page = signed_in(cast.owner).get(reverse("show_domain", args=[cast.domain.name])).content.decode()
    assert reverse("domain_dns", args=[cast.domain.name]) in page
