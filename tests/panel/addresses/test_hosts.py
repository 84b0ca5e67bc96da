"""Which Host is answered with what: the panel's own names, those of hosted domains, and all others."""

from __future__ import annotations

import dataclasses
import re
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import include, path, reverse
from django.utils import timezone

from mailbackend.paths import DataDir
from panel.accounts.customers import resume_customer
from panel.addresses import customers, services
from panel.addresses.hosts import asked_domain, hosted_domain
from panel.addresses.models import Domain
from panel.addresses.selectors import domains_in_state
from panel.service.certificates import IssuedFiles, ensure_certificate
from panel.settings import PUBLIC_URL_NAMES, _as_host
from tests.cast import Cast

Queries = Any
pytestmark = pytest.mark.django_db


def tell(request: HttpRequest) -> HttpResponse:
    """A public page: what it would build links from."""
    return HttpResponse(request.build_absolute_uri("/x"), content_type="text/plain")


def tell_domain(request: HttpRequest) -> HttpResponse:
    """A public page: which hosted domain it was asked under."""
    return HttpResponse(asked_domain(request), content_type="text/plain")


urlpatterns = [
    path("public/", tell, name="tell"),
    path("domain/", tell_domain, name="tell_domain"),
    path("", include("panel.urls")),
]
handler400 = "panel.core.error_pages.bad_request"


@pytest.fixture(autouse=True)
def public_page(settings: Any) -> None:
    """Add one."""
    settings.ROOT_URLCONF = __name__
    settings.PUBLIC_URL_NAMES = frozenset({"tell", "tell_domain"})


@pytest.fixture
def hosted(cast: Cast) -> str:
    """A domain that is hosted here."""
    return services.create_domain(name="café.test", customer=cast.customer).name


def ask(host: str, url: str = "/public/") -> int:
    """Ask under a name."""
    return Client(raise_request_exception=False).get(url, headers={"Host": host}).status_code


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST", "localhost.", "localhost:8000", "127.0.0.1:8000", "[::1]", "[::1]:8000"],
)
def test_own_names_answer_everything(host: str) -> None:
    assert ask(host) == 200
    assert ask(host, "/sign-in/") == 200
    assert ask(host, "/healthz") == 503
    assert ask(host, "/nowhere/") == 404


def test_hosted_domains_answer_what_is_public(hosted: str) -> None:
    for prefix in ("", "autoconfig.", "autodiscover.", "AutoConfig."):
        host = prefix + hosted
        assert ask(host) == 200
        assert ask(f"{host}:8443") == 200
        for url in (
            "/",
            "/sign-in/",
            "/healthz",
            "/mailboxes/",
            "/nowhere/",
            "/public",
            "/sign-in",
            "//public/",
        ):
            assert ask(host, url) == 404, url


FOREIGN = [
    "evil.test",
    "www.{}",
    "autoconfig.autodiscover.{}",
    "{}.evil.test",
    "evil{}",
    "{}@evil.test",
    "{}/x",
    "{} evil.test",
    "{}:80:80",
    "{}\x00",
    "{}\n",
    "autoconfig.",
    "192.0.2.1",
    "[::2]",
    "",
    ".",
    "café.test",
    "x" * 5000,
    "' OR 1=1 --",
]


def test_any_other_host_is_refused(hosted: str) -> None:
    for host in FOREIGN:
        for url in ("/public/", "/", "/healthz", "/static/css/restante.css"):
            assert ask(host.format(hosted), url) == 400, host


def test_what_is_suspended_or_deleted_does_not_answer(cast: Cast, hosted: str) -> None:
    domain = Domain.objects.get(name=hosted)
    services.suspend_domain(domain=domain)
    assert ask(hosted) == 400
    services.resume_domain(domain=domain)
    assert ask(hosted) == 200
    customers.suspend_customer(customer=cast.customer)
    assert ask(hosted) == 400
    resume_customer(customer=cast.customer)
    assert ask(hosted) == 200
    services.delete_domain(domain=Domain.objects.get(name=hosted))
    assert ask(hosted) == 400


def test_links_are_never_built_from_a_hosted_name(hosted: str) -> None:
    client = Client(headers={"Host": hosted})
    assert client.get("/public/").content == b"http://localhost:8000/x"
    forwarded = {"Host": "localhost:8000", "X-Forwarded-Host": hosted}
    assert Client().get("/public/", headers=forwarded).content == b"http://localhost:8000/x"


