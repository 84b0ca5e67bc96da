"""The views survive migrations, and nobody else's data can be read through Dovecot's role."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.utils import ProgrammingError

from mailbackend.dovecot.queries import TOKENS_2_3, build_queries
from panel.addresses.models import Mailbox
from panel.addresses.services import create_mailbox, set_pop_policy
from panel.addresses.views_for_dovecot import create_dovecot_role, create_views, missing_views
from panel.core import mail
from tests.cast import PASSWORD, make_cast


@pytest.mark.django_db(transaction=True)
def test_each_migration_is_applied_over_rows() -> None:
    """Back and forth with rows in the tables: a view in the way would make it fail."""
    cast = make_cast()
    call_command("migrate", "addresses", "0001", verbosity=0)
    call_command("migrate", "addresses", verbosity=0)
    assert missing_views() == []
    assert Mailbox.objects.get(pk=cast.mailbox.pk).address == cast.mailbox.address


@pytest.mark.django_db(transaction=True)
def test_what_nobody_chose_is_inherited_after_the_migration() -> None:
    """A mailbox whose policy somebody set keeps it, even where it is the one that is built in."""
    cast = make_cast()
    chosen = create_mailbox(domain=cast.domain, local_part="chosen", password=PASSWORD)
    set_pop_policy(mailbox=chosen, policy="keep:30")
    gone = create_mailbox(domain=cast.domain, local_part="gone", password=PASSWORD)
    set_pop_policy(mailbox=gone, policy="delete")
    call_command("migrate", "addresses", "0004", verbosity=0)
    call_command("migrate", "addresses", verbosity=0)
    found = Mailbox.objects.order_by("pk").values_list("pop_deletes", flat=True)
    assert list(found) == ["", "keep_days", "delete"]


@pytest.mark.django_db(transaction=True)
def test_customers_migrate_under_the_views() -> None:
    """The views read the customers' table too, which an older state of the database has without suspension."""
    cast = make_cast()
    call_command("migrate", "accounts", "0001", verbosity=0)
    assert len(missing_views()) == 3
    call_command("migrate", verbosity=0)
    assert missing_views() == []
    assert Mailbox.objects.get(pk=cast.mailbox.pk).domain.customer == cast.customer


@pytest.mark.django_db(transaction=True)
def test_views_are_gone_with_their_tables_and_come_back() -> None:
    call_command("migrate", "addresses", "zero", verbosity=0)
    assert len(missing_views()) == 3
    call_command("migrate", verbosity=0)
    assert missing_views() == []


@pytest.mark.django_db(transaction=True)
def test_dovecots_role_reads_the_views_and_nothing_else() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no roles: Dovecot can read the whole file there.")
    name, password = mail.dovecot_role()
    create_dovecot_role(name, password)
    create_dovecot_role(name, password)
    create_views()
    with connection.cursor() as cursor:
        cursor.execute(f'SET ROLE "{name}"')
        try:
            cursor.execute("SELECT count(*) FROM mail_login")
            assert cursor.fetchone() == (0,)
            with pytest.raises(ProgrammingError, match="permission denied"):
                cursor.execute("SELECT count(*) FROM addresses_mailbox")
        finally:
            cursor.execute("RESET ROLE")


@pytest.mark.django_db
def test_a_login_reads_no_table_through() -> None:
    """The device password is found by its hash, the mailbox by its address."""
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL reads small tables through, whatever their indexes.")
    query = build_queries(TOKENS_2_3, Path("/srv/mail"), "p" * 43).password
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {query}")
        steps = [row[3] for row in cursor.fetchall()]
    assert any("SEARCH v USING INDEX" in step and "(secret_hash=?)" in step for step in steps), steps
    assert any("SEARCH m USING INDEX" in step and "(address=?)" in step for step in steps), steps
    assert [step for step in steps if step.startswith("SCAN")] == ["SCAN found"], steps
