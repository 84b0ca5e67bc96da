"""The list of mailboxes: sorting, searching, pages, what they hold, and what is done to several."""

from __future__ import annotations

import html
import re
import shutil
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbackend.dovecot.doveadm import Answer, Command, MailServiceDown, Quota
from panel.accounts.models import User
from panel.addresses import services
from panel.addresses.inherited import what_counts
from panel.addresses.models import Mailbox
from panel.core import mail, pages
from panel.core.models import AuditEntry
from tests.cast import PASSWORD, Cast

SignedIn = Callable[[User], Client]

VERBS = ("suspend_mailboxes", "resume_mailboxes", "delete_mailboxes")


def fill(cast: Cast, number: int) -> list[Mailbox]:
    """Make rows without homes, m0000 and on, that hold as many bytes as their number says."""
    now = timezone.now()
    return Mailbox.objects.bulk_create(
        Mailbox(
            domain=cast.domain,
            local_part=f"m{index:04}",
            address=f"m{index:04}@{cast.domain.name}",
            home=f"x/{index}",
            provisioned_at=now,
            used_bytes=index * 1024,
            used_at=now,
        )
        for index in range(number)
    )


def addresses(answer: Any) -> list[str]:
    """Return the parts before the @ of what a list shows."""
    return [mailbox.local_part for mailbox in answer.context["page_obj"]]


def test_home_of_a_customers_people_is_their_list(cast: Cast, signed_in: SignedIn) -> None:
    for person in (cast.owner, cast.manager, cast.reader):
        answer = signed_in(person).get(reverse("home"))
        assert answer.status_code == 200
        assert addresses(answer) == ["anna"]
    assert "page_obj" not in signed_in(cast.admin).get(reverse("home")).context


def test_sort_and_pages(cast: Cast, signed_in: SignedIn) -> None:
    fill(cast, 60)
    client = signed_in(cast.owner)
    url = reverse("list_mailboxes")
    assert addresses(client.get(url))[:2] == ["anna", "m0000"]
    assert addresses(client.get(url, {"page": "2"}))[-1] == "m0059"
    assert addresses(client.get(url, {"page": "99"}))[-1] == "m0059"
    assert addresses(client.get(url, {"sort": "-address"}))[0] == "m0059"
    known = [name for name in addresses(client.get(url, {"sort": "-used_bytes"})) if name != "anna"]
    assert known[:2] == ["m0059", "m0058"]
    assert addresses(client.get(url, {"sort": "-created_at"}))[0] == "m0059"


@pytest.mark.parametrize(
    "query", [{}, {"q": "m00"}, {"page": "2"}, {"sort": "-used_bytes"}, {"state": "suspended"}]
)
def test_query_count_does_not_grow(
    cast: Cast, signed_in: SignedIn, django_assert_max_num_queries: Any, query: dict[str, str]
) -> None:
    fill(cast, 300)
    for person in (cast.admin, cast.owner):
        client = signed_in(person)
        client.get(reverse("list_mailboxes"))  # the first request of a session notes it
        with django_assert_max_num_queries(10):
            client.get(reverse("list_mailboxes"), query)


def test_hub_takes_few_queries(cast: Cast, signed_in: SignedIn, django_assert_max_num_queries: Any) -> None:
    client = signed_in(cast.owner)
    client.get(reverse("home"))
    for name in ("show_mailbox", "set_up_mailbox", "show_mailbox_settings"):
        with django_assert_max_num_queries(10):
            assert client.get(reverse(name, args=[cast.mailbox.pk])).status_code == 200


def test_count_ends_somewhere(cast: Cast, signed_in: SignedIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "COUNTED", 100)
    fill(cast, 120)
    client = signed_in(cast.admin)
    answer = client.get(reverse("list_mailboxes"))
    assert "More than 100 mailboxes" in answer.content.decode()
    last = client.get(reverse("list_mailboxes"), {"page": "2"})
    assert not last.context["page_obj"].has_next()
    assert "Search to find them" in last.content.decode()


