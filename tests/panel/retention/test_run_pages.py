"""Pages of the purges: what they tell, who may look, and what the buttons do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import LazySettings
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from panel.accounts.models import User
from panel.connections.models import RemovedMessage
from panel.core import jobs
from panel.core.models import AuditEntry, Job
from panel.retention import runs
from panel.retention.models import PurgeItem, PurgeRun
from tests.cast import Cast
from tests.panel.retention.folders import FolderDovecot
from tests.panel.retention.rule_rows import DAY, rule

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
SignedIn = Callable[[User], Client]


@pytest.fixture
def run(cast: Cast, folders: FolderDovecot, monkeypatch: pytest.MonkeyPatch) -> PurgeRun:
    """A run that counted three messages, one night."""
    monkeypatch.setattr(jobs, "send", lambda _job: None)
    rule(None, "Trash", 30)
    folders.save(cast.mailbox, "Trash", NOW - 40 * DAY, 3)
    run = runs.start_run(PurgeRun.Kind.NIGHTLY, NOW)
    runs.count(run)
    run.refresh_from_db()
    return run


def body(client: Client, name: str, *arguments: int, **query: str) -> str:
    answer = client.get(reverse(name, args=arguments), query)
    assert answer.status_code == 200
    return answer.content.decode()


def test_an_empty_list_says_when_the_first_one_runs(cast: Cast, signed_in: SignedIn) -> None:
    assert "No purge yet" in body(signed_in(cast.admin), "list_purge_runs")


def test_a_run_is_told_while_it_counts_while_it_purges_and_when_it_is_done(
    cast: Cast, run: PurgeRun, signed_in: SignedIn
) -> None:
    client = signed_in(cast.admin)
    PurgeRun.objects.filter(pk=run.pk).update(state=PurgeRun.State.COUNTING)
    page = body(client, "show_purge_run", run.pk)
    assert "data-poll" in page
    assert "<progress" in page
    PurgeRun.objects.filter(pk=run.pk).update(state=PurgeRun.State.COUNTED)
    assert runs.begin(run)
    page = body(client, "show_purge_run", run.pk)
    assert "data-poll" in page
    assert "0 of 3 messages purged." in page
    runs.purge(run)
    page = body(client, "show_purge_run", run.pk)
    assert "data-poll" not in page
    assert "3 of 3 messages purged." in page
    assert cast.mailbox.address in page
    assert "Cancel the purge" not in page
    listed = body(client, "list_purge_runs")
    assert "3 of 3 messages purged." in listed
    assert "All rules, each night" in listed


def test_a_rule_is_told_in_the_readers_language(cast: Cast, run: PurgeRun, signed_in: SignedIn) -> None:
    client = signed_in(cast.admin)
    assert "Trash: 30 days (the platform)" in body(client, "show_purge_run", run.pk)
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = "fr"
    page = body(client, "show_purge_run", run.pk)
    assert "Trash\N{NO-BREAK SPACE}: 30 jours (la plateforme)" in page
    assert "Toutes les règles, chaque nuit" in page


def test_what_failed_is_told_with_its_reason_and_listed_first(
    cast: Cast, run: PurgeRun, signed_in: SignedIn
) -> None:
    PurgeItem.objects.update(state=PurgeItem.State.FAILED, error="The mailbox is under a legal hold.")
    page = body(signed_in(cast.admin), "show_purge_run", run.pk)
    assert "under a legal hold" in page
    assert "under a legal hold" in body(signed_in(cast.admin), "show_purge_run", run.pk, state="failed")
    assert "Nothing is in this state." in body(signed_in(cast.admin), "show_purge_run", run.pk, state="done")
    assert "under a legal hold" in body(signed_in(cast.admin), "show_purge_run", run.pk, state="nonsense")


def test_a_run_that_stopped_asks_on_the_home_page_and_goes_on_when_it_is_allowed(
    cast: Cast, run: PurgeRun, signed_in: SignedIn, settings: LazySettings, folders: FolderDovecot
) -> None:
    settings.PURGE_STOPS_FROM = 2
    assert not runs.begin(run)
    client = signed_in(cast.admin)
    assert "A purge stopped and asks." in body(client, "home")
    page = body(client, "show_purge_run", run.pk)
    assert "Let it go on" in page
    client.post(reverse("allow_purge_run", args=[run.pk]))
    run.refresh_from_db()
    assert (run.state, run.allowed_by) == (PurgeRun.State.PURGING, cast.admin)
    assert Job.objects.filter(kind=runs.PURGING, arguments__run=run.pk).count() == 1
    assert "A purge stopped and asks." not in body(client, "home")
    assert AuditEntry.objects.filter(action=runs.ALLOWED, actor_id=cast.admin.pk).exists()
    again = client.post(reverse("allow_purge_run", args=[run.pk]), follow=True)
    assert "It is in another state by now." in again.content.decode()
    assert Job.objects.filter(kind=runs.PURGING, arguments__run=run.pk).count() == 1


def test_cancelling_asks_first_and_ends_it(
    cast: Cast, run: PurgeRun, signed_in: SignedIn, folders: FolderDovecot
) -> None:
    client = signed_in(cast.admin)
    assert "can be recovered" in body(client, "cancel_purge_run", run.pk)
    run.refresh_from_db()
    assert run.state == PurgeRun.State.COUNTED
    client.post(reverse("cancel_purge_run", args=[run.pk]), {"version": ""})
    run.refresh_from_db()
    assert run.state == PurgeRun.State.CANCELLED
    assert AuditEntry.objects.filter(action=runs.CANCELLED, actor_id=cast.admin.pk).exists()
    assert not runs.begin(run)
    assert folders.uids(cast.mailbox, "Trash") == [1, 2, 3]
    assert client.post(reverse("cancel_purge_run", args=[run.pk]), {"version": ""}).status_code == 422


def test_only_administrators_see_and_change_runs(cast: Cast, run: PurgeRun, signed_in: SignedIn) -> None:
    for person in (cast.owner, cast.manager, cast.stranger):
        client = signed_in(person)
        assert client.get(reverse("list_purge_runs")).status_code == 403
        assert client.get(reverse("show_purge_run", args=[run.pk])).status_code == 403
        for name in ("allow_purge_run", "cancel_purge_run"):
            assert client.post(reverse(name, args=[run.pk])).status_code in (403, 404)
    run.refresh_from_db()
    assert run.state == PurgeRun.State.COUNTED
    assert signed_in(cast.admin).get(reverse("show_purge_run", args=[10**9])).status_code == 404


def test_where_did_my_mail_go_names_the_rule(
    cast: Cast, run: PurgeRun, signed_in: SignedIn, folders: FolderDovecot
) -> None:
    assert runs.begin(run)
    runs.purge(run)
    RemovedMessage.objects.bulk_create(
        RemovedMessage(
            mailbox=cast.mailbox,
            uid=uid,
            folder="Trash",
            removed_at=timezone.now() - timedelta(seconds=uid),
            protocol="doveadm",
        )
        for uid in (1, 2, 3)
    )
    page = body(signed_in(cast.owner), "show_gone_mail", cast.mailbox.pk)
    assert "The server itself removed 3 messages" in page
    assert "Rules of retention purged 3 messages." in page
