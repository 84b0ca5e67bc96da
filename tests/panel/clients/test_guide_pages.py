"""The page that sets a mail program up: the public one, which knows no addresses, and that of a mailbox."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from mailbackend.passwords import hash_device_password
from panel.accounts.models import User
from panel.addresses import device_passwords, services
from panel.addresses.models import DevicePassword, Mailbox
from panel.clients import dns_looks
from panel.clients.dns_standing import standing_of
from panel.core import mail
from tests.cast import PASSWORD, Cast
from tests.dns_server import DnsServer
from tests.panel.clients.test_dns import wait_until_nobody_asks
from tests.panel.connections.mailbox_rows import a_refusal, a_session, an_open_session
from tests.panel.connections.test_device_pages import password_in
from tests.panel.connections.test_recover_pages import owner_client

SignIn = Callable[[User], Client]
#: Both questions answered.
ANSWERED = {"device": "windows", "use": "several"}
POP = {**ANSWERED, "protocol": "pop3"}


def words_of(client: Client, url: str, query: dict[str, str] | None = None, status: int = 200) -> str:
    """Return what a page says, without its tags."""
    answer = client.get(url, query)
    assert answer.status_code == status
    return _words(answer.content.decode())


def _words(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page).replace("\xa0", " ").replace("&#x27;", "'").split())


def set_up_url(mailbox: Mailbox) -> str:
    """Return the address of a mailbox's page."""
    return reverse("set_up_mailbox", args=[mailbox.pk])


def asked(client: Client, address: str, **query: str) -> str:
    """Return what the public page says of an address."""
    return words_of(client, reverse("setup_address"), {"address": address, **query})


# -- the public page -------------------------------------------------------------------------------------------------


def test_an_address_is_asked_for_first(client: Client, cast: Cast) -> None:
    assert "Your mail address" in words_of(client, reverse("setup_address"))
    for nonsense in (
        "",
        "anna",
        "anna@",
        "@martin.test",
        "a b@martin.test",
        "x" * 400,
        "anna@127.0.0.1",
        "a\x00@b.test",
    ):
        said = words_of(client, reverse("setup_address"), {"address": nonsense}, 422)
        assert "anna@example.com" in said or "required" in said or "characters" in said


def test_two_questions_come_before_anything_else(client: Client, cast: Cast) -> None:
    said = asked(client, cast.mailbox.address)
    assert "Which device do you set up?" in said
    assert "Where will you read this mail?" in said
    assert "We recommend IMAP" not in said
    assert "Set up Thunderbird" not in said


def test_the_device_is_recognised_and_can_be_changed(client: Client, cast: Cast) -> None:
    url = reverse("setup_address")
    phone = {"User-Agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)"}
    page = client.get(url, {"address": cast.mailbox.address}, headers=phone).content.decode()
    assert 'aria-current="true">iPhone or iPad<' in page
    assert "It looks as if you read this on iPhone or iPad." in page
    page = client.get(url, {"address": cast.mailbox.address, **ANSWERED}, headers=phone).content.decode()
    assert 'aria-current="true">Windows<' in page
    assert "It looks as if" not in page


def test_what_hands_the_password_on_is_offered_last(client: Client, cast: Cast) -> None:
    said = asked(client, cast.mailbox.address, device="android", use="one")
    assert "Set up Outlook" not in said
    assert re.search(r"Thunderbird for Android .* Outlook for iPhone, iPad and Android Another one", said)
    said = asked(client, cast.mailbox.address, device="android", use="one", program="outlook-mobile")
    assert "Set up Outlook" in said


def test_a_program_that_nobody_describes_gets_the_settings(client: Client, cast: Cast) -> None:
    said = asked(client, cast.mailbox.address, **ANSWERED, program="other")
    assert "The user name, whatever the program calls it, is the whole address" in said
    assert "Incoming mail: IMAP" in said
    assert "Set up Thunderbird" not in said


def test_codes_are_for_telephones_and_other_screens(client: Client, cast: Cast) -> None:
    url, phone = (
        reverse("setup_address"),
        {"User-Agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)"},
    )
    query = {"address": cast.mailbox.address, "use": "several"}
    for device, program, headers, kind in (
        ("iphone", "iphone", {}, "profile"),
        ("iphone", "iphone", phone, ""),
        ("iphone", "outlook-mobile", {}, "page"),
        ("android", "thunderbird-android", {}, "thunderbird"),
        ("android", "gmail-android", {}, "page"),
        ("windows", "thunderbird", phone, ""),
    ):
        asked_for = {**query, "device": device, "program": program}
        page = client.get(url, asked_for, headers=headers).content.decode()
        assert re.findall(r"code\.svg\?address=[^\"]*kind=([a-z]+)", page) == ([kind] if kind else [])
        assert ("setup/profile.mobileconfig?address=" in page) == (program == "iphone")


