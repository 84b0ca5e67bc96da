"""What POP hides follows what becomes of messages that POP deletes, when that changes."""

from __future__ import annotations

import json
import secrets
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from panel.addresses import services
from panel.addresses.inherited import Level, PopPolicy
from panel.addresses.inheriting import set_inherited
from panel.addresses.models import Domain, Mailbox
from panel.addresses.services import create_domain, create_mailbox
from panel.core.models import AuditEntry, Installation, Job
from panel.retention import following, kept_copies, tasks
from panel.retention.models import KeptCopy
from tests.cast import PASSWORD, Cast
from tests.panel.retention.dovecot import HidingDovecot

KINDS = ("follow_pop_policy", "follow_inherited_pop_policy")
DELETE = PopPolicy("delete")


def follow() -> None:
    """Run the jobs that are due."""
    for job in Job.objects.filter(kind__in=KINDS, state=Job.State.QUEUED, due_at__lte=timezone.now()):
        getattr(tasks, job.kind)(**job.arguments)
        job.delete()


def hide_two(cast: Cast, dovecot: HidingDovecot) -> None:
    for uid in (1, 2):
        dovecot.hide(cast.mailbox, uid, timezone.now())
    kept_copies.end_due(now=timezone.now())
    assert KeptCopy.objects.count() == 2


@pytest.mark.parametrize("end_hidden", [False, True])
def test_to_delete_at_once_shows_it_again_or_ends_it(
    cast: Cast, dovecot: HidingDovecot, end_hidden: bool
) -> None:
    hide_two(cast, dovecot)
    services.set_pop_policy(mailbox=cast.mailbox, policy="delete", end_hidden=end_hidden)
    follow()
    assert (dovecot.ended, dovecot.shown) == (([1, 2], []) if end_hidden else ([], [1, 2]))
    assert not KeptCopy.objects.exists()
    action = kept_copies.ENDED if end_hidden else kept_copies.SHOWN
    assert AuditEntry.objects.filter(action=action, customer_id=cast.customer.pk).count() == 1
    # A session that was open then hides one more when it ends.
    again = Job.objects.get(kind="follow_pop_policy")
    assert again.due_at > timezone.now() + timedelta(minutes=20)
    dovecot.hide(cast.mailbox, 3, timezone.now())
    tasks.follow_pop_policy(**again.arguments)
    assert dovecot.uids(cast.mailbox) == []
    assert Job.objects.filter(kind="follow_pop_policy").count() == 1


def test_from_keep_nothing_was_noted_and_it_is_found_all_the_same(cast: Cast, dovecot: HidingDovecot) -> None:
    services.set_pop_policy(mailbox=cast.mailbox, policy="keep")
    follow()
    dovecot.hide(cast.mailbox, 1, timezone.now())
    services.set_pop_policy(mailbox=cast.mailbox, policy="delete")
    follow()
    assert dovecot.shown == [1]


def test_to_keep_forgets_and_back_begins_anew(cast: Cast, dovecot: HidingDovecot) -> None:
    hide_two(cast, dovecot)
    services.set_pop_policy(mailbox=cast.mailbox, policy="keep")
    follow()
    assert not KeptCopy.objects.exists()
    assert dovecot.uids(cast.mailbox) == [1, 2]
    services.set_pop_policy(mailbox=cast.mailbox, policy="keep:5")
    follow()
    assert KeptCopy.objects.filter(first_seen_at__gt=timezone.now() - timedelta(minutes=1)).count() == 2


def test_nothing_is_done_where_nothing_changes(cast: Cast, dovecot: HidingDovecot) -> None:
    services.set_pop_policy(mailbox=cast.mailbox, policy="keep:30")  # as inherited
    services.set_pop_policy(mailbox=cast.mailbox, policy="inherit")
    assert not Job.objects.filter(kind__in=KINDS).exists()


