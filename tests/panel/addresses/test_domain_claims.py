"""Domains that customers add themselves: who may, what the DNS says, limits, and many at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connections
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from panel.accounts.models import Customer, User
from panel.addresses import claims, proof, services
from panel.addresses import customers as with_addresses
from panel.addresses.hosts import hosted_domain
from panel.addresses.models import Domain, DomainClaim
from panel.addresses.proof import Outcome
from panel.addresses.tasks import check_domain_claims, start_due_domain_claims
from panel.core.errors import Problem
from panel.core.models import AuditEntry, Job
from tests.cast import Cast, make_cast
from tests.dns_server import DnsServer

SignedIn = Callable[[User], Client]

NAME = "wanted.test"


def claimed(cast: Cast, name: str = NAME, *, customer: Customer | None = None) -> DomainClaim:
    """Return a claim, as pages read it."""
    made = claims.make_claim(customer=customer or cast.customer, name=name)
    return reread(made)


def reread(claim: DomainClaim) -> DomainClaim:
    """Return a claim as it is now, and as pages read it."""
    admin = User.objects.get(email="admin@host.test")
    return claims.claims_for(admin).get(pk=claim.pk)


def publish(dns: DnsServer, *published: DomainClaim) -> None:
    """Put the records of claims of one name into the DNS."""
    dns.put(published[0].record_name, *(claim.record_value for claim in published))


def earlier(claim: DomainClaim, **by: float) -> DomainClaim:
    """Return a claim with all its times so much earlier."""
    ago = timedelta(**by)
    claim.expires_at -= ago
    claim.next_at -= ago
    claim.asked_at = claim.asked_at and claim.asked_at - ago
    claim.save()
    return reread(claim)


def url(action: str, claim: DomainClaim) -> str:
    """Return the address of a page of a claim."""
    return reverse(f"{action}_domain_claim", args=[claim.customer_id, claim.name])


def actions_since(last: AuditEntry) -> list[str]:
    """Return what was written down after an entry."""
    return list(AuditEntry.objects.filter(pk__gt=last.pk).order_by("pk").values_list("action", flat=True))


# -- what the DNS says ------------------------------------------------------------------------------------------

TOKEN = "0123456789abcdef0123456789abcdef"
RIGHT = f"restante-verification={TOKEN}"
RECORD = f"_restante.{NAME}"


def look() -> Outcome:
    """Look for the record."""
    return proof.look_for(domain=NAME, token=TOKEN)


def one_of_many(dns: DnsServer) -> None:
    dns.put(RECORD, "v=spf1 -all", "restante-verification=another", RIGHT)


def in_pieces(dns: DnsServer) -> None:
    dns.texts[RECORD] = [["restante-", "verification=", TOKEN]]


def through_aliases(dns: DnsServer) -> None:
    dns.aliases[RECORD] = "a.elsewhere.test"
    dns.aliases["a.elsewhere.test"] = "b.elsewhere.test"
    dns.put("b.elsewhere.test", RIGHT)


def in_an_answer_too_large_for_udp(dns: DnsServer) -> None:
    dns.put(RECORD, *(f"{number} {'x' * 200}" for number in range(20)), RIGHT)


def alias_to_nothing(dns: DnsServer) -> None:
    dns.domains.add(NAME)
    dns.aliases[RECORD] = "nowhere.elsewhere.test"


def alias_in_a_circle(dns: DnsServer) -> None:
    dns.aliases[RECORD] = "a.elsewhere.test"
    dns.aliases["a.elsewhere.test"] = RECORD


@pytest.mark.parametrize(
    ("prepare", "outcome"),
    [
        (lambda dns: dns.put(RECORD, RIGHT), Outcome.FOUND),
        (lambda dns: dns.put(RECORD, f' "{RIGHT}" '), Outcome.FOUND),
        (one_of_many, Outcome.FOUND),
        (in_pieces, Outcome.FOUND),
        (through_aliases, Outcome.FOUND),
        (in_an_answer_too_large_for_udp, Outcome.FOUND),
        (lambda dns: dns.put(RECORD, "restante-verification=" + "0" * 32), Outcome.OTHER_VALUE),
        (lambda dns: dns.put(RECORD, RIGHT[:-1]), Outcome.OTHER_VALUE),
        (lambda dns: dns.put(RECORD, f"{RIGHT}0"), Outcome.OTHER_VALUE),
        (lambda dns: dns.put(RECORD, RIGHT.upper()), Outcome.OTHER_VALUE),
        (lambda dns: dns.put(RECORD, TOKEN), Outcome.OTHER_VALUE),
        (lambda dns: dns.put(RECORD, ""), Outcome.OTHER_VALUE),
        (lambda dns: dns.put(RECORD, "\N{SNOWMAN}"), Outcome.OTHER_VALUE),
        (lambda dns: dns.put(NAME, RIGHT), Outcome.NO_RECORD),
        (lambda dns: dns.domains.add(NAME), Outcome.NO_RECORD),
        (lambda dns: dns.domains.add(RECORD), Outcome.NO_RECORD),
        (alias_to_nothing, Outcome.NO_RECORD),
        (DnsServer.forget, Outcome.NO_SUCH_DOMAIN),
        (lambda dns: dns.failing.add(RECORD), Outcome.FAILED),
        (alias_in_a_circle, Outcome.FAILED),
    ],
)
def test_what_the_dns_says(dns: DnsServer, prepare: Callable[[DnsServer], None], outcome: Outcome) -> None:
    prepare(dns)
    assert look() == outcome


def test_an_answer_that_does_not_fit_is_asked_for_over_tcp(dns: DnsServer) -> None:
    in_an_answer_too_large_for_udp(dns)
    assert look() == Outcome.FOUND
    assert dns.asked == [(RECORD, "TXT", "udp"), (RECORD, "TXT", "tcp")]


def test_silence_ends(dns: DnsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "LIFETIME", 0.5)
    dns.silent.add(RECORD)
    assert look() == Outcome.FAILED


def test_a_domain_about_which_nobody_answers_is_not_said_to_be_none(dns: DnsServer) -> None:
    dns.failing.add(NAME)
    assert look() == Outcome.NO_RECORD


def test_only_ascii_names_are_asked_for_and_none_is_searched(dns: DnsServer) -> None:
    assert proof.look_for(domain="xn--caf-dma.test", token=TOKEN) == Outcome.NO_SUCH_DOMAIN
    assert dns.names_asked() == ["_restante.xn--caf-dma.test", "xn--caf-dma.test"]


# -- claiming ---------------------------------------------------------------------------------------------------


def test_from_a_claim_to_a_domain(cast: Cast, dns: DnsServer, signed_in: SignedIn) -> None:
    client = signed_in(cast.manager)
    answer = client.post(reverse("claim_domain"), {"name": " Café.test. "})
    claim = DomainClaim.objects.get()
    assert (claim.customer, claim.name) == (cast.customer, "xn--caf-dma.test")
    assert answer["Location"] == url("show", claim)
    page = client.get(answer["Location"]).content.decode()
    for text in ("_restante.xn--caf-dma.test", f"restante-verification={claim.token}", "café.test"):
        assert text in page
    assert not Domain.objects.filter(name=claim.name).exists()
    assert not hosted_domain(claim.name)
    assert client.get(reverse("show_domain", args=[claim.name])).status_code == 404

    dns.domains.add(claim.name)
    page = client.post(url("check", claim), follow=True).content.decode()
    assert "The record is not there yet" in page
    publish(dns, claim)
    page = client.post(url("check", claim), follow=True).content.decode()
    assert "looked for a moment ago" in page
    assert not Domain.objects.filter(name=claim.name).exists()

    last = AuditEntry.objects.latest("pk")
    answer = client.post(url("check", earlier(reread(claim), minutes=1)))
    assert answer["Location"] == reverse("show_domain", args=[claim.name])
    domain = Domain.objects.get(name=claim.name)
    assert domain.customer == cast.customer
    assert hosted_domain(claim.name)
    assert not DomainClaim.objects.exists()
    assert actions_since(last) == ["domain.created", "domain_claim.proved"]
    assert {entry.actor for entry in AuditEntry.objects.filter(pk__gt=last.pk)} == {"manager@martin.test"}
    # Whoever still has the claim's page open is led to the domain, whatever they press.
    for action in ("show", "cancel"):
        assert client.get(url(action, claim))["Location"] == answer["Location"]
    for action in ("check", "renew", "cancel"):
        assert client.post(url(action, claim))["Location"] == answer["Location"]
    assert Domain.objects.filter(pk=domain.pk, deleted_at=None).exists()


@pytest.mark.parametrize(
    "name",
    [
        "",
        "localhost",
        "a b.test",
        "../x",
        "x\x00.test",
        "😀" * 300,
        "192.0.2.1",
        "%.test",
        "<b>.test",
        "_a.test",
    ],
)
def test_bad_domain_is_said_at_its_field(cast: Cast, dns: DnsServer, signed_in: SignedIn, name: str) -> None:
    answer = signed_in(cast.owner).post(reverse("claim_domain"), {"name": name})
    assert answer.status_code == 422
    assert answer.context["form"].errors["name"]
    assert not DomainClaim.objects.exists()
    assert dns.asked == []


def test_name_whose_record_would_be_too_long(cast: Cast) -> None:
    longest = ".".join(["a" * 61] * 4)[:243]
    assert claims.make_claim(customer=cast.customer, name=longest).name == longest
    with pytest.raises(Problem, match="too long"):
        claims.make_claim(customer=cast.customer, name="b." + longest)


def test_domain_that_is_hosted_here_is_refused_without_a_word_whose(cast: Cast, signed_in: SignedIn) -> None:
    services.create_domain(name="theirs.test", customer=cast.other_customer)
    answer = signed_in(cast.owner).post(reverse("claim_domain"), {"name": "Theirs.Test"})
    assert answer.status_code == 422
    said = str(answer.context["form"].errors["name"])
    assert "hosted here already" in said
    assert "ask your host" in said
    assert cast.other_customer.name not in answer.content.decode()
    answer = signed_in(cast.owner).post(reverse("claim_domain"), {"name": cast.domain.name})
    assert "has this domain already" in str(answer.context["form"].errors["name"])
    assert not DomainClaim.objects.exists()


def test_claim_sent_twice_is_one(cast: Cast, signed_in: SignedIn) -> None:
    client = signed_in(cast.owner)
    first, second = (client.post(reverse("claim_domain"), {"name": NAME}) for _time in range(2))
    assert first["Location"] == second["Location"]
    assert AuditEntry.objects.filter(action="domain_claim.made").count() == 1


def test_full_limit_is_said_at_once_and_when_it_is_proved(cast: Cast, dns: DnsServer) -> None:
    claim = claimed(cast)
    Customer.objects.filter(pk=cast.customer.pk).update(max_domains=1)
    with pytest.raises(Problem, match="may have 1 domains"):
        claims.make_claim(customer=cast.customer, name="another.test")
    publish(dns, claim)
    with pytest.raises(Problem, match="may have 1 domains"):
        claims.check_claim(claim=claim)
    claim = reread(claim)
    assert claim.last_result == Outcome.FOUND
    assert not Domain.objects.filter(name=NAME).exists()
    Customer.objects.filter(pk=cast.customer.pk).update(max_domains=2)
    assert isinstance(claims.check_claim(claim=earlier(claim, minutes=1)), Domain)


def test_a_customer_waits_for_some_domains_only(cast: Cast) -> None:
    for number in range(claims.CLAIMS_MAX):
        claims.make_claim(customer=cast.customer, name=f"d{number}.test")
    with pytest.raises(Problem, match="Give up one"):
        claims.make_claim(customer=cast.customer, name="one-more.test")
    claims.make_claim(customer=cast.customer, name="d3.test")
    claims.make_claim(customer=cast.other_customer, name="one-more.test")


def test_a_member_of_several_customers_says_which(cast: Cast, signed_in: SignedIn) -> None:
    cast.other_customer.memberships.create(user=cast.manager, role="manager")
    client = signed_in(cast.manager)
    assert client.post(reverse("claim_domain"), {"name": NAME}).status_code == 422
    form = {"name": NAME, "customer": str(cast.other_customer.pk)}
    assert client.post(reverse("claim_domain"), form).status_code == 302
    assert DomainClaim.objects.get().customer == cast.other_customer
    third = Customer.objects.create(name="Third")
    assert client.post(reverse("claim_domain"), form | {"customer": str(third.pk)}).status_code == 422


# -- who may ----------------------------------------------------------------------------------------------------


def test_roles(cast: Cast, dns: DnsServer, signed_in: SignedIn) -> None:
    claim = claimed(cast)
    acting = signed_in(cast.admin)
    acting.post(reverse("act_for_customer", args=[cast.customer.pk]))
    everybody = {
        "stranger": (signed_in(cast.stranger), 404, 404),
        "reader": (signed_in(cast.reader), 200, 403),
        "manager": (signed_in(cast.manager), 200, 302),
        "owner": (signed_in(cast.owner), 200, 302),
        "admin": (signed_in(cast.admin), 200, 302),
        "acting": (acting, 200, 302),
    }
    for who, (client, seen, changed) in everybody.items():
        assert client.get(url("show", claim)).status_code == seen, who
        assert (NAME in client.get(reverse("list_domains")).content.decode()) == (seen == 200), who
        assert (NAME in client.get(reverse("list_domain_claims")).content.decode()) == (seen == 200), who
        for action in ("check", "renew", "cancel"):
            assert client.post(url(action, claim)).status_code == changed, (who, action)
            if changed == 302 and action == "cancel":
                assert not DomainClaim.objects.exists()
                claim = claimed(cast)
    assert Client().get(url("show", claim)).status_code == 302
    assert signed_in(cast.reader).get(reverse("claim_domain")).status_code == 403
    assert signed_in(cast.reader).post(reverse("claim_domain"), {"name": "x.test"}).status_code == 403


def test_a_claim_of_another_customer_is_not_found_by_an_own_number(cast: Cast, signed_in: SignedIn) -> None:
    theirs = claimed(cast, customer=cast.other_customer)
    for action in ("check", "renew", "cancel"):
        address = reverse(f"{action}_domain_claim", args=[cast.customer.pk, theirs.name])
        assert signed_in(cast.owner).post(address).status_code == 404
    form = {"name": NAME, "customer": str(cast.other_customer.pk)}
    assert signed_in(cast.owner).post(reverse("claim_domain"), form).status_code == 302
    assert set(DomainClaim.objects.values_list("customer", flat=True)) == {
        cast.customer.pk,
        cast.other_customer.pk,
    }


def test_whoever_reads_only_sees_no_button(cast: Cast, signed_in: SignedIn) -> None:
    claim = claimed(cast)
    page = signed_in(cast.reader).get(url("show", claim)).content.decode()
    assert claim.record_value in page
    assert url("check", claim) not in page
    assert url("cancel", claim) not in page
    assert reverse("claim_domain") not in signed_in(cast.reader).get(reverse("list_domains")).content.decode()


def test_customers_are_offered_it_where_a_domain_is_missing(cast: Cast, signed_in: SignedIn) -> None:
    for name in ("list_domains", "list_mailboxes", "create_mailbox"):
        page = signed_in(cast.stranger).get(reverse(name)).content.decode()
        assert reverse("claim_domain") in page, name
    answer = signed_in(cast.stranger).get(reverse("show_customer", args=[cast.other_customer.pk]))
    assert reverse("claim_domain") in answer.content.decode()
    assert reverse("claim_domain") not in signed_in(cast.admin).get(reverse("list_domains")).content.decode()


def test_lists_take_few_queries(cast: Cast, signed_in: SignedIn, django_assert_max_num_queries: Any) -> None:
    for number in range(claims.CLAIMS_MAX):
        claims.make_claim(customer=cast.customer, name=f"d{number}.test")
    client = signed_in(cast.owner)
    client.get(reverse("list_domains"))  # the first request of a session notes it
    for name, shown in (("list_domains", 5), ("list_domain_claims", 20)):
        with django_assert_max_num_queries(10):
            page = client.get(reverse(name)).content.decode()
        assert page.count("/claims/d") == shown


# -- over, taken, suspended, cancelled --------------------------------------------------------------------------


def test_after_7_days_it_is_not_looked_for_and_can_be_renewed(
    cast: Cast, dns: DnsServer, signed_in: SignedIn
) -> None:
    claim = earlier(claimed(cast), days=7, minutes=1)
    publish(dns, claim)
    assert claim.state == claim.State.EXPIRED
    assert claims.check_due() == {"asked": 0, "added": 0}
    client = signed_in(cast.owner)
    page = client.post(url("check", claim), follow=True).content.decode()
    assert "Renew it first" in page
    assert "For 7 days the record was not found" in page
    assert dns.asked == []
    last = AuditEntry.objects.latest("pk")
    client.post(url("renew", claim))
    client.post(url("renew", claim))
    assert actions_since(last) == ["domain_claim.renewed"]
    renewed = reread(claim)
    assert (renewed.state, renewed.token) == (claim.State.WAITING, claim.token)
    assert claims.check_due() == {"asked": 1, "added": 1}


def test_claiming_again_what_is_over_renews_it(cast: Cast) -> None:
    claim = earlier(claimed(cast), days=8)
    again = claimed(cast)
    assert (again.pk, again.state) == (claim.pk, claim.State.WAITING)


def test_two_customers_claim_and_the_first_to_prove_has_it(
    cast: Cast, dns: DnsServer, signed_in: SignedIn
) -> None:
    Customer.objects.filter(pk=cast.other_customer.pk).update(name="Rivals")
    ours, theirs = claimed(cast), claimed(cast, customer=cast.other_customer)
    assert ours.token != theirs.token
    publish(dns, theirs)
    assert claims.check_claim(claim=ours) == Outcome.OTHER_VALUE
    publish(dns, ours, theirs)
    assert isinstance(claims.check_claim(claim=theirs), Domain)
    assert Domain.objects.get(name=NAME).customer == cast.other_customer
    ours = reread(ours)
    assert ours.state == ours.State.TAKEN
    page = signed_in(cast.owner).get(url("show", ours)).content.decode()
    assert "hosted here already" in page
    assert "Rivals" not in page
    assert claims.check_due() == {"asked": 0, "added": 0}
    page = signed_in(cast.owner).post(url("check", ours), follow=True).content.decode()
    assert "ask your host" in page
    assert signed_in(cast.owner).post(url("cancel", ours)).status_code == 302
    assert not DomainClaim.objects.exists()


def test_suspended_customers_are_not_looked_for(cast: Cast, dns: DnsServer) -> None:
    claim = claimed(cast)
    publish(dns, claim)
    with_addresses.suspend_customer(customer=cast.customer)
    claim = earlier(claim, minutes=10)
    assert claims.check_due() == {"asked": 0, "added": 0}
    for act in (
        lambda: claims.check_claim(claim=claim),
        lambda: claims.settle(claim=claim, outcome=Outcome.FOUND),
        lambda: claims.make_claim(customer=cast.customer, name="x.test"),
        lambda: claims.renew_claim(claim=claim),
    ):
        with pytest.raises(Problem, match="is suspended"):
            act()
    assert dns.asked == []
    assert not Domain.objects.filter(name=NAME).exists()


def test_cancelling_asks_first_and_ends_it(cast: Cast, dns: DnsServer, signed_in: SignedIn) -> None:
    claim = claimed(cast)
    client = signed_in(cast.manager)
    assert client.get(url("cancel", claim)).status_code == 200
    assert DomainClaim.objects.exists()
    last = AuditEntry.objects.latest("pk")
    assert client.post(url("cancel", claim))["Location"] == reverse("list_domains")
    assert actions_since(last) == ["domain_claim.cancelled"]
    # An answer that comes after it adds nothing.
    with pytest.raises(Problem, match="cancelled meanwhile"):
        claims.settle(claim=claim, outcome=Outcome.FOUND)
    assert not Domain.objects.filter(name=NAME).exists()
    assert client.get(url("show", claim)).status_code == 404
    again = claimed(cast)
    assert again.token != claim.token


def test_a_customer_is_deleted_with_its_claims(cast: Cast) -> None:
    claim = claimed(cast, customer=cast.other_customer)
    with_addresses.delete_customer(customer=cast.other_customer)
    assert not DomainClaim.objects.exists()
    with pytest.raises(Problem, match="deleted meanwhile"):
        claims.settle(claim=claim, outcome=Outcome.FOUND)


def test_the_trail_holds_no_value_and_every_step(cast: Cast, dns: DnsServer) -> None:
    last = AuditEntry.objects.latest("pk")
    claim = claimed(cast)
    publish(dns, claim)
    claims.check_claim(claim=claim)
    entries = AuditEntry.objects.filter(pk__gt=last.pk).order_by("pk")
    assert [(entry.action, entry.target, entry.customer_id) for entry in entries] == [
        ("domain_claim.made", NAME, cast.customer.pk),
        ("domain.created", NAME, cast.customer.pk),
        ("domain_claim.proved", NAME, cast.customer.pk),
    ]
    assert claim.token not in repr(list(entries.values()))


# -- by itself --------------------------------------------------------------------------------------------------


def test_the_job_finds_what_is_due(cast: Cast, dns: DnsServer) -> None:
    found, missing, broken = (earlier(claimed(cast, f"{name}.test"), minutes=5) for name in "abc")
    fresh = claimed(cast, "fresh.test")
    publish(dns, found)
    dns.domains.add("b.test")
    dns.failing.add(broken.record_name)
    start_due_domain_claims()
    assert Job.objects.filter(kind="check_domain_claims").count() == 1
    assert check_domain_claims() == {"asked": 3, "added": 1}
    assert Domain.objects.get(name="a.test").customer == cast.customer
    assert reread(missing).last_result == Outcome.NO_RECORD
    assert reread(broken).last_result == Outcome.FAILED
    assert reread(fresh).asked_at is None
    assert check_domain_claims() == {"asked": 0, "added": 0}
    start_due_domain_claims()
    assert Job.objects.filter(kind="check_domain_claims").count() == 1


def test_the_job_goes_through_more_than_it_takes_together(
    cast: Cast, dns: DnsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "TOGETHER", 3)
    made = [earlier(claimed(cast, f"d{number}.test"), minutes=5) for number in range(10)]
    for claim in made:
        publish(dns, claim)
    assert claims.check_due() == {"asked": 10, "added": 10}


def test_what_has_no_room_stops_no_other(cast: Cast, dns: DnsServer) -> None:
    first, second = (earlier(claimed(cast, f"{name}.test"), minutes=5) for name in "ab")
    theirs = earlier(claimed(cast, "c.test", customer=cast.other_customer), minutes=5)
    for claim in (first, second, theirs):
        publish(dns, claim)
    Customer.objects.filter(pk=cast.customer.pk).update(max_domains=2)
    assert claims.check_due() == {"asked": 3, "added": 2}
    (left,) = DomainClaim.objects.all()
    assert left.customer == cast.customer
    assert left.last_result == Outcome.FOUND


@pytest.mark.parametrize(
    ("age", "wait"),
    [
        (timedelta(minutes=5), timedelta(minutes=5)),
        (timedelta(hours=3), timedelta(minutes=15)),
        (timedelta(days=2), timedelta(hours=1)),
    ],
)
def test_older_claims_are_looked_for_less_often(
    cast: Cast, dns: DnsServer, age: timedelta, wait: timedelta
) -> None:
    claim = earlier(claimed(cast), seconds=age.total_seconds())
    claims.check_due()
    claim = reread(claim)
    assert claim.asked_at is not None
    assert claim.next_at - claim.asked_at == wait


def test_the_schedule_names_tasks_that_exist() -> None:
    entry = settings.CELERY_BEAT_SCHEDULE["look for the records that prove domains"]
    assert entry["args"] == [start_due_domain_claims.__name__]


# -- at once ----------------------------------------------------------------------------------------------------


def at_once(*acts: Callable[[], object]) -> list[object]:
    """Do several things at once, each with a connection of its own; return what each returned or was told."""
    came: list[object] = []
    ready = threading.Barrier(len(acts))

    def do(act: Callable[[], object]) -> None:
        try:
            ready.wait(30)
            came.append(act())
        except Problem as problem:
            came.append(str(problem))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=do, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(came) == len(acts), "one raised what no page can show"
    return came


@pytest.mark.django_db(transaction=True)
def test_one_claim_proved_many_times_at_once_is_one_domain() -> None:
    cast = make_cast()
    claim = claimed(cast)
    came = at_once(*[lambda: claims.settle(claim=claim, outcome=Outcome.FOUND)] * 6)
    assert {found.name for found in came if isinstance(found, Domain)} == {NAME}
    assert len([found for found in came if isinstance(found, Domain)]) == 6
    assert Domain.objects.filter(name=NAME).count() == 1
    assert AuditEntry.objects.filter(action="domain_claim.proved").count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_customers_who_prove_at_once_are_one_domain() -> None:
    cast = make_cast()
    ours, theirs = claimed(cast), claimed(cast, customer=cast.other_customer)
    came = at_once(
        *[lambda: claims.settle(claim=ours, outcome=Outcome.FOUND)] * 2,
        *[lambda: claims.settle(claim=theirs, outcome=Outcome.FOUND)] * 2,
    )
    assert len([found for found in came if isinstance(found, Domain)]) == 2
    assert len([said for said in came if "hosted here already" in str(said)]) == 2
    assert Domain.objects.filter(name=NAME).count() == 1
    assert DomainClaim.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_last_place_is_given_once() -> None:
    cast = make_cast()
    Customer.objects.filter(pk=cast.customer.pk).update(max_domains=2)
    made = [claimed(cast, f"d{number}.test") for number in range(4)]
    acts = [lambda claim=claim: claims.settle(claim=claim, outcome=Outcome.FOUND) for claim in made]
    came = at_once(*acts)
    assert len([found for found in came if isinstance(found, Domain)]) == 1
    assert Domain.objects.filter(customer=cast.customer).count() == 2


@pytest.mark.django_db(transaction=True)
def test_claiming_cancelling_and_proving_at_once_end_well() -> None:
    cast = make_cast()
    claim = claimed(cast)
    at_once(
        lambda: claims.make_claim(customer=cast.customer, name=NAME),
        lambda: claims.cancel_claim(claim=claim),
        lambda: claims.settle(claim=claim, outcome=Outcome.FOUND),
        lambda: claims.make_claim(customer=cast.customer, name=NAME),
        lambda: claims.renew_claim(claim=claim),
    )
    assert Domain.objects.filter(name=NAME).count() <= 1
    assert DomainClaim.objects.filter(name=NAME).count() <= 1


@pytest.mark.django_db(transaction=True)
def test_a_button_pressed_many_times_asks_once(dns: DnsServer) -> None:
    cast = make_cast()
    claim = claimed(cast)
    publish(dns, claim)
    dns.slow = 0.3
    came = at_once(*[lambda: claims.check_claim(claim=claim)] * 5)
    assert len([found for found in came if isinstance(found, Domain)]) == 1
    assert dns.names_asked() == [claim.record_name]
    assert timezone.now() >= Domain.objects.get(name=NAME).created_at