@pytest.mark.parametrize(
    ("use", "words"),
    [
        ("one", "a second device can join"),
        ("several", "every device shows the same"),
        ("web", "this device and webmail show the same"),
    ],
)
def test_imap_is_recommended_in_words(client: Client, cast: Cast, use: str, words: str) -> None:
    said = asked(client, cast.mailbox.address, device="windows", use=use)
    assert "We recommend IMAP" in said
    assert words in said
    assert "Set up Thunderbird" in said
    assert "Incoming mail: IMAP" in said
    assert "POP3" not in said


def test_pop_is_told_with_what_follows(client: Client, cast: Cast) -> None:
    said = asked(client, cast.mailbox.address, **POP)
    assert "POP downloads your mail to this device." in said
    assert "we keep for 30 days more" in said
    assert "Make backups." in said
    assert "Incoming mail: POP3" in said
    assert "Incoming mail: IMAP" not in said
    services.edit_domain_protocols(domain=cast.domain, imap=True, pop3=False)
    said = asked(client, cast.mailbox.address, **POP)
    assert "POP is switched off" in said
    assert f"Whoever looks after the mailboxes of {cast.domain.name} can switch it on." in said
    assert "Incoming mail: POP3" not in said
    services.edit_domain_protocols(domain=cast.domain, imap=False, pop3=True)
    said = asked(client, cast.mailbox.address, **ANSWERED)
    assert "Downloading by POP" in said
    assert "one takes away what the other has not fetched yet" in said
    services.edit_domain_protocols(domain=cast.domain, imap=False, pop3=False)
    assert "IMAP and POP are both switched off" in asked(client, cast.mailbox.address, **ANSWERED)


def test_only_ports_that_are_on_are_told(client: Client, cast: Cast, settings: Any) -> None:
    ports = dataclasses.replace(settings.ENVIRONMENT.mail_ports, imap=0, pop3=0, pop3s=0, imaps=993)
    settings.ENVIRONMENT = dataclasses.replace(settings.ENVIRONMENT, mail_ports=ports, smtp_host="")
    said = asked(client, cast.mailbox.address, **ANSWERED)
    assert "Port 993" in said
    assert "STARTTLS" not in said
    assert "POP, which downloads" not in said
    assert "This host offers no POP at all." in asked(client, cast.mailbox.address, **POP)
    assert "Sending mail is set up elsewhere" in said
    settings.ENVIRONMENT = dataclasses.replace(
        settings.ENVIRONMENT, smtp_host="smtp.host.test", smtp_port=465
    )
    said = asked(client, cast.mailbox.address, **ANSWERED)
    assert "Outgoing mail: SMTP Server smtp.host.test" in said
    assert "Sending mail is set up elsewhere" not in said


@pytest.mark.parametrize("query", [{}, ANSWERED, POP, {**ANSWERED, "device": "iphone"}])
def test_nobody_learns_which_addresses_exist(cast: Cast, query: dict[str, str]) -> None:
    """A suspended one, a deleted one, one with POP off and none at all: the same bytes and the same queries."""
    domain = cast.domain
    pages, queries = set(), set()
    for name in ("anna", "qsus", "qdel", "qpop", "qnon"):
        address = f"{name}@{domain.name}"
        if name in ("qsus", "qdel", "qpop"):
            box = services.create_mailbox(domain=domain, local_part=name, password=PASSWORD)
            if name == "qsus":
                services.suspend_mailbox(mailbox=box, reason="")
            elif name == "qdel":
                services.delete_mailbox(mailbox=box)
            else:
                Mailbox.objects.filter(pk=box.pk).update(pop3=False, pop_deletes="delete")
        with CaptureQueriesContext(connection) as asked_for:
            answer = Client().get(reverse("setup_address"), {"address": address, **query})
        assert answer.status_code == 200
        # The form of the other language bears a token that is another each time.
        page = re.sub(r'(name="csrfmiddlewaretoken" value=")[^"]*', r"\1", answer.content.decode())
        pages.add(page.replace(name, "NAME"))
        queries.add(tuple(each["sql"] for each in asked_for.captured_queries))
    assert len(pages) == 1
    assert len(queries) == 1


