"""Several mailboxes from pasted lines."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from mailbackend.passwords import verify_password
from panel.accounts.models import Customer, User
from panel.addresses import services, several
from panel.addresses.models import Mailbox
from panel.addresses.several import BadLines, create_from_lines
from panel.core.errors import Problem
from panel.core.models import AuditEntry
from tests.cast import Cast

SignedIn = Callable[[User], Client]

GB = 1024**3


def test_lines_become_mailboxes_with_passwords(cast: Cast) -> None:
    text = f"bob; Bob Brown; 5 GB\n\n  Carol@{cast.domain.name.upper()}\tCarol\r\ndave"
    created = create_from_lines(domain=cast.domain, text=text, quota_bytes=GB)
    boxes = [each.mailbox for each in created]
    assert [(box.local_part, box.display_name, box.quota_bytes) for box in boxes] == [
        ("bob", "Bob Brown", 5 * GB),
        ("carol", "Carol", GB),
        ("dave", "", GB),
    ]
    assert len({each.password for each in created}) == 3
    for each in created:
        stored = Mailbox.objects.get(pk=each.mailbox.pk)
        assert verify_password(each.password, stored.password)
        assert stored.state == Mailbox.State.ACTIVE
    assert (
        AuditEntry.objects.filter(action="mailbox.created", target_id__in=[b.pk for b in boxes]).count() == 3
    )
    assert "password" not in repr(created)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("bob\n\nc d\nanna", [3]),
        ("bob; x; much", [1]),
        ("bob@elsewhere.test\nok\nx@", [1, 3]),
        ("bob;a;1G;more", [1]),
        ("bob\ncarol\n\nbob", [1, 4]),
        ("x\n\nanna", [3]),
        ("=cmd()\nb", [1]),
    ],
)
def test_bad_lines_are_named_and_nothing_is_created(cast: Cast, text: str, numbers: list[int]) -> None:
    with pytest.raises(BadLines) as caught:
        create_from_lines(domain=cast.domain, text=text, quota_bytes=None)
    assert [line.number for line in caught.value.lines] == numbers
    assert Mailbox.objects.count() == 1


def test_none_too_many_and_a_limit(cast: Cast) -> None:
    for text in ("", " \n \n", "\n".join(f"m{number}" for number in range(several.AT_ONCE + 1))):
        with pytest.raises(Problem):
            create_from_lines(domain=cast.domain, text=text, quota_bytes=None)
    Customer.objects.filter(pk=cast.customer.pk).update(max_mailboxes=2)
    with pytest.raises(Problem, match="no room"):
        create_from_lines(domain=cast.domain, text="bob\ncarol", quota_bytes=None)
    assert Mailbox.objects.count() == 1


def test_page_shows_the_passwords_once(cast: Cast, signed_in: SignedIn) -> None:
    client = signed_in(cast.manager)
    url = reverse("create_mailboxes")
    given = {"domain": cast.domain.pk, "quota_preset": str(GB), "lines": "bob\ncarol; Carol"}
    answer = client.post(url, given)
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    passwords = re.findall(r"<code>([^<]+)</code>", answer.content.decode())
    assert len(passwords) == 2
    bob = Mailbox.objects.get(local_part="bob")
    assert verify_password(passwords[0], bob.password)
    again = client.post(url, given)
    assert again.status_code == 422
    assert Mailbox.objects.filter(domain=cast.domain).count() == 3


def test_page_keeps_what_was_typed(cast: Cast, signed_in: SignedIn) -> None:
    lines = "bob; Bob\nc d; Carol\nanna"
    answer = signed_in(cast.owner).post(
        reverse("create_mailboxes"), {"domain": cast.domain.pk, "quota_preset": "none", "lines": lines}
    )
    assert answer.status_code == 422
    page = answer.content.decode()
    assert "Line 2:" in page
    assert "c d; Carol" in page


def test_page_for_every_role(cast: Cast, signed_in: SignedIn) -> None:
    url = reverse("create_mailboxes")
    given = {"domain": cast.domain.pk, "quota_preset": "none", "lines": "zoe"}
    assert signed_in(cast.reader).get(url).status_code == 403
    assert signed_in(cast.reader).post(url, given).status_code == 403
    assert signed_in(cast.stranger).post(url, given).status_code == 422  # not a domain of theirs
    assert Client().post(url, given).status_code == 302
    assert not Mailbox.objects.filter(local_part="zoe").exists()
    for person in (cast.admin, cast.owner, cast.manager):
        assert signed_in(person).get(url).status_code == 200


def test_a_suspended_domain_still_takes_new_ones(cast: Cast) -> None:
    services.suspend_domain(domain=cast.domain)
    created = create_from_lines(domain=cast.domain, text="bob", quota_bytes=None)
    assert created[0].mailbox.home
