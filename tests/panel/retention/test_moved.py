"""A mailbox or a domain comes below others whose rules end more: nothing of it ends earlier because of that."""

from __future__ import annotations

import pytest

from panel.accounts.models import Customer
from panel.addresses.inherited import what_counts
from panel.addresses.models import Domain
from panel.addresses.renaming import rename_mailbox
from panel.addresses.services import create_domain, edit_domain
from panel.core.models import AuditEntry
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