def test_an_address_of_a_domain_elsewhere_gets_an_answer_too(client: Client, cast: Cast) -> None:
    assert "We recommend IMAP" in asked(client, "anna@nowhere.example", **ANSWERED)


def test_the_public_page_holds_no_secret_and_opens_no_session(cast: Cast) -> None:
    client = Client()
    before = Session.objects.count()
    page = client.get(
        reverse("setup_address"), {"address": cast.mailbox.address, **ANSWERED}
    ).content.decode()
    assert Session.objects.count() == before
    assert "Anna Martin" not in page
    assert "device-password" not in page
    assert 'id="checked"' not in page
    assert "See live whether it gets in" in page
    assert "/sign-in/?next=/setup/" in page.replace("%2F", "/")


def test_domains_in_other_letters_are_shown_so_and_entered_in_ascii(client: Client, cast: Cast) -> None:
    page = client.get(
        reverse("setup_address"), {"address": "Anna@Bücher.example", **ANSWERED}
    ).content.decode()
    assert "Set up anna<wbr>@bücher.example" in page
    assert 'data-copy="anna@xn--bcher-kva.example"' in page
    assert "It is the same address." in page
    assert "It is the same address." not in asked(client, cast.mailbox.address, **ANSWERED)


def test_hostile_parameters_are_harmless(client: Client, cast: Cast) -> None:
    evil = "<script>alert(1)</script>"
    for query in (
        {"address": evil},
        {"address": f"anna@{evil}"},
        {
            "address": cast.mailbox.address,
            **dict.fromkeys(("device", "use", "protocol", "program", "start"), evil),
        },
        {"address": cast.mailbox.address, **ANSWERED, "program": evil},
        {"address": cast.mailbox.address, **ANSWERED, "program": "../../../etc/passwd"},
    ):
        assert evil not in client.get(reverse("setup_address"), query).content.decode()


def test_whoever_is_signed_in_finds_the_mailbox_s_own_page(cast: Cast, signed_in: SignIn) -> None:
    link = set_up_url(cast.mailbox)
    query = {"address": cast.mailbox.address, **ANSWERED}
    for client, sees in (
        (owner_client(cast.mailbox), True),
        (signed_in(cast.reader), True),
        (signed_in(cast.stranger), False),
        (Client(), False),
    ):
        page = client.get(reverse("setup_address"), query).content.decode()
        assert (f'href="{link}?device=windows' in page) == sees


