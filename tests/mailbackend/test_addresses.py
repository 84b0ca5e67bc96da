"""Addresses and domains: what is taken, what is refused, and why."""

from __future__ import annotations

import pytest

from mailbackend.addresses import (
    Address,
    AddressError,
    domain_for_people,
    home_path,
    normalise_domain,
    normalise_local_part,
    parse_address,
)

HOSTILE = [
    "../etc",
    "a/b",
    "a\\b",
    "a\x00b",
    "a'b",
    'a"b',
    "a%b",
    "a\nb",
    "a b",
    "a@b",
    "😀",
    "a" * 10_000,
    "..",
    ".",
]


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("example.com", "example.com"),
        (" Example.COM. ", "example.com"),
        ("café.fr", "xn--caf-dma.fr"),
        ("CAFÉ.fr", "xn--caf-dma.fr"),
        ("cafe\u0301.fr", "xn--caf-dma.fr"),
        ("例え.test", "xn--r8jz45g.test"),
        ("straße.test", "xn--strae-oqa.test"),
        ("a.b.internal", "a.b.internal"),
        ("xn--caf-dma.fr", "xn--caf-dma.fr"),
    ],
)
def test_domain_is_stored_in_its_ascii_form(typed: str, stored: str) -> None:
    assert normalise_domain(typed) == stored


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("localhost", "one_label"),
        ("192.0.2.1", "ip_address"),
        ("[2001:db8::1]", "ip_address"),
        ("-a.test", "not_a_domain"),
        ("a-.test", "not_a_domain"),
        ("a..test", "not_a_domain"),
        ("a_b.test", "not_a_domain"),
        ("*.test", "not_a_domain"),
        ("example.123", "not_a_domain"),
        ("a" * 64 + ".test", "not_a_domain"),
        ("xn--zzzzzzzz99999.test", "not_a_domain"),
        ("a." * 130 + "test", "too_long"),
    ],
)
def test_domain_is_refused_with_its_reason(typed: str, code: str) -> None:
    with pytest.raises(AddressError) as refusal:
        normalise_domain(typed)
    assert refusal.value.code == code
    assert str(refusal.value)


@pytest.mark.parametrize("typed", HOSTILE)
def test_hostile_text_is_no_domain(typed: str) -> None:
    with pytest.raises(AddressError):
        normalise_domain(f"{typed}.test" if typed not in ("a@b", "😀") else typed)


def test_domain_is_shown_as_people_write_it() -> None:
    assert domain_for_people("xn--caf-dma.fr") == "café.fr"
    assert domain_for_people("example.com") == "example.com"
    assert domain_for_people("xn--999999999.test") == "xn--999999999.test"


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("anna", "anna"),
        ("Anna.Martin", "anna.martin"),
        ("a_b-c.d", "a_b-c.d"),
        ("_x", "_x"),
        ("-", "-"),
        ("x" * 64, "x" * 64),
    ],
)
def test_local_part_is_stored_in_lower_case(typed: str, stored: str) -> None:
    assert normalise_local_part(typed) == stored


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("", "empty"),
        (".anna", "dots"),
        ("anna.", "dots"),
        ("an..na", "dots"),
        ("anna+x", "plus"),
        ("émile", "not_ascii"),
        ("\N{CYRILLIC SMALL LETTER A}nna", "not_ascii"),
        ("x" * 65, "too_long"),
        ("an na", "characters"),
        ("an\x7fna", "characters"),
    ],
)
def test_local_part_is_refused_with_its_reason(typed: str, code: str) -> None:
    with pytest.raises(AddressError) as refusal:
        normalise_local_part(typed)
    assert refusal.value.code == code


@pytest.mark.parametrize("typed", HOSTILE)
def test_hostile_text_is_no_local_part(typed: str) -> None:
    with pytest.raises(AddressError):
        normalise_local_part(typed)


def test_whole_address_has_254_octets() -> None:
    domain = ".".join(["d" * 60] * 3) + ".test"
    longest = "x" * 64
    assert len(f"{longest}@{domain}") == 252
    assert str(parse_address(f"{longest}@{domain}")) == f"{longest}@{domain}"
    with pytest.raises(AddressError) as refusal:
        parse_address(f"{longest}@abc.{domain}")
    assert refusal.value.code == "too_long"


def test_address_needs_an_at() -> None:
    with pytest.raises(AddressError) as refusal:
        parse_address("example.com")
    assert refusal.value.code == "no_at"


def test_home_is_keyed_by_the_mailbox_id() -> None:
    assert str(home_path(Address("anna", "example.com"), 7)) == "example.com/anna-7"


@pytest.mark.parametrize(
    "address",
    [Address("../x", "example.com"), Address("anna", ".."), Address("anna", "../x"), Address("", "")],
)
def test_home_is_never_built_from_what_was_not_normalised(address: Address) -> None:
    with pytest.raises(ValueError, match="Not a normalised address"):
        home_path(address, 1)


def test_home_needs_an_id() -> None:
    with pytest.raises(ValueError, match="Not a normalised address"):
        home_path(Address("anna", "example.com"), 0)