def test_a_hosted_name_that_is_the_panels_own_is_the_panels(cast: Cast, settings: Any) -> None:
    services.create_domain(name="panel.test", customer=cast.customer)
    settings.ALLOWED_HOSTS = [*settings.ALLOWED_HOSTS, "panel.test"]
    assert ask("panel.test", "/sign-in/") == 200


def test_a_name_costs_one_query_by_index_and_an_own_one_none(
    hosted: str, django_assert_num_queries: Queries
) -> None:
    with django_assert_num_queries(0):
        assert ask("localhost") == 200
        assert ask("not a name") == 400
        assert ask("192.0.2.1") == 400
    for host, status in ((f"autoconfig.{hosted}", 200), ("evil.test", 400)):
        with django_assert_num_queries(1):
            assert ask(host) == status
    assert hosted_domain(hosted) == hosted
    rows = domains_in_state(Domain.objects.filter(name__in=["a.test", "b.test"]), Domain.State.ACTIVE)
    if connection.vendor == "sqlite":
        plan = rows.order_by().explain()
        assert "domain_once" in plan
        assert "SCAN" not in plan


def test_pages_know_the_hosted_domain_that_was_asked(cast: Cast, hosted: str, settings: Any) -> None:
    def told(host: str, **headers: str) -> str:
        return Client().get("/domain/", headers={"Host": host, **headers}).content.decode()

    for host in (hosted, f"autoconfig.{hosted}:8443", f"AutoDiscover.{hosted}."):
        assert told(host) == hosted
    assert told("localhost:8000") == ""
    # Only the name that was really asked counts, not what a request says of itself.
    assert told("localhost:8000", **{"Restante-Asked-Domain": hosted, "X-Forwarded-Host": hosted}) == ""
    # A panel under a domain's name is that domain's too.
    settings.ALLOWED_HOSTS = [*settings.ALLOWED_HOSTS, hosted]
    assert told(hosted) == hosted
    # Where a domain begins like such a name, the one behind is meant, if it is hosted.
    services.create_domain(name="autoconfig.other.test", customer=cast.customer)
    assert told("autoconfig.other.test") == "autoconfig.other.test"
    services.create_domain(name="other.test", customer=cast.customer)
    assert told("autoconfig.other.test") == "other.test"


def test_static_files_are_public(hosted: str) -> None:
    """They are not collected for this test: it is the panel that says 404, having let the request through."""
    page = Client().get("/static/nothing.css", headers={"Host": hosted}).content.decode()
    assert "Under this name" not in page
    assert "Under this name" in Client().get("/nothing", headers={"Host": hosted}).content.decode()


def test_own_addresses_of_ipv6_stand_in_brackets() -> None:
    assert (_as_host("2001:db8::1"), _as_host("panel.test")) == ("[2001:db8::1]", "panel.test")


# -- what the public pages lead to -----------------------------------------------------------------------------------

PANEL = "https://panel.host.example"
#: The pages that people read under such a name.
PAGES = ("/setup/", "/pop-or-imap/")


@pytest.fixture
def public_pages(cast: Cast, settings: Any, tmp_path: Path) -> None:
    """Have a host in production, with the pages that it has public, and an authority of its own."""
    settings.DATA_DIR = DataDir(tmp_path)
    settings.DATA_DIR.tls.mkdir()
    ensure_certificate(IssuedFiles(settings.DATA_DIR.tls), "mail.host.example", timezone.now())
    settings.ROOT_URLCONF = "panel.urls"
    settings.PUBLIC_URL_NAMES = PUBLIC_URL_NAMES
    settings.ENVIRONMENT = dataclasses.replace(settings.ENVIRONMENT, panel_url=PANEL)
    settings.ALLOWED_HOSTS = [*settings.ALLOWED_HOSTS, "panel.host.example"]
    settings.CSRF_TRUSTED_ORIGINS = [PANEL]


def browser(host: str) -> Client:
    """Return a browser that reads pages of a name over HTTPS, and sends their forms with what proves them."""
    return Client(enforce_csrf_checks=True, headers={"Host": host, "Origin": f"https://{host}"})


def language_form(page: str) -> dict[str, str]:
    """Return what the form of the other language sends."""
    form = re.search(r'<form class="language" method="post" action="/language/">(.*?)</form>', page)
    assert form
    return {
        name: unescape(value)
        for name, value in re.findall(r'name="([a-z]+)" (?:lang="[a-z]+" )?value="([^"]*)"', form[1])
    }


