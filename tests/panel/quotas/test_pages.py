"""Pages of storage: what they say in words, whom they are for, and what is exported."""

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.http import StreamingHttpResponse
from django.test import Client
from django.utils import timezone

from mailbackend.dovecot.doveadm import FolderUse, MailServiceDown, Quota, Recoverable
from panel.accounts.models import User
from panel.addresses.models import Mailbox
from panel.addresses.owners import owner_of
from panel.addresses.services import create_mailbox
from panel.core import mail
from panel.quotas import history, storage
from panel.quotas.models import QuotaWarning, UsageSample, UsageTotal
from tests.cast import PASSWORD, Cast

pytestmark = pytest.mark.django_db

GB = 1024**3
SignedIn = Callable[[User], Client]


class Folders:
    """A mail service in memory, which counts how often it was asked of the folders."""

    def __init__(self) -> None:
        self.asked = 0
        self.down = False
        self.uses = [
            FolderUse("Archive", 3, GB),
            FolderUse("INBOX", 1, 2 * GB),
            FolderUse("Trash", 0, 0),
            *(FolderUse(f"Folder {number}", 1, 100) for number in range(20)),
        ]

    def quota(self, _address: str) -> Quota:
        """Say what the mailbox holds."""
        if self.down:
            raise MailServiceDown("down")
        return Quota(used_bytes=3 * GB, limit_bytes=5 * GB, messages=24)

    def folder_uses(self, _address: str) -> list[FolderUse]:
        """Say what each folder holds."""
        self.asked += 1
        if self.down:
            raise MailServiceDown("down")
        return self.uses

    def oldest_saved(self, _address: str) -> dict[str, Any]:
        """Say since when there is something in the inbox."""
        return {"INBOX": timezone.now() - timedelta(days=400)}

    def recoverable(self, _address: str) -> Recoverable:
        """Say what was removed."""
        return Recoverable(7, GB, 8)


@pytest.fixture
def dovecot(monkeypatch: pytest.MonkeyPatch) -> Folders:
    """A mail service in memory."""
    fake = Folders()
    monkeypatch.setattr(mail, "doveadm", lambda **_timeout: fake)
    monkeypatch.setattr("mailbackend.maildir.has_removed_mail", lambda *_: True)
    return fake


@pytest.fixture
def box(cast: Cast) -> Mailbox:
    """A mailbox of 5 GB that grew by 100 MB each of the last 20 days, to 3 GB."""
    Mailbox.objects.filter(pk=cast.mailbox.pk).update(quota_bytes=5 * GB, used_bytes=3 * GB)
    today = history.day_of(timezone.now())
    UsageSample.objects.bulk_create(
        UsageSample(
            mailbox=cast.mailbox, day=today - timedelta(days=days), used_bytes=3 * GB - days * 100 * 1024**2
        )
        for days in range(1, 21)
    )
    return Mailbox.objects.get(pk=cast.mailbox.pk)


def text_of(answer: Any) -> str:
    assert answer.status_code == 200
    return " ".join(answer.content.decode().replace("\N{NO-BREAK SPACE}", " ").split())


def test_a_page_says_in_words_what_is_to_be_expected(
    box: Mailbox, cast: Cast, dovecot: Folders, signed_in: SignedIn
) -> None:
    text = text_of(signed_in(cast.reader).get(f"/mailboxes/{box.pk}/storage/"))
    assert "<strong>3 GB</strong> of 5 GB, full in about 20 days at this pace." in text
    assert "It grows by about 100 MB a day." in text
    assert "<svg" in text
    assert "style=" not in text
    # The folders are asked for once the page is there.
    assert dovecot.asked == 0
    assert f'hx-get="/mailboxes/{box.pk}/storage/?folders=1" hx-trigger="load"' in text
    assert "Change its quota" not in text
    assert "Change its quota" in text_of(signed_in(cast.manager).get(f"/mailboxes/{box.pk}/storage/"))


def test_folders_are_listed_the_largest_first(
    box: Mailbox, cast: Cast, dovecot: Folders, signed_in: SignedIn
) -> None:
    text = text_of(signed_in(cast.owner).get(f"/mailboxes/{box.pk}/storage/?folders=1"))
    assert dovecot.asked == 1
    assert text.index("Inbox") < text.index("Archive</th>") < text.index("Folder 0</th>")
    assert "Trash</th>" not in text
    assert "10 smaller folders hold 1000 bytes together." in text
    assert "7 deleted messages with 1 GB can be recovered, outside the quota." in text
    dovecot.uses = []
    assert "No message is in any folder." in text_of(
        signed_in(cast.owner).get(f"/mailboxes/{box.pk}/storage/?folders=1")
    )


def test_without_the_mail_service_it_says_what_was_known(
    box: Mailbox, cast: Cast, dovecot: Folders, signed_in: SignedIn
) -> None:
    dovecot.down = True
    text = text_of(signed_in(cast.owner).get(f"/mailboxes/{box.pk}/storage/?folders=1"))
    assert "<strong>3 GB</strong> of 5 GB" in text
    assert "this is what was known last" in text
    assert "did not say in time" in text
    Mailbox.objects.filter(pk=box.pk).update(used_bytes=None)
    text = text_of(signed_in(cast.owner).get(f"/mailboxes/{box.pk}/storage/"))
    assert "How much it holds is not known now" in text