def test_usage_is_asked_for_after_the_page(cast: Cast, signed_in: SignedIn) -> None:
    client = signed_in(cast.owner)
    page = client.get(reverse("list_mailboxes")).content.decode()
    assert f"{reverse('show_usage')}?id={cast.mailbox.pk}" in page
    # No Dovecot runs here: nothing is known, nothing fails.
    assert client.get(reverse("show_usage"), {"id": cast.mailbox.pk}).status_code == 204
    assert client.get(reverse("show_usage"), {"id": ["x", "-1", "9" * 30]}).status_code == 204
    Mailbox.objects.filter(pk=cast.mailbox.pk).update(
        used_bytes=1024**3, used_at=timezone.now(), quota_bytes=2 * 1024**3
    )
    page = client.get(reverse("list_mailboxes")).content.decode()
    assert "1\N{NO-BREAK SPACE}GB" in page
    assert 'value="50"' in page
    assert f"{reverse('show_usage')}?id=" not in page


def test_no_boxes_to_tick_for_readers(cast: Cast, signed_in: SignedIn) -> None:
    assert 'name="id"' in signed_in(cast.manager).get(reverse("list_mailboxes")).content.decode()
    assert 'name="id"' not in signed_in(cast.reader).get(reverse("list_mailboxes")).content.decode()


@pytest.mark.parametrize("name", VERBS)
def test_several_for_every_role(cast: Cast, signed_in: SignedIn, name: str) -> None:
    url = reverse(name)
    ids: dict[str, Any] = {"id": [cast.mailbox.pk], "reason": "x", "confirm": "1"}
    assert Client().post(url, ids).status_code == 302
    assert signed_in(cast.reader).get(url, ids).status_code == 403
    assert signed_in(cast.reader).post(url, ids).status_code == 403
    # To a stranger it does not exist: there is nothing to do.
    assert signed_in(cast.stranger).post(url, ids)["Location"] == reverse("list_mailboxes")
    cast.mailbox.refresh_from_db()
    assert cast.mailbox.state == Mailbox.State.ACTIVE
    for person in (cast.admin, cast.owner, cast.manager):
        page = signed_in(person).get(url, ids)
        assert cast.mailbox.address in page.content.decode()
    assert signed_in(cast.owner).get(url)["Location"] == reverse("list_mailboxes")
    assert signed_in(cast.owner).put(url).status_code == 405


def test_several_are_suspended_resumed_deleted_each_with_its_entry(cast: Cast, signed_in: SignedIn) -> None:
    other = services.create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD)
    boxes, ids = [cast.mailbox, other], [cast.mailbox.pk, other.pk]
    client = signed_in(cast.manager)

    def states() -> list[str]:
        return [Mailbox.objects.get(pk=box.pk).state.value for box in boxes]

    answer = client.post(reverse("suspend_mailboxes"), {"id": ids, "reason": "invoice 12"})
    assert answer.status_code == 302
    assert states() == ["suspended", "suspended"]
    assert Mailbox.objects.get(pk=other.pk).suspended_reason == "invoice 12"
    client.post(reverse("resume_mailboxes"), {"id": ids})
    assert states() == ["active", "active"]
    assert client.post(reverse("delete_mailboxes"), {"id": ids, "confirm": "3"}).status_code == 422
    assert states() == ["active", "active"]
    client.post(reverse("delete_mailboxes"), {"id": ids, "confirm": "2"})
    assert states() == ["deleted", "deleted"]
    for verb in ("suspended", "resumed", "deleted"):
        assert AuditEntry.objects.filter(action=f"mailbox.{verb}").count() == 2


