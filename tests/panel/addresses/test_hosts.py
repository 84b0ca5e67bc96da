"""Which Host is answered with what: the panel's own names, those of hosted domains, and all others."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import include, path, reverse

from panel.accounts.customers import resume_customer
from panel.addresses import customers, services
from panel.addresses.hosts import asked_domain, hosted_domain
from panel.addresses.models import Domain
from panel.addresses.selectors import domains_in_state
from panel.settings import _as_host
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


def test_signing_in_does_not_happen_under_a_hosted_name(hosted: str) -> None:
    client = Client(headers={"Host": hosted})
    assert client.post(reverse("account_login"), {"username": "a@b.test", "password": "x"}).status_code == 404
    assert not client.cookies