def test_a_new_mailbox_explains_what_will_stand_there(
    cast: Cast, dovecot: Folders, signed_in: SignedIn
) -> None:
    text = text_of(signed_in(cast.owner).get(f"/mailboxes/{cast.mailbox.pk}/storage/"))
    assert "After the second one a chart stands here." in text
    assert "How fast it fills is known after a week." in text
    assert "at this pace" not in text


def test_its_owner_sees_it_and_no_other(
    box: Mailbox, cast: Cast, dovecot: Folders, signed_in: SignedIn
) -> None:
    other = create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD)
    its_own = owner_of(box)
    assert its_own is not None
    owner = signed_in(its_own)
    text = text_of(owner.get(f"/mailboxes/{box.pk}/storage/"))
    assert "Or ask whoever gave you this mailbox for more room." in text
    assert owner.get(f"/mailboxes/{other.pk}/storage/").status_code == 404
    assert signed_in(cast.stranger).get(f"/mailboxes/{box.pk}/storage/").status_code == 404
    for path in (f"/customers/{cast.customer.pk}/storage/", "/storage/", "/storage.csv"):
        assert owner.get(path).status_code == 403


def test_a_customer_sees_its_totals(box: Mailbox, cast: Cast, signed_in: SignedIn) -> None:
    today = history.day_of(timezone.now())
    for days in (3, 2):
        UsageTotal.objects.create(
            customer=cast.customer,
            day=today - timedelta(days=days),
            mailboxes=1,
            used_bytes=GB,
            given_bytes=0,
        )
    path = f"/customers/{cast.customer.pk}/storage/"
    text = text_of(signed_in(cast.reader).get(path))
    assert "<strong>3 GB</strong> in 1 mailbox." in text
    assert "<svg" in text
    assert "60%" in text
    assert "+2 GB" in text
    assert signed_in(cast.stranger).get(path).status_code == 404
    assert signed_in(cast.owner).get("/storage/").status_code == 403
    assert "<strong>3 GB</strong> in 1 mailbox." in text_of(signed_in(cast.admin).get("/storage/"))


def test_what_has_no_quota_is_no_part_of_what_is_used_of_quotas(box: Mailbox, cast: Cast) -> None:
    other = create_mailbox(domain=cast.domain, local_part="free", password=PASSWORD, quota_bytes=None)
    Mailbox.objects.filter(pk=other.pk).update(used_bytes=9 * GB, quota_bytes=None)
    totals = storage.totals_of(cast.customer, timezone.now())
    assert (totals.used_bytes, totals.used_of_given_bytes, totals.given_bytes) == (12 * GB, 3 * GB, 5 * GB)
    assert totals.unlimited == 1


def lines_of(answer: Any) -> list[dict[str, str]]:
    assert isinstance(answer, StreamingHttpResponse)
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    content = answer.getvalue().decode()
    return list(csv.DictReader(content.splitlines()))


def test_usage_is_exported(
    box: Mailbox, cast: Cast, signed_in: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("panel.quotas.export._TOGETHER", 1)
    other = create_mailbox(domain=cast.domain, local_part="-bob", password=PASSWORD)
    (first, second) = lines_of(signed_in(cast.reader).get(f"/customers/{cast.customer.pk}/storage.csv"))
    assert first == {
        "address": box.address,
        "customer": "Martin SA",
        "state": "active",
        "used_bytes": str(3 * GB),
        "quota_bytes": str(5 * GB),
        "used_percent": "60",
        "grown_bytes_in_30_days": str(2000 * 1024**2),
        "measured_at": "",
    }
    # A spreadsheet would take it for a formula.
    assert second["address"] == f"'{other.address}"
    assert signed_in(cast.stranger).get(f"/customers/{cast.customer.pk}/storage.csv").status_code == 404
    assert lines_of(signed_in(cast.stranger).get(f"/customers/{cast.other_customer.pk}/storage.csv")) == []
    assert signed_in(cast.owner).get("/storage.csv").status_code == 403
    assert len(lines_of(signed_in(cast.admin).get("/storage.csv"))) == 2


def test_homes_tell_what_fills_up_and_nothing_twice(box: Mailbox, cast: Cast, signed_in: SignedIn) -> None:
    def crossing(kind: str, percent: int = 0) -> None:
        QuotaWarning.objects.create(
            mailbox=box,
            kind=kind,
            percent=percent,
            crossed_at=timezone.now(),
            used_bytes=1,
            quota_bytes=2,
            full_on=None if percent else history.day_of(timezone.now()),
        )

    crossed, soon = "1 mailbox is more than 80% full.", "1 mailbox will be full within 7 days at its pace."
    home = signed_in(cast.manager)
    assert crossed not in text_of(home.get("/"))
    crossing("percent", 80)
    assert crossed in text_of(home.get("/"))
    crossing("soon")
    text = text_of(home.get("/"))
    assert soon in text
    assert crossed not in text
    assert f"/customers/{cast.customer.pk}/storage/" in text
    assert "At its pace this mailbox will be full" in text_of(home.get(f"/mailboxes/{box.pk}/"))
    # Almost full is told by those words alone.
    Mailbox.objects.filter(pk=box.pk).update(used_bytes=5 * GB)
    text = text_of(home.get("/"))
    assert "1 mailbox is almost full." in text
    assert soon not in text
    assert crossed not in text
    assert soon not in text_of(signed_in(cast.stranger).get("/"))