def test_what_cannot_be_done_is_told_for_each(cast: Cast, signed_in: SignedIn) -> None:
    gone = services.create_mailbox(domain=cast.domain, local_part="gone", password=PASSWORD)
    services.delete_mailbox(mailbox=gone)
    foreign = services.create_domain(name="foreign.test", customer=cast.other_customer)
    theirs = services.create_mailbox(domain=foreign, local_part="x", password=PASSWORD)
    answer = signed_in(cast.owner).post(
        reverse("suspend_mailboxes"), {"id": [cast.mailbox.pk, gone.pk, theirs.pk], "reason": ""}
    )
    assert answer.status_code == 200
    page = answer.content.decode()
    assert gone.address in page
    assert "is deleted" in page
    assert theirs.address not in page
    cast.mailbox.refresh_from_db()
    theirs.refresh_from_db()
    assert cast.mailbox.suspended_at
    assert theirs.suspended_at is None


def test_a_manager_here_who_only_reads_there(cast: Cast, signed_in: SignedIn) -> None:
    from panel.accounts.members import add_member

    foreign = services.create_domain(name="foreign.test", customer=cast.other_customer)
    theirs = services.create_mailbox(domain=foreign, local_part="x", password=PASSWORD)
    add_member(customer=cast.other_customer, person=cast.manager, role="reader")
    answer = signed_in(cast.manager).post(
        reverse("delete_mailboxes"), {"id": [cast.mailbox.pk, theirs.pk], "confirm": "2"}
    )
    assert "You may see it, and not change it." in answer.content.decode()
    theirs.refresh_from_db()
    cast.mailbox.refresh_from_db()
    assert (theirs.deleted_at is None, cast.mailbox.deleted_at is None) == (True, False)


def test_pop_policy_in_plain_words(cast: Cast, signed_in: SignedIn) -> None:
    url = reverse("set_mailbox_pop_policy", args=[cast.mailbox.pk])
    client = signed_in(cast.manager)
    for given, policy in (
        ({"pop_deletes": "keep_days", "days": "7"}, "keep:7"),
        ({"pop_deletes": "keep", "days": ""}, "keep"),
        ({"pop_deletes": "delete"}, "delete"),
    ):
        assert client.post(url, given).status_code == 302
        cast.mailbox.refresh_from_db()
        assert what_counts(cast.mailbox).pop.as_command == policy
    for bad in (
        {"pop_deletes": "keep_days", "days": ""},
        {"pop_deletes": "keep_days", "days": "0"},
        {"pop_deletes": "x"},
    ):
        assert client.post(url, bad).status_code == 422
    assert signed_in(cast.reader).post(url, {"pop_deletes": "keep"}).status_code == 403
    assert signed_in(cast.stranger).post(url, {"pop_deletes": "keep"}).status_code == 404
    cast.mailbox.refresh_from_db()
    assert what_counts(cast.mailbox).pop.as_command == "delete"


def test_tabs_for_every_role(cast: Cast, signed_in: SignedIn) -> None:
    for name in ("show_mailbox", "set_up_mailbox", "show_mailbox_settings"):
        url = reverse(name, args=[cast.mailbox.pk])
        assert signed_in(cast.stranger).get(url).status_code == 404
        assert Client().get(url).status_code == 302
        for person in (cast.admin, cast.owner, cast.manager, cast.reader):
            assert signed_in(person).get(url).status_code == 200
    url = reverse("show_mailbox_settings", args=[cast.mailbox.pk])
    assert "Delete mailbox" in signed_in(cast.manager).get(url).content.decode()
    assert "Delete mailbox" not in signed_in(cast.reader).get(url).content.decode()


class ChangingDovecot:
    """A mail service in memory whose mailboxes all hold the same."""

    used_kb = 1
    asked = 0
    is_down = False

    def batch(self, commands: Sequence[Command]) -> list[Answer]:
        return [Answer((self._row("STORAGE", self.used_kb), self._row("MESSAGE", 1))) for _ in commands]

    def quota(self, address: str) -> Quota:  # noqa: ARG002 - all hold the same
        if self.is_down:
            raise MailServiceDown("It does not answer.")
        self.asked += 1
        return Quota(self.used_kb * 1024, None, 1)

    def _row(self, kind: str, value: int) -> dict[str, str]:
        self.asked += 1
        return {"type": kind, "value": str(value), "limit": "-"}


