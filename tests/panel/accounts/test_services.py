"""People and customers."""

from __future__ import annotations

import pytest

from panel.accounts.customers import create_customer
from panel.accounts.models import Customer, Membership, User
from panel.accounts.services import check_line, create_admin, set_password
from panel.core.errors import Problem

PASSWORD = "correct-horse-battery"

pytestmark = pytest.mark.django_db


def test_password_is_stored_as_argon2id_with_our_costs() -> None:
    admin = create_admin(email=" Admin@Host.Test ", password=PASSWORD)
    assert admin.email == "admin@host.test"
    assert "argon2id$v=19$m=19456,t=2,p=1$" in admin.password
    assert admin.check_password(PASSWORD)


@pytest.mark.parametrize(
    "email", ["", "x", "a@b\n.test", "a b@c.test", "a@" + "d" * 300 + ".test", "a\x00@b.test"]
)
def test_bad_email_is_refused(email: str) -> None:
    with pytest.raises(Problem) as problem:
        create_admin(email=email, password=PASSWORD)
    assert problem.value.field == "email"
    assert not User.objects.exists()


@pytest.mark.parametrize("password", ["", "short", "password", "x" * 2000, "with\x00nul-inside"])
def test_bad_password_is_refused(password: str) -> None:
    with pytest.raises(Problem) as problem:
        create_admin(email="a@b.test", password=password)
    assert problem.value.field == "password"
    assert not User.objects.exists()


def test_email_is_unique_whatever_its_letter_case() -> None:
    create_admin(email="a@b.test", password=PASSWORD)
    with pytest.raises(Problem, match="already"):
        create_admin(email="A@B.test", password=PASSWORD)


def test_customer_has_its_owner() -> None:
    customer = create_customer(
        name="  Martin SA ", owner_email="o@m.test", owner_password=PASSWORD, max_mailboxes=3
    )
    assert (customer.name, customer.max_mailboxes) == ("Martin SA", 3)
    membership = Membership.objects.get(customer=customer)
    assert (membership.user.email, membership.role) == ("o@m.test", "owner")


def test_person_who_exists_becomes_owner_and_keeps_their_password() -> None:
    create_customer(name="One", owner_email="o@m.test", owner_password=PASSWORD)
    create_customer(name="Two", owner_email="O@m.test", owner_password="another-password")
    owner = User.objects.get()
    assert owner.check_password(PASSWORD)
    assert owner.customers.count() == 2


@pytest.mark.parametrize("name", ["", "   ", "x" * 101, "a\nb", "a\x00b"])
def test_bad_name_creates_nobody(name: str) -> None:
    with pytest.raises(Problem):
        create_customer(name=name, owner_email="o@m.test", owner_password=PASSWORD)
    assert not User.objects.exists()
    assert not Customer.objects.exists()


def test_bad_owner_leaves_no_customer() -> None:
    with pytest.raises(Problem):
        create_customer(name="One", owner_email="o@m.test", owner_password="short")
    assert not Customer.objects.exists()


def test_own_password_ends_the_given_one() -> None:
    admin = create_admin(email="a@b.test", password=PASSWORD, must_change_password=True)
    set_password(user=admin, password="my-own-password")
    admin.refresh_from_db()
    assert admin.check_password("my-own-password")
    assert not admin.must_change_password


@pytest.mark.parametrize("mark", ["\x00", "\r", "\n", "\x7f", "\x85", "\u2028", "\u202e", "\u2066", "\ufeff"])
def test_a_name_is_one_line_that_turns_nothing_around(mark: str) -> None:
    with pytest.raises(Problem):
        check_line(f"Martin{mark} SA", "The name", longest=100)


@pytest.mark.parametrize(
    "name", ["Zoë & Søn", "株式会社", "می\u200cخواهم", "👩\u200d💻", "עברית\u200f!", "a\u00ad-b"]
)
def test_names_of_all_scripts_are_taken(name: str) -> None:
    assert check_line(name, "The name", longest=100) == name
