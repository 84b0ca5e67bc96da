"""A mailbox or a domain comes below others whose rules end more: nothing of it ends earlier because of that."""

from __future__ import annotations

import pytest

from panel.accounts.models import Customer
from panel.addresses.inherited import PopPolicy, what_counts
from panel.addresses.inheriting import set_inherited
from panel.addresses.models import Domain, Mailbox
from panel.addresses.renaming import rename_mailbox
from panel.addresses.services import create_domain, edit_domain
from panel.core.models import AuditEntry, Job
from panel.retention import changing
from panel.retention.models import RetentionRule
from panel.retention.rules import effective_at, said_at
from tests.cast import Cast
from tests.panel.retention.rule_rows import confirmed, rule


@pytest.fixture
def there(cast: Cast) -> Domain:
    """Another domain of the same customer."""
    return create_domain(name="there.test", customer=cast.customer)


def own(**of: object) -> dict[str, int | None]:
    return dict(RetentionRule.objects.filter(**of).values_list("folder", "days"))


def counting(level: Domain) -> dict[str, int | None]:
    return {each.folder: each.days for each in effective_at(level)}


def test_a_mailbox_keeps_what_would_end_earlier_there(cast: Cast, there: Domain) -> None:
    rule(cast.domain, "Trash", 30)
    rule(cast.domain, "Junk", 7)
    rule(there, "Trash", 10)
    rule(there, "Junk", 8)
    rule(there, "Sent", 90)
    rename_mailbox(mailbox=cast.mailbox, local_part="anna", domain=there)
    assert own(mailbox=cast.mailbox) == {"Trash": 30, "Sent": None}
    entries = AuditEntry.objects.filter(action=changing.KEPT).order_by("pk")
    assert [entry.after for entry in entries] == [
        {"rule_folder": "Sent", "rule_days": "never"},
        {"rule_folder": "Trash", "rule_days": 30},
    ]
    assert {entry.customer_id for entry in entries} == {cast.customer.pk}


def test_what_it_says_itself_goes_on(cast: Cast, there: Domain) -> None:
    rule(cast.mailbox, "Trash", 5)
    rule(there, "Trash", 1)
    rename_mailbox(mailbox=cast.mailbox, local_part="anna", domain=there)
    assert own(mailbox=cast.mailbox) == {"Trash": 5}
    assert not AuditEntry.objects.filter(action=changing.KEPT).exists()


def test_another_name_alone_changes_nothing(cast: Cast) -> None:
    rule(cast.domain, "Trash", 30)
    rename_mailbox(mailbox=cast.mailbox, local_part="other")
    assert own(mailbox=cast.mailbox) == {}


def test_what_waits_there_was_counted_without_it(cast: Cast, there: Domain) -> None:
    confirmed(there, "Trash", 10)
    rename_mailbox(mailbox=cast.mailbox, local_part="anna", domain=there)
    assert own(mailbox=cast.mailbox) == {"Trash": None}


def test_folders_below_count_too(cast: Cast, there: Domain) -> None:
    rule(there, "Archive/Old", 10)
    rule(cast.domain, "Archive", 400)
    rename_mailbox(mailbox=cast.mailbox, local_part="anna", domain=there)
    assert own(mailbox=cast.mailbox) == {"Archive/Old": 400}


def test_a_domain_keeps_what_its_customer_and_the_platform_said(cast: Cast) -> None:
    rule(None, "Trash", 90)
    rule(cast.customer, "Junk", 30)
    rule(cast.other_customer, "Trash", 5)
    edit_domain(domain=cast.domain, customer=cast.other_customer, default_quota_bytes=None)
    assert own(domain=cast.domain) == {"Trash": 90}
    assert counting(cast.domain) == {"Trash": 90}
    assert "Junk" not in {each.folder for each in said_at(cast.domain)}


@pytest.mark.parametrize(("days", "kept"), [(3, 14), (14, None), (60, None)])
def test_deleted_messages_can_be_recovered_as_long(cast: Cast, days: int, kept: int | None) -> None:
    Customer.objects.filter(pk=cast.other_customer.pk).update(recovery_days=days)
    cast.other_customer.refresh_from_db()
    edit_domain(domain=cast.domain, customer=cast.other_customer, default_quota_bytes=None)
    cast.domain.refresh_from_db()
    assert cast.domain.recovery_days == kept
    assert what_counts(cast.domain).recovery_days == max(days, 14)