@pytest.mark.usefixtures("public_pages")
@pytest.mark.parametrize("prefix", ["", pytest.param("autoconfig.", marks=pytest.mark.long)])
def test_all_links_and_forms_of_public_pages_work_under_a_hosted_name(cast: Cast, prefix: str) -> None:
    """Whatever is reached from them: those at the panel's own address are asked for there."""
    host = prefix + cast.domain.name
    here, panel = browser(host), Client(headers={"Host": "panel.host.example"})
    to_do, done, forms = [*PAGES, f"/setup/?address=anna@{cast.domain.name}"], set(), 0
    while to_do:
        url = to_do.pop()
        if url in done:
            continue
        done.add(url)
        answer = here.get(url, secure=True)
        assert answer.status_code in (200, 422), url
        if not answer.headers["Content-Type"].startswith("text/html"):
            continue
        page = answer.content.decode()
        if answer.status_code == 200 and len(done) < 20:
            forms += 1
            back = here.post("/language/", language_form(page), secure=True)
            assert (back.status_code, back.headers["Location"]) == (302, url)
        for link in map(unescape, re.findall(r'(?:href|src|action)="([^"]+)"', page)):
            parts = urlsplit(link)
            assert parts.netloc in ("", "panel.host.example"), link
            if parts.netloc:
                assert panel.get(link.removeprefix(PANEL), secure=True).status_code in (200, 302), link
            elif not link.startswith(("#", "/static/", "/language/")):
                to_do.append((parts.path or urlsplit(url).path) + (f"?{parts.query}" if parts.query else ""))
    assert {urlsplit(url).path for url in done} >= {*PAGES, "/setup/profile.mobileconfig", "/setup/code.svg"}
    assert forms > 5


@pytest.mark.usefixtures("public_pages")
def test_the_language_is_kept_for_the_hosted_name(cast: Cast) -> None:
    client = browser(f"autoconfig.{cast.domain.name}")
    page = client.get("/pop-or-imap/", secure=True).content.decode()
    answer = client.post("/language/", language_form(page), secure=True)
    assert answer.cookies["language"].value == "fr"
    # Of this name alone, and not of what stands below or above it.
    assert not any(cookie["domain"] for cookie in answer.cookies.values())
    assert '<html lang="fr">' in client.get("/pop-or-imap/", secure=True).content.decode()


@pytest.mark.usefixtures("public_pages")
@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.test",
        "null",
        "http://{}",
        "https://{}:8443",
        "https://{}.evil.test",
        "https://evil.{}",
        "",
    ],
)
def test_forms_of_other_pages_are_refused_under_a_hosted_name(cast: Cast, origin: str) -> None:
    client = browser(cast.domain.name)
    sent = language_form(client.get("/pop-or-imap/", secure=True).content.decode())
    foreign = {"Origin": origin.format(cast.domain.name)}
    assert client.post("/language/", sent, secure=True, headers=foreign).status_code == 403
    assert client.post("/language/", sent, secure=True).status_code == 302
    del sent["csrfmiddlewaretoken"]
    assert client.post("/language/", sent, secure=True).status_code == 403


@pytest.mark.usefixtures("public_pages")
@pytest.mark.parametrize("elsewhere", ["https://evil.test/", "//evil.test/", "/\\evil.test", ""])
def test_the_language_leads_nowhere_else_under_a_hosted_name(cast: Cast, elsewhere: str) -> None:
    client = browser(cast.domain.name)
    sent = language_form(client.get("/pop-or-imap/", secure=True).content.decode())
    answer = client.post("/language/", {**sent, "next": elsewhere}, secure=True)
    assert answer.headers["Location"] == "/"


@pytest.mark.usefixtures("public_pages")
def test_home_is_the_panels_own_address_under_a_hosted_name(cast: Cast) -> None:
    host = {"Host": cast.domain.name}
    for url in ("/pop-or-imap/", "/nothing", "/setup/code.svg"):
        page = Client().get(url, headers=host, secure=True).content.decode()
        assert 'class="brand" href="https://panel.host.example/"' in page
        assert 'href="/"' not in page
    page = Client().get("/pop-or-imap/", headers={"Host": "localhost"}).content.decode()
    assert 'class="brand" href="/"' in page


def test_signing_in_does_not_happen_under_a_hosted_name(hosted: str) -> None:
    client = Client(headers={"Host": hosted})
    assert client.post(reverse("account_login"), {"username": "a@b.test", "password": "x"}).status_code == 404
    assert not client.cookies
