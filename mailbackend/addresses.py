"""Addresses and domains: normalise, validate, and turn into safe path parts. The only place that builds a home path."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from dataclasses import dataclass
from pathlib import PurePosixPath

import idna

#: Octets before the @ (RFC 5321 section 4.5.3.1.1).
LOCAL_PART_MAX = 64
#: Octets of a whole address: a forward path of 256 less its angle brackets (RFC 5321 section 4.5.3.1.3).
ADDRESS_MAX = 254
#: Octets of a domain name in text form (RFC 1035 section 2.3.4).
DOMAIN_MAX = 253

_LOCAL_PART = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\Z")
_HOME_PART = re.compile(r"[a-z0-9._-]+\Z")


class AddressError(ValueError):
    """An address or domain cannot be used.

    Attributes:
        code: a short name of the reason, for translation and tests.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Address:
    """A normalised address: both parts lower-case ASCII, the domain in its A-label form (RFC 5890)."""

    local_part: str
    domain: str

    def __str__(self) -> str:
        return f"{self.local_part}@{self.domain}"

    @property
    def for_people(self) -> str:
        """The address with its domain as people write it."""
        return f"{self.local_part}@{domain_for_people(self.domain)}"


def normalise_domain(text: str) -> str:
    """Return the A-label form, lower-case, of a domain as a person typed it (RFC 5891, UTS 46).

    Raises:
        AddressError: with a code of empty, too_long, one_label, ip_address or not_a_domain.
    """
    name = unicodedata.normalize("NFC", text.strip()).rstrip(".")
    if not name:
        raise AddressError("empty", "Enter a domain, such as example.com.")
    if len(name) > DOMAIN_MAX:
        raise AddressError("too_long", f"A domain has at most {DOMAIN_MAX} characters.")
    if _is_ip_address(name):
        raise AddressError("ip_address", "This is an IP address: enter a domain, such as example.com.")
    try:
        ascii_name = idna.encode(name, uts46=True, std3_rules=True).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError) as err:
        raise AddressError(
            "not_a_domain", "This is not a domain name: use letters, digits, hyphens and dots."
        ) from err
    labels = ascii_name.split(".")
    if len(labels) < 2:
        raise AddressError("one_label", "A domain has at least two parts, such as example.com.")
    if labels[-1].isdigit() or len(ascii_name) > DOMAIN_MAX:
        raise AddressError("not_a_domain", "This is not a domain name: its last part must be like com or fr.")
    return ascii_name


def domain_for_people(ascii_name: str) -> str:
    """Return the U-label form of a stored domain, or the domain as it is where it has none."""
    try:
        return str(idna.decode(ascii_name))
    except (idna.IDNAError, UnicodeError):
        return ascii_name


def normalise_local_part(text: str) -> str:
    """Return the part before the @ as it is stored: lower-case, letters, digits and `. _ -`.

    A host gives out less than RFC 5321 allows: no quoting, no `+` (it divides an address from its detail,
    RFC 5233), no UTF-8 (RFC 6531 is not spoken by every server on the way).

    Raises:
        AddressError: with a code of empty, too_long, plus, not_ascii, dots or characters.
    """
    name = text.strip().lower()
    if not name:
        raise AddressError("empty", "Enter the part before the @.")
    if not name.isascii():
        raise AddressError(
            "not_ascii",
            "Use letters without accents: many mail servers still refuse other letters before the @.",
        )
    if len(name) > LOCAL_PART_MAX:
        raise AddressError("too_long", f"The part before the @ has at most {LOCAL_PART_MAX} characters.")
    if "+" in name:
        raise AddressError(
            "plus",
            "The + is reserved: mail to name+anything@ already arrives at name@.",
        )
    if name.startswith(".") or name.endswith(".") or ".." in name:
        raise AddressError("dots", "A dot cannot come first, last, or twice in a row.")
    if not _LOCAL_PART.match(name):
        raise AddressError(
            "characters", "Before the @, use letters, digits, dots, hyphens and underscores only."
        )
    return name


def parse_address(text: str) -> Address:
    """Return the normalised form of an address as a person typed it.

    Raises:
        AddressError: as the two normalisers raise, or with a code of no_at or too_long.
    """
    local_part, at, domain = text.strip().rpartition("@")
    if not at:
        raise AddressError("no_at", "Enter a whole address, such as anna@example.com.")
    address = Address(normalise_local_part(local_part), normalise_domain(domain))
    check_length(address)
    return address


def check_length(address: Address) -> None:
    """Check the length of the whole address.

    Raises:
        AddressError: with the code too_long.
    """
    if len(str(address)) > ADDRESS_MAX:
        raise AddressError("too_long", f"A whole address has at most {ADDRESS_MAX} characters.")


def home_path(address: Address, mailbox_id: int) -> PurePosixPath:
    """Return a mailbox's home relative to the mail root: `<domain>/<local part>-<mailbox id>`.

    The id makes it a path that is never used twice, whoever has the address later.

    Raises:
        ValueError: if a part is not one that the normalisers return. Nothing else may reach the disk.
    """
    parts = (address.domain, f"{address.local_part}-{mailbox_id}")
    if mailbox_id < 1 or not all(_HOME_PART.match(part) and not part.startswith(".") for part in parts):
        raise ValueError(f"Not a normalised address: {str(address)!r}, id {mailbox_id!r}.")
    return PurePosixPath(*parts)


def mailbox_id_in(name: str) -> int | None:
    """Return the mailbox id in the last part of a home path, or None if `home_path` does not make such names."""
    digits = name.rpartition("-")[2]
    # 18 digits: no more fit into the database's numbers for certain.
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 18 else None


def _is_ip_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return False
    return True