@pytest.mark.parametrize(("there", "starts", "kept"), [(None, 3, 14), (40, 3, None), (None, 20, None)])
def test_recovery_that_waits_there_was_counted_without_it(
    cast: Cast, there: int | None, starts: int, kept: int | None
) -> None:
    """A nearer level that says something itself has the last word."""
    move_to = create_domain(name="there.test", customer=cast.customer)
    Domain.objects.filter(pk=move_to.pk).update(recovery_days=there)
    Customer.objects.filter(pk=cast.customer.pk).update(recovery_days=90)
    Domain.objects.filter(pk=cast.domain.pk).update(recovery_days=14)
    cast.customer.refresh_from_db()
    change = changing.propose_recovery(cast.customer, starts)
    assert change is not None
    figures = changing.figures_of(change)
    assert figures is not None
    changing.confirm(change, figures)
    mailbox = Mailbox.objects.select_related("domain__customer").get()
    rename_mailbox(mailbox=mailbox, local_part="anna", domain=move_to)
    mailbox.refresh_from_db()
    assert mailbox.recovery_days == kept
    changing.start_due(change.starts_at)
    mailbox = Mailbox.objects.select_related("domain__customer").get()
    assert what_counts(mailbox).recovery_days >= 14


def test_a_change_that_waits_to_inherit_was_counted_with_what_was_above(cast: Cast, there: Domain) -> None:
    rule(cast.domain, "Trash", 30)
    rule(cast.mailbox, "Trash", None)
    rule(there, "Trash", 1)
    change = confirmed(cast.mailbox, "Trash", None, inherit=True)
    other = confirmed(cast.mailbox, "Junk", 7)
    rename_mailbox(mailbox=cast.mailbox, local_part="other")
    assert changing.waiting_changes().count() == 2
    rename_mailbox(mailbox=cast.mailbox, local_part="anna", domain=there)
    change.refresh_from_db()
    assert change.cancelled_at
    assert list(changing.waiting_changes()) == [other]
    changing.start_due(other.starts_at)
    assert own(mailbox=cast.mailbox) == {"Junk": 7, "Trash": None}


@pytest.mark.parametrize(
    ("here", "there", "counts"),
    [
        ("keep:30", "keep:1", "keep:30"),
        ("keep", "keep:300", "keep"),
        ("keep:30", "keep:90", "keep:90"),
        ("keep:30", "keep", "keep"),
        ("delete", "keep:1", "keep:1"),
        # Nothing ends: what was hidden is offered to POP again.
        ("keep:30", "delete", "delete"),
    ],
)
@pytest.mark.parametrize("level", ["mailbox", "domain"])
def test_copies_of_what_pop_deleted_end_no_earlier(
    cast: Cast, level: str, here: str, there: str, counts: str
) -> None:
    def say(row: Domain | Customer, policy: str) -> None:
        deletes, _colon, days = policy.partition(":")
        pop = PopPolicy("keep_days", int(days)) if days else PopPolicy(deletes)
        set_inherited(level=row, default_quota_bytes=None, pop=pop)

    if level == "mailbox":
        move_to = create_domain(name="there.test", customer=cast.customer)
        say(cast.domain, here)
        say(move_to, there)
        mailbox = Mailbox.objects.select_related("domain__customer").get()
        Job.objects.all().delete()
        rename_mailbox(mailbox=mailbox, local_part="anna", domain=move_to)
    else:
        say(cast.customer, here)
        say(cast.other_customer, there)
        Job.objects.all().delete()
        domain = Domain.objects.select_related("customer").get(pk=cast.domain.pk)
        edit_domain(domain=domain, customer=cast.other_customer, default_quota_bytes=None)
    mailbox = Mailbox.objects.select_related("domain__customer").get()
    assert what_counts(mailbox).pop.as_command == counts
    # What POP hides follows.
    assert Job.objects.filter(kind__in=["follow_pop_policy", "follow_inherited_pop_policy"]).exists()
    row = mailbox if level == "mailbox" else mailbox.domain
    assert bool(row.pop_deletes) is (counts == here)
