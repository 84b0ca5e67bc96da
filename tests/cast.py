"""Who appears in the panel's tests: the host's admin, a customer's people, and a stranger of another customer."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from unittest import mock

from argon2 import PasswordHasher
from django.conf import settings
from django.contrib.auth.hashers import make_password

from mailbackend import maildir, passwords
from panel.accounts.customers import create_customer
from panel.accounts.hashers import Argon2id
from panel.accounts.members import add_member
from panel.accounts.models import Customer, User
from panel.accounts.services import create_admin, create_person
from panel.addresses.models import Domain, Mailbox
from panel.addresses.services import create_domain, create_mailbox
from panel.core.models import Installation

PASSWORD = "correct-horse-battery"


@dataclass
class Cast:
    """The people, and what they have."""

    admin: User
    owner: User
    manager: User
    reader: User
    stranger: User
    customer: Customer
    other_customer: Customer
    domain: Domain
    mailbox: Mailbox


@contextmanager
def _hashed_once() -> Iterator[None]:
    """Everybody has the same password: hashing it for each would be half of the time of all tests of the panel."""
    of_person, of_mailbox = _hashes()
    with (
        mock.patch.object(Argon2id, "encode", return_value=of_person),
        mock.patch.object(PasswordHasher, "hash", return_value=of_mailbox),
    ):
        yield


@cache
def _hashes() -> tuple[str, str]:
    return make_password(PASSWORD), passwords.hash_password(PASSWORD).removeprefix(passwords.SCHEME)


@_hashed_once()
def make_cast() -> Cast:
    """Create everybody."""
    ensure_mail_root()
    admin = create_admin(email="admin@host.test", password=PASSWORD)
    customer = create_customer(name="Martin SA", owner_email="owner@martin.test", owner_password=PASSWORD)
    other = create_customer(name="Other", owner_email="stranger@other.test", owner_password=PASSWORD)
    manager, reader = (
        create_person(email=f"{role}@martin.test", password=PASSWORD) for role in ("manager", "reader")
    )
    add_member(customer=customer, person=manager, role="manager")
    add_member(customer=customer, person=reader, role="reader")
    domain = create_domain(name=f"d{secrets.token_hex(4)}.test", customer=customer)
    return Cast(
        admin=admin,
        owner=customer.members.get(memberships__role="owner"),
        manager=manager,
        reader=reader,
        stranger=other.members.get(),
        customer=customer,
        other_customer=other,
        domain=domain,
        mailbox=create_mailbox(
            domain=domain, local_part="anna", password=PASSWORD, display_name="Anna Martin"
        ),
    )


def ensure_mail_root() -> None:
    """Tie this run's mail root to the test's database."""
    root = settings.DATA_DIR.mail
    marker = maildir.read_marker(root)
    if marker is None:
        marker = secrets.token_hex(16)
        maildir.create_mail_root(root, marker)
    Installation.objects.get_or_create(id=1, defaults={"mail_root_id": marker})
