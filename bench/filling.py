"""Rows of the connection log by the million, made within the database."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from panel.accounts.customers import create_customer
from panel.accounts.models import Customer, User
from panel.accounts.services import create_admin
from panel.addresses import services
from panel.addresses.models import Domain
from panel.connections.models import Connection, HourlyCount
from panel.connections.planning import Key

_PASSWORD = "a sentence for the bench"  # noqa: S105 - of people who live for minutes
_CUSTOMER, _DOMAIN = "Log of the bench", "log.test"
#: How long the log goes back.
_DAYS = 90
#: Customers, domains, addresses and IP addresses that the rows are spread over, and one open session in how many rows.
_CUSTOMERS, _DOMAINS, _ADDRESSES, _IPS, _OPEN = 200, 2_000, 100_000, 60_000, 5_000
#: Rows of one statement.
_TOGETHER = 250_000

# One row of the number i. Customers and domains are the real ones or numbers above them: nothing refers to these.
_SELECT = """
    SELECT 'bench', 's' || i, 0,
      CASE WHEN i %% 4 = 0 THEN 'pop3' ELSE 'imap' END,
      CASE WHEN i %% 8 = 7 THEN 'refused' ELSE 'accepted' END,
      CASE WHEN i %% 8 = 7 THEN CASE WHEN i %% 24 = 7 THEN 'wrong_password' ELSE 'unknown_address' END
           WHEN i %% {open} = 1 THEN '' ELSE 'logged_out' END,
      'a' || (i * 7919 %% {addresses}) || '@log.test', NULL, {domain} + i %% {domains}, {customer} + i %% {customers},
      'main', {started}, CASE WHEN i %% {open} = 1 THEN NULL ELSE {started} END,
      '10.' || (i * 31 %% {ips} / 250) || '.1.' || (i * 31 %% {ips} %% 250),
      '10.' || (i * 31 %% {ips} / 250) || '.1.0/24',
      40000, 'TLSv1.3', 'TLS_AES_256_GCM_SHA384', 'PLAIN', 'Thunderbird', '128', 1000, 50000, 3, 0, 0
    FROM {numbers}
"""
_COLUMNS = (
    "node", "session", "attempt", "protocol", "outcome", "reason", "address", "mailbox_id", "domain_id", "customer_id",
    "credential", "started_at", "ended_at", "remote_ip", "remote_net", "remote_port", "tls", "cipher", "mechanism",
    "client_name", "client_version", "bytes_in", "bytes_out", "retrieved", "deleted", "expunged",
)  # fmt: skip


def fill_log(size: int) -> dict[str, Any]:
    """Make that many rows over 90 days, with the counts of their hours, and people who look at them.

    Returns:
        e-mails of an administrator and of a customer's owner, and one value for each filter.
    """
    admin = create_admin(email="admin@log.test", password=_PASSWORD)
    customer = create_customer(name=_CUSTOMER, owner_email="owner@log.test", owner_password=_PASSWORD)
    domain = services.create_domain(name=_DOMAIN, customer=customer)
    begin = timezone.now() - timedelta(days=_DAYS)
    _insert(size, begin, domain.pk, customer.pk)
    _count(size, begin, customer.pk)
    middle = Connection.objects.get(session=f"s{size // 2}", node="bench")
    return {
        "admin": admin.email,
        "owner": "owner@log.test",
        "middle": str(Key(middle.started_at, middle.pk)).replace("+", "%2B"),
        "address": middle.address,
        "ip": middle.remote_ip,
        "network": middle.remote_net,
        "domain": _DOMAIN,
        "customer": customer.pk,
        "day": (timezone.localdate() - timedelta(days=1)).isoformat(),
    }


def empty_log() -> dict[str, Any]:
    """Take all of it away again."""
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {Connection._meta.db_table}")  # noqa: S608 - the name is ours
    HourlyCount.objects.all().delete()
    Domain.objects.filter(name=_DOMAIN).delete()
    User.objects.filter(email__in=["admin@log.test", "owner@log.test"]).delete()
    Customer.objects.filter(name=_CUSTOMER).delete()
    return {}


def _insert(size: int, begin: datetime, domain: int, customer: int) -> None:
    """Insert without indexes and make them afterwards: in the order of their columns, and in a fraction of the time."""
    indexes = Connection._meta.indexes
    with connection.schema_editor() as editor:
        for index in indexes:
            editor.remove_index(Connection, index)
    step = timedelta(days=_DAYS) / size
    for first in range(1, size + 1, _TOGETHER):
        last = min(first + _TOGETHER - 1, size)
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_statement(first, last, begin, step.total_seconds(), domain, customer), [])
    with connection.schema_editor() as editor:
        for index in indexes:
            editor.add_index(Connection, index)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def _statement(first: int, last: int, begin: datetime, step: float, domain: int, customer: int) -> str:
    epoch = begin.timestamp()
    if connection.vendor == "postgresql":
        numbers = f"generate_series({first}::bigint, {last}) AS numbers(i)"
        started = f"to_timestamp({epoch} + i * {step!r})"
    else:
        counting = f"SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last}"  # noqa: S608 - numbers
        numbers = f"(WITH RECURSIVE n(i) AS ({counting}) SELECT i FROM n)"  # noqa: S608 - the same
        started = f"strftime('%%Y-%%m-%%d %%H:%%M:%%f', {epoch} + i * {step!r}, 'unixepoch')"
    select = _SELECT.format(
        open=_OPEN,
        addresses=_ADDRESSES,
        domain=domain,
        domains=_DOMAINS,
        customer=customer,
        customers=_CUSTOMERS,
        ips=_IPS,
        started=started,
        numbers=numbers,
    )
    return f"INSERT INTO {Connection._meta.db_table} ({', '.join(_COLUMNS)}) {select}"


def _count(size: int, begin: datetime, customer: int) -> None:
    """Write down how many there were each hour, for every customer."""
    first = begin.replace(minute=0, second=0, microsecond=0)
    each = max(size // (_DAYS * 24 * _CUSTOMERS), 1)
    HourlyCount.objects.bulk_create(
        (
            HourlyCount(
                hour=first + timedelta(hours=hour),
                customer_id=customer + number,
                protocol="imap",
                outcome=outcome,
                connections=each,
            )
            for hour in range(_DAYS * 24)
            for number in range(_CUSTOMERS)
            for outcome in ("accepted", "refused")
        ),
        batch_size=5_000,
    )