@pytest.mark.parametrize("end_hidden", [False, True])
def test_saved_again_it_shows_or_ends_what_came_back_hidden(
    cast: Cast, dovecot: HidingDovecot, *, end_hidden: bool
) -> None:
    services.set_pop_policy(mailbox=cast.mailbox, policy="delete")
    follow()
    dovecot.hide(cast.mailbox, 1, timezone.now())
    services.set_pop_policy(mailbox=cast.mailbox, policy="delete", end_hidden=end_hidden)
    follow()
    assert (dovecot.ended, dovecot.shown) == (([1], []) if end_hidden else ([], [1]))


def test_what_is_inherited_is_followed_again_when_it_is_saved_again(
    cast: Cast, dovecot: HidingDovecot
) -> None:
    set_inherited(level=cast.domain, default_quota_bytes=None, pop=DELETE)
    follow()
    dovecot.hide(cast.mailbox, 1, timezone.now())
    set_inherited(level=cast.domain, default_quota_bytes=1024, pop=DELETE)
    follow()
    assert dovecot.shown == []
    set_inherited(level=cast.domain, default_quota_bytes=1024, pop=DELETE)
    follow()
    assert dovecot.shown == [1]


@pytest.mark.parametrize("name", ["platform", "customer", "domain"])
def test_what_is_inherited_changes_for_those_that_inherit_it(
    cast: Cast, dovecot: HidingDovecot, name: str
) -> None:
    own = create_mailbox(domain=cast.domain, local_part="own", password=PASSWORD)
    elsewhere = create_domain(name=f"e{secrets.token_hex(4)}.test", customer=cast.other_customer)
    Domain.objects.filter(pk=elsewhere.pk).update(pop_deletes="delete")
    there = create_mailbox(domain=elsewhere, local_part="there", password=PASSWORD)
    # With a mark of its own accord: it was put back so.
    Mailbox.objects.filter(pk=own.pk).update(pop_deletes="delete")
    for uid, box in enumerate((cast.mailbox, own, there), 1):
        dovecot.hide(box, uid, timezone.now())
    levels: dict[str, Level] = {
        "platform": Installation.objects.get(),
        "customer": cast.customer,
        "domain": cast.domain,
    }
    set_inherited(level=levels[name], default_quota_bytes=None, pop=DELETE)
    follow()
    assert dovecot.shown == [1]
    assert following.follow_below(levels[name])[0].messages == 0


def test_a_domain_that_comes_to_another_customer_follows_what_it_finds_there(
    cast: Cast, dovecot: HidingDovecot
) -> None:
    dovecot.hide(cast.mailbox, 1, timezone.now())
    set_inherited(level=cast.other_customer, default_quota_bytes=None, pop=DELETE)
    follow()
    assert dovecot.shown == []
    services.edit_domain(domain=cast.domain, customer=cast.other_customer, default_quota_bytes=None)
    follow()
    assert dovecot.shown == [1]


def test_one_run_is_bounded(cast: Cast, dovecot: HidingDovecot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "PAGE", 1)
    monkeypatch.setattr(following, "AT_A_TIME", -1)
    create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD)
    set_inherited(level=cast.domain, default_quota_bytes=None, pop=DELETE)
    follow()
    job = Job.objects.filter(kind=KINDS[1]).order_by("-pk")[0]
    assert job.arguments["after"] == cast.mailbox.pk


def command(mailbox: Mailbox, *arguments: str) -> Any:
    out = StringIO()
    call_command("setmailbox", mailbox.address, *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def test_the_command_loses_nothing_unless_told_to(
    cast: Cast, dovecot: HidingDovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("panel.addresses.management.commands.setmailbox.mailbox_as_json", lambda _box: {})
    command(cast.mailbox, "--pop-deletes", "delete")
    assert Job.objects.get(kind=KINDS[0]).arguments["end_hidden"] is False
    command(cast.mailbox, "--pop-deletes", "keep")
    command(cast.mailbox, "--pop-deletes", "delete", "--hidden-copies", "end")
    assert Job.objects.filter(kind=KINDS[0]).order_by("-pk")[0].arguments["end_hidden"] is True
    with pytest.raises(CommandError, match="--pop-deletes delete"):
        command(cast.mailbox, "--pop-deletes", "keep", "--hidden-copies", "end")