MAC = {"User-Agent": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/18.0 Safari/605.1.15"}


def test_an_ipad_may_call_itself_a_mac(client: Client, cast: Cast) -> None:
    url, query = reverse("setup_address"), {"address": cast.mailbox.address, "use": "one"}
    page = client.get(url, query, headers=MAC).content.decode()
    link = re.search(r'<a href="([^"]*)">It is an iPad</a>', page)
    assert link
    page = client.get(url + link[1].replace("&amp;", "&"), headers=MAC).content.decode()
    assert 'aria-current="true">iPhone or iPad<' in page
    assert "setup/profile.mobileconfig?address=" in page
    assert "It is an iPad" not in page
    # Nobody who has said that it is a Mac is asked again, and nobody else at all.
    assert "It is an iPad" not in client.get(url, {**query, "device": "mac"}, headers=MAC).content.decode()
    assert "It is an iPad" not in client.get(url, query).content.decode()


@pytest.mark.parametrize(
    ("device", "program", "words"),
    [
        ("iphone", "iphone", "Certificate Trust Settings"),
        ("mac", "apple-mail", "Keychain Access"),
        ("windows", "outlook-classic", "Trusted Root Certification Authorities"),
        ("android", "gmail-android", "CA certificate"),
        ("linux", "other", "update-ca-certificates"),
        ("iphone", "outlook-mobile", "It is Microsoft that fetches the mail"),
        ("windows", "thunderbird", "Manage Certificates"),
    ],
)
def test_a_device_is_to_trust_the_hosts_own_authority_first(
    client: Client, cast: Cast, settings: Any, device: str, program: str, words: str
) -> None:
    query = {"address": cast.mailbox.address, "device": device, "use": "one", "program": program}
    page = client.get(reverse("setup_address"), query).content.decode()
    assert words in page
    assert ('id="trust"' in page) == (program != "thunderbird")
    is_of_use = program != "outlook-mobile"
    assert (f'href="{settings.ENVIRONMENT.panel_url}/setup/ca.crt"' in page) == is_of_use
    settings.ENVIRONMENT = dataclasses.replace(settings.ENVIRONMENT, tls_certificate="/etc/own.pem")
    page = client.get(reverse("setup_address"), query).content.decode()
    assert words not in page
    assert "ca.crt" not in page


def test_programs_with_a_list_of_their_own_say_it_in_their_steps(client: Client, cast: Cast) -> None:
    page = client.get(
        reverse("setup_address"),
        {"address": cast.mailbox.address, "device": "linux", "use": "one", "program": "mbsync"},
    ).content.decode()
    assert 'id="trust"' not in page
    assert "/setup/ca.crt" in page


# -- whether a program finds the settings by itself ------------------------------------------------------------------

SURE = "then finds all settings by itself"


@pytest.fixture
def looked(dns: DnsServer, settings: Any) -> Iterator[Callable[..., None]]:
    """Give a function that has the DNS say something of the cast's domain, and looks."""
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    settings.ENVIRONMENT = dataclasses.replace(settings.ENVIRONMENT, panel_url="https://panel.host.example")

    def look(*lines: str) -> None:
        cache.clear()
        dns_looks.forget()
        dns.forget()
        dns.put_all("panel.host.example A 192.0.2.1", *lines)
        standing_of(lines[0].split()[0].split(".", 1)[1] if lines else "martin.test")
        wait_until_nobody_asks()

    yield look
    wait_until_nobody_asks()
    dns_looks.forget()


def test_what_a_program_finds_by_itself_is_certain_only_where_the_dns_was_seen_to_say_it(
    client: Client, cast: Cast, looked: Callable[..., None]
) -> None:
    name, thunderbird = cast.domain.name, {**ANSWERED, "program": "thunderbird"}
    outlook = {**ANSWERED, "program": "outlook-classic"}
    here, elsewhere = "CNAME panel.host.example.", "A 192.0.2.99"

    looked(f"autoconfig.{name} {here}", f"autodiscover.{name} {elsewhere}")
    said = asked(client, cast.mailbox.address, **thunderbird)
    assert f"Thunderbird {SURE}" in said
    assert "may ask for the settings" not in said
    assert "may ask for the settings" in asked(client, cast.mailbox.address, **outlook)

    looked(f"autoconfig.{name} {elsewhere}", f"autodiscover.{name} {here}")
    said = asked(client, cast.mailbox.address, **thunderbird)
    assert SURE not in said
    assert "Thunderbird may ask for the settings too: they are below" in said
    said = asked(client, cast.mailbox.address, **outlook)
    assert "Where Outlook (classic) asks your domain, it finds all settings by itself" in said
    # Its steps are for doing it by hand all the same: many ask Microsoft.
    assert "Let me set up my account manually" in said


def test_the_page_does_not_wait_for_the_dns_but_has_it_looked_at(
    client: Client, cast: Cast, looked: Callable[..., None], dns: DnsServer
) -> None:
    dns.put_all("panel.host.example A 192.0.2.1", f"autoconfig.{cast.domain.name} CNAME panel.host.example.")
    dns.slow = 0.5
    assert SURE not in asked(client, cast.mailbox.address, **ANSWERED)
    wait_until_nobody_asks()
    assert SURE in asked(client, cast.mailbox.address, **ANSWERED)
    dns.asked.clear()
    assert SURE in words_of(owner_client(cast.mailbox), set_up_url(cast.mailbox), ANSWERED)
    assert dns.asked == []


def test_of_domains_elsewhere_the_dns_is_not_asked(
    client: Client, cast: Cast, looked: Callable[..., None], dns: DnsServer
) -> None:
    """Or anybody could have any name looked up here."""
    assert SURE not in asked(client, "anna@nowhere.example", **ANSWERED)
    wait_until_nobody_asks()
    assert dns.asked == []


def test_it_can_be_asked_for_under_a_hosted_name(cast: Cast) -> None:
    answer = Client().get(
        reverse("setup_address"),
        {"address": cast.mailbox.address},
        headers={"Host": f"autoconfig.{cast.domain.name}"},
    )
    assert answer.status_code == 200


# -- the mailbox's own page ------------------------------------------------------------------------------------------


def test_a_password_is_made_in_place_and_shown_once(cast: Cast) -> None:
    client, url = owner_client(cast.mailbox), set_up_url(cast.mailbox)
    page = client.get(url, ANSWERED).content.decode()
    assert 'value="Windows PC"' in page
    action = re.search(r'method="post" action="([^"]*)#password"', page)
    assert action
    answer = client.post(url + action[1].replace("&amp;", "&"), {"label": "Windows PC"})
    assert (answer.status_code, "no-store" in answer.headers["Cache-Control"]) == (200, True)
    shown = answer.content.decode()
    password, device = password_in(shown), DevicePassword.objects.get()
    assert device.secret_hash == hash_device_password(password, mail.pepper())
    assert (device.label, device.protocols, device.slot) == ("Windows PC", ["imap"], None)
    # The steps and the check are on the same page, which asks nothing more.
    assert "Set up Thunderbird" in shown
    assert 'id="checked"' in shown
    assert "Which device do you set up?" not in shown
    later = client.get(url, ANSWERED).content.decode()
    assert password not in later
    assert 'value="Windows PC 2"' in later
    # Sent twice it makes no second one, and says so.
    again = client.post(url + action[1].replace("&amp;", "&"), {"label": "windows pc"})
    assert (again.status_code, DevicePassword.objects.count()) == (422, 1)
    assert "There is a device password" in again.content.decode()


def test_a_pop_password_has_its_own_view_while_one_is_left(cast: Cast, signed_in: SignIn) -> None:
    client, url = signed_in(cast.manager), f"{set_up_url(cast.mailbox)}?device=windows&use=one&protocol=pop3"
    for number in range(1, len(device_passwords.SLOTS) + 2):
        answer = client.post(url, {"label": f"PC {number}"})
        device = DevicePassword.objects.get(label=f"PC {number}")
        assert device.protocols == ["pop3"]
        is_shared = number > len(device_passwords.SLOTS)
        assert (device.slot is None) == is_shared
        assert ("No more devices can have a POP view of their own" in answer.content.decode()) == is_shared


def test_who_may_make_one(cast: Cast, signed_in: SignIn) -> None:
    url = f"{set_up_url(cast.mailbox)}?device=windows&use=one"
    assert "Make the password" not in signed_in(cast.reader).get(url).content.decode()
    assert signed_in(cast.reader).post(url, {"label": "A"}).status_code == 403
    assert signed_in(cast.stranger).post(url, {"label": "A"}).status_code == 404
    assert Client().post(url, {"label": "A"}).status_code == 302
    assert not DevicePassword.objects.exists()
    for label in ("", "main", "x" * 61, "a\x1bb"):
        assert signed_in(cast.manager).post(url, {"label": label}).status_code == 422
    assert not DevicePassword.objects.exists()


@pytest.mark.parametrize(
    "query", ["", "?device=windows", "?use=one", "?device=windows&use=one&protocol=pop3"]
)
def test_no_password_is_made_where_none_was_offered(cast: Cast, signed_in: SignIn, query: str) -> None:
    Mailbox.objects.filter(pk=cast.mailbox.pk).update(pop3=False)
    signed_in(cast.manager).post(set_up_url(cast.mailbox) + query, {"label": "A"})
    assert not DevicePassword.objects.exists()


def test_pop_that_is_off_names_who_can_switch_it_on(cast: Cast, signed_in: SignIn) -> None:
    url = set_up_url(cast.mailbox)
    Mailbox.objects.filter(pk=cast.mailbox.pk).update(pop3=False)
    said = words_of(owner_client(cast.mailbox), url, POP)
    assert "POP is switched off" in said
    assert f"Whoever looks after the mailboxes of {cast.domain.name} can switch it on." in said
    page = signed_in(cast.manager).get(url, POP).content.decode()
    assert reverse("edit_mailbox", args=[cast.mailbox.pk]) in page
    services.edit_domain_protocols(domain=cast.domain, imap=True, pop3=False)
    page = signed_in(cast.manager).get(url, POP).content.decode()
    assert reverse("edit_domain_protocols", args=[cast.domain.name]) in page
    assert "What if I need it?" in words_of(owner_client(cast.mailbox), url, ANSWERED)


def test_mailboxes_that_nobody_can_use_say_what_to_do(cast: Cast, signed_in: SignIn) -> None:
    url, manager = set_up_url(cast.mailbox), signed_in(cast.manager)
    services.edit_domain_protocols(domain=cast.domain, imap=False, pop3=False)
    assert "Switch one on" in words_of(manager, url, ANSWERED)
    assert "Ask them, and come back" in words_of(signed_in(cast.reader), url, ANSWERED)
    services.edit_domain_protocols(domain=cast.domain, imap=True, pop3=True)
    services.suspend_mailbox(mailbox=Mailbox.objects.get(pk=cast.mailbox.pk), reason="")
    assert "Resume it first" in words_of(manager, url, ANSWERED)
    assert "Ask whoever looks after it" in words_of(signed_in(cast.reader), url, ANSWERED)
    services.resume_mailbox(mailbox=Mailbox.objects.get(pk=cast.mailbox.pk))
    services.delete_mailbox(mailbox=Mailbox.objects.get(pk=cast.mailbox.pk))
    for client in (manager, signed_in(cast.reader)):
        said = words_of(client, url, ANSWERED)
        assert "There is nothing to set up" in said
        assert "estore it" in said
        assert "Set up Thunderbird" not in said


def test_the_policy_of_the_mailbox_counts(cast: Cast, signed_in: SignIn) -> None:
    client, url = signed_in(cast.manager), set_up_url(cast.mailbox)
    for values, words in (
        ({"pop_deletes": "keep_days", "pop_keep_days": 7}, "we keep for 7 days more"),
        ({"pop_deletes": "keep"}, "we keep all the same"),
        ({"pop_deletes": "delete"}, "deleted from the server at once"),
    ):
        Mailbox.objects.filter(pk=cast.mailbox.pk).update(**values)
        assert words in words_of(client, url, POP)


# -- the live check --------------------------------------------------------------------------------------------------


def poll_of(page: str) -> str:
    """Return the address that a page polls."""
    match = re.search(r'hx-get="([^"]*)" hx-trigger="every 1s"', page)
    assert match
    return match[1].replace("&amp;", "&")


def test_the_check_tells_imap_and_pop_apart_while_it_happens(cast: Cast) -> None:
    client = owner_client(cast.mailbox)
    first = client.get(set_up_url(cast.mailbox), ANSWERED).content.decode()
    assert "Nothing has come by IMAP yet." in first
    assert client.get(poll_of(first)).status_code == 204
    a_refusal(cast.mailbox)
    part = client.get(poll_of(first)).content.decode()
    assert "<html" not in part
    assert 'data-announce="Somebody at 192.0.2.7 tried a wrong password.' in part
    assert "Not let in" in part
    assert "POP" not in _words(part)
    a_refusal(cast.mailbox, "protocol_off", protocol="pop3")
    part = client.get(poll_of(part)).content.decode()
    assert re.search(r"IMAP\s+Not let in.*POP\s+Not let in", _words(part))
    device = device_passwords.create_device(mailbox=cast.mailbox, label="Windows PC")[0]
    an_open_session(cast.mailbox, device=device, credential="device", started_at=timezone.now())
    part = client.get(poll_of(part)).content.decode()
    said = _words(part)
    assert "IMAP Connected IMAP from 192.0.2.7 (Windows PC) is signed in now." in said
    assert "POP Not let in" in said
    # A program that fails after that takes nothing back.
    a_refusal(cast.mailbox)
    assert "IMAP Connected" in _words(client.get(poll_of(part)).content.decode())


def test_the_check_without_a_script(cast: Cast) -> None:
    client, url = owner_client(cast.mailbox), set_up_url(cast.mailbox)
    a_refusal(cast.mailbox)
    page = client.get(url, POP).content.decode()
    assert "tried a wrong password" not in page
    again = re.search(r'href="([^"]*start=[^"#]*)#check" data-no-script', page)
    assert again
    a_session(cast.mailbox, protocol="pop3", started_at=timezone.now())
    said = _words(client.get(url + again[1].replace("&amp;", "&")).content.decode())
    assert "POP Connected" in said
    assert "Downloading by POP" in said


def test_what_is_much_is_told_in_part(cast: Cast) -> None:
    client = owner_client(cast.mailbox)
    page = client.get(set_up_url(cast.mailbox), ANSWERED).content.decode()
    for number in range(6):
        a_session(cast.mailbox, started_at=timezone.now(), remote_ip=f"192.0.2.{number}")
    part = client.get(poll_of(page)).content.decode()
    assert part.count("note-success") == 4
    assert "2 more" in part


def test_the_page_takes_few_queries(cast: Cast, django_assert_max_num_queries: Any) -> None:
    client, url = owner_client(cast.mailbox), set_up_url(cast.mailbox)
    page = client.get(url, ANSWERED).content.decode()
    with django_assert_max_num_queries(13):
        client.get(url, ANSWERED)
    with django_assert_max_num_queries(8):
        assert client.get(poll_of(page)).status_code == 204
