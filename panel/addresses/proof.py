"""Whether a domain's DNS holds the record by which a customer proves that the domain is theirs.

Only the resolvers of the machine or of DNS_SERVERS are asked, never a server that whoever claims a domain names.
"""

from __future__ import annotations

import logging
import time
from typing import TypeVar

import dns.exception
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver
from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

logger = logging.getLogger(__name__)

AnyResolver = TypeVar("AnyResolver", bound=dns.resolver.BaseResolver)

#: What stands before the domain in the record's name, and before the token in its value.
LABEL, PREFIX = "_restante", "restante-verification="
#: How long one domain is asked about at most, and one server before the next. Seconds.
LIFETIME, EACH = 5.0, 2.0
#: The least that is left for a second question. Seconds.
LEAST = 0.5
#: The largest answer over UDP that passes everywhere unbroken (DNS flag day 2020). Octets.
UDP_MAX = 1232


class Outcome(models.TextChoices):
    """What came of asking, in a few words."""

    FOUND = "found", _("The record is there")
    NO_RECORD = "no_record", _("The record is not there yet")
    OTHER_VALUE = "other_value", _("The record has another value")
    NO_SUCH_DOMAIN = "no_such_domain", _("There is no such domain")
    FAILED = "failed", _("The DNS gave no answer")


def record_name(domain: str) -> str:
    """Return the name of the record that proves a domain, given in its ASCII form."""
    return f"{LABEL}.{domain}"


def record_value(token: str) -> str:
    """Return the text that the record must hold."""
    return f"{PREFIX}{token}"


def can_have_record(domain: str) -> bool:
    """Say whether the record's name is not too long for the DNS."""
    try:
        _dns_name(record_name(domain))
    except dns.exception.DNSException:
        return False
    return True


def look_for(*, domain: str, token: str) -> Outcome:
    """Ask the DNS for the record of a domain. Takes LIFETIME and LEAST at most.

    Args:
        domain: in its ASCII form.
        token: that the record must hold.
    """
    ends = time.monotonic() + LIFETIME
    try:
        resolver = configured(dns.resolver.Resolver(configure=False))
        answer = resolver.resolve(_dns_name(record_name(domain)), dns.rdatatype.TXT, search=False)
    except dns.resolver.NXDOMAIN:
        return Outcome.NO_RECORD if _exists(resolver, domain, ends) else Outcome.NO_SUCH_DOMAIN
    except dns.resolver.NoAnswer:
        return Outcome.NO_RECORD
    except (dns.exception.DNSException, OSError) as err:
        logger.info("No answer about %s: %s", domain, err)
        return Outcome.FAILED
    wanted = record_value(token).encode("ascii")
    return Outcome.FOUND if wanted in map(_plain, answer) else Outcome.OTHER_VALUE


def _exists(resolver: dns.resolver.Resolver, domain: str, ends: float) -> bool:
    """Whether there is a domain, or nobody says that there is none."""
    left = max(ends - time.monotonic(), LEAST)
    try:
        resolver.resolve(
            _dns_name(domain), dns.rdatatype.SOA, search=False, raise_on_no_answer=False, lifetime=left
        )
    except dns.resolver.NXDOMAIN:
        return False
    except (dns.exception.DNSException, OSError) as err:
        logger.info("No answer about %s: %s", domain, err)
    return True


def configured(resolver: AnyResolver) -> AnyResolver:
    """Return a resolver, made with nothing configured, that asks those of DNS_SERVERS, or the system's as they are now.

    Raises:
        dns.exception.DNSException: if the system names none.
    """
    servers = settings.ENVIRONMENT.dns_servers
    if servers:
        resolver.nameservers = [dns.nameserver.Do53Nameserver(address, port) for address, port in servers]
    else:
        resolver.read_resolv_conf("/etc/resolv.conf")
    resolver.lifetime, resolver.timeout = LIFETIME, EACH
    resolver.use_edns(0, 0, UDP_MAX)
    return resolver


def _dns_name(name: str) -> dns.name.Name:
    return dns.name.from_text(f"{name}.")


def _plain(record: object) -> bytes:
    """Return what a record holds: its strings joined, without the space and quotes that forms add to them."""
    strings: tuple[bytes, ...] = getattr(record, "strings", ())
    return b"".join(strings).strip().strip(b'"').strip()