@pytest.fixture
def dovecot(monkeypatch: pytest.MonkeyPatch) -> ChangingDovecot:
    """A mail service in memory."""
    fake = ChangingDovecot()
    monkeypatch.setattr(mail, "doveadm", lambda **_timeout: fake)
    return fake


def grow(cast: Cast, dovecot: ChangingDovecot, used_kb: int) -> None:
    """Have a message arrive."""
    dovecot.used_kb = used_kb
    (settings.DATA_DIR.mail / cast.mailbox.home / "Maildir" / "dovecot.list.index.log").write_bytes(
        b"x" * used_kb
    )


def polled(page: str, name: str) -> str:
    """Return what an open page asks for again and again."""
    found = re.search(rf'hx-get="({re.escape(name)}\?[^"]*seen=[^"]*)"', page)
    assert found is not None, page
    return html.unescape(found[1])


def test_an_open_list_follows_what_mailboxes_hold(
    cast: Cast, signed_in: SignedIn, dovecot: ChangingDovecot
) -> None:
    client, path = signed_in(cast.reader), reverse("follow_usage")
    ask = polled(client.get(reverse("list_mailboxes")).content.decode(), path)
    assert client.get(ask).status_code == 204
    assert dovecot.asked == 0
    grow(cast, dovecot, 700)
    answer = client.get(ask).content.decode()
    assert f'id="usage-{cast.mailbox.pk}" hx-swap-oob="true"' in answer
    assert "700\N{NO-BREAK SPACE}KB" in answer
    assert client.get(polled(answer, path)).status_code == 204
    # To a stranger it does not exist; and what no page of ours asks is none.
    assert signed_in(cast.stranger).get(ask).status_code == 204
    assert client.get(path, {"seen": ["x", ".", f"{'9' * 30}.a"]}).status_code == 204


def test_an_open_mailbox_follows_what_it_holds(
    cast: Cast, signed_in: SignedIn, dovecot: ChangingDovecot
) -> None:
    client, path = signed_in(cast.reader), reverse("show_mailbox_usage", args=[cast.mailbox.pk])
    ask = polled(client.get(reverse("show_mailbox", args=[cast.mailbox.pk])).content.decode(), path)
    asked = dovecot.asked
    assert client.get(ask).status_code == 204
    assert dovecot.asked == asked
    grow(cast, dovecot, 300)
    answer = client.get(ask).content.decode()
    assert "300\N{NO-BREAK SPACE}KB" in answer
    assert client.get(polled(answer, path)).status_code == 204
    # Another quota shows as soon.
    services.edit_mailbox(mailbox=cast.mailbox, quota_bytes=1024**2)
    answer = client.get(polled(answer, path)).content.decode()
    assert "of 1\N{NO-BREAK SPACE}MB used" in answer
    # Dovecot went, and came back.
    dovecot.is_down = True
    grow(cast, dovecot, 400)
    answer = client.get(polled(answer, path)).content.decode()
    assert "is not known now" in answer
    assert client.get(polled(answer, path)).status_code == 204
    dovecot.is_down = False
    answer = client.get(polled(answer, path)).content.decode()
    assert "400\N{NO-BREAK SPACE}KB" in answer
    # Its home is gone: Dovecot would make an empty one.
    asked = dovecot.asked
    shutil.rmtree(settings.DATA_DIR.mail / cast.mailbox.home)
    assert client.get(polled(answer, path)).status_code == 204
    assert dovecot.asked == asked
    services.delete_mailbox(mailbox=cast.mailbox)
    assert client.get(ask).status_code == 204


def test_held_ones_are_found(cast: Cast) -> None:
    other = services.create_mailbox(domain=cast.domain, local_part="held", password=PASSWORD)
    Mailbox.objects.filter(pk=other.pk).update(held_at=timezone.now(), hold_reason="Claim 4711")
    client = Client()
    client.force_login(cast.admin, settings.AUTHENTICATION_BACKENDS[0])
    page = client.get(reverse("list_mailboxes"), {"state": "held"}).content.decode()
    assert str(other.address) in page
    assert str(cast.mailbox.address) not in page
