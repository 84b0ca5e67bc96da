"""The DNS records that a hosted domain should have, and the same as a piece of a zone file.

Only what is known here is told: the key with which mail is signed (DKIM, RFC 6376) is made by the server that sends
it, and whom else a domain lets send its mail only its owner knows.
"""

from __future__ import annotations

import ipaddress
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings
from django.db import models
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from panel.addresses.mail_servers import (
    PROTOCOLS,
    TLS,
    incoming_servers,
    outgoing_server,
    protocols_of_domain,
)
from panel.addresses.models import Domain

#: How long others may keep a record. Seconds.
TTL = 3600
#: The most octets of one string of a TXT record (RFC 1035, section 3.3).
STRING_MAX = 255
#: How a service is announced that is not offered (RFC 6186, section 3.4; RFC 2782).
NOT_OFFERED = "0 0 0 ."
#: What begins the text of an SPF record (RFC 7208, section 4.5) and of a DMARC record (RFC 7489, section 6.4).
SPF, DMARC = "v=spf1", "v=DMARC1"
#: The services of RFC 6186, section 3, and RFC 8314, section 5.1: by protocol, encrypted from the start and by
#: STARTTLS. The lower priority wins, across services too: IMAP comes before POP, and TLS before STARTTLS.
_SERVICES = {
    "imap": (("_imaps._tcp", 0), ("_imap._tcp", 5)),
    "pop3": (("_pop3s._tcp", 10), ("_pop3._tcp", 15)),
    "smtp": (("_submissions._tcp", 0), ("_submission._tcp", 10)),
}


class Purpose(models.TextChoices):
    """What a record is for."""

    ARRIVING = "arriving", gettext_lazy("Mail arrives")
    TRUSTED = "trusted", gettext_lazy("Mail you send is trusted")
    FINDING = "finding", gettext_lazy("Mail programs set themselves up")


class Subject(models.TextChoices):
    """What a record is, by the name that people look for."""

    MX = "mx", pgettext_lazy("DNS record", "Mail server (MX)")
    SPF = "spf", pgettext_lazy("DNS record", "Permitted senders (SPF)")
    DKIM = "dkim", pgettext_lazy("DNS record", "Signing key (DKIM)")
    DMARC = "dmarc", pgettext_lazy("DNS record", "Forged mail (DMARC)")
    AUTOCONFIG = "autoconfig", pgettext_lazy("DNS record", "Thunderbird and others (autoconfig)")
    AUTODISCOVER = "autodiscover", pgettext_lazy("DNS record", "Outlook (autodiscover)")
    SRV = "srv", pgettext_lazy("DNS record", "Servers of the domain (SRV)")


@dataclass(frozen=True)
class Record:
    """A record that a domain should have.

    Attributes:
        name: in full and in ASCII, without a dot at its end.
        kind: "MX", "TXT", "CNAME", "A", "AAAA" or "SRV".
        value: as a zone file has it, but a text without its quotes; empty where only somebody else knows it.
        why: what it is good for, in words.
        needed: whether mail suffers without it; without the others people enter by hand what programs would find.
        subject: what it is.
        purpose: what it is for.
    """

    name: str
    kind: str
    value: str
    why: str
    needed: bool
    subject: Subject
    purpose: Purpose


def wanted_records(domain_name: str) -> tuple[Record, ...]:
    """Return the records that a domain should have, what is needed first.

    Args:
        domain_name: in ASCII. For one that is not hosted here: what it would need.
    """
    domain = Domain.objects.filter(name=domain_name, deleted_at=None).first()
    return (
        *_arriving(domain_name),
        *_trusted(domain_name),
        *_looked_up(domain_name),
        *_services(domain_name, protocols_of_domain(domain)),
    )


def zone_file(records: Iterable[Record]) -> str:
    """Return records as lines of a zone file (RFC 1035, section 5), with what only others know as remarks."""
    lines: list[str] = []
    purpose = None
    for record in records:
        if record.purpose != purpose:
            lines += ["", f"; {record.purpose.label}"] if lines else [f"; {record.purpose.label}"]
            purpose = record.purpose
        lines += (
            [_line(record)]
            if record.value
            else _remark(_("%(name)s: %(value)s") % {"name": record.subject.label, "value": record.why})
        )
    return "\n".join(lines) + "\n"


def panel_host() -> str:
    """Return the name or address under which mail programs reach the panel."""
    host = urlsplit(settings.ENVIRONMENT.panel_url).hostname or "localhost"
    return str(ipaddress.ip_address(host)) if _kind_of_address(host) else host


def _line(record: Record) -> str:
    value = _quoted(record.value) if record.kind == "TXT" else record.value
    return f"{record.name}.\t{TTL}\tIN\t{record.kind}\t{value}"


def _remark(text: str) -> list[str]:
    return textwrap.wrap(text, 76, initial_indent="; ", subsequent_indent=";   ")


def _quoted(text: str) -> str:
    """Return the text of a TXT record, in strings that are short enough."""
    pieces = [text[at : at + STRING_MAX] for at in range(0, len(text), STRING_MAX)]
    return " ".join('"' + piece.replace("\\", "\\\\").replace('"', '\\"') + '"' for piece in pieces)


def _arriving(domain_name: str) -> Iterable[Record]:
    why = _("Others hand in here what they send to this domain. Without it no mail arrives.")
    hosts = settings.ENVIRONMENT.mx_hosts
    # An address in an MX or SRV record is no address to anybody (RFC 1035, RFC 2782): a name alone may stand there.
    values = [f"{10 * at} {host}." for at, host in enumerate(hosts, 1) if not _kind_of_address(host)]
    if not values:
        why = _(
            "The host's mail server has no name yet: ask your host which server takes mail for this domain."
        )
    for value in values or [""]:
        yield Record(domain_name, "MX", value, why, True, Subject.MX, Purpose.ARRIVING)


def _trusted(domain_name: str) -> Iterable[Record]:
    server = outgoing_server()
    purpose = Purpose.TRUSTED
    if server and not _kind_of_address(server.host):
        why = _("Says which servers may send mail from this domain. Add every other service that does.")
        yield Record(domain_name, "TXT", f"{SPF} mx a:{server.host} ~all", why, True, Subject.SPF, purpose)
    else:
        why = _("Says which servers may send mail from this domain: ask whoever sends yours for it.")
        yield Record(domain_name, "TXT", "", why, True, Subject.SPF, purpose)
    why = _(
        "Receivers check by it that mail from this domain was not changed on its way. The server that sends your mail "
        "makes the key: ask for its DKIM record, and add it as it is."
    )
    yield Record(f"_domainkey.{domain_name}", "TXT", "", why, True, Subject.DKIM, purpose)
    why = _(
        "Says what becomes of mail that falsely claims to come from this domain. Begin with “none”; once your own mail "
        "passes SPF or DKIM, “quarantine” puts what is forged into the junk folder."
    )
    yield Record(f"_dmarc.{domain_name}", "TXT", f"{DMARC}; p=none", why, True, Subject.DMARC, purpose)


def _looked_up(domain_name: str) -> Iterable[Record]:
    """The names under which mail programs ask the panel for the settings."""
    host = panel_host()
    kind = _kind_of_address(host) or "CNAME"
    value = host if kind != "CNAME" else f"{host}."
    for prefix, subject, why in (
        (
            "autoconfig",
            Subject.AUTOCONFIG,
            _("Whoever types their address gets the right servers filled in."),
        ),
        ("autodiscover", Subject.AUTODISCOVER, _("Outlook asks here for the servers of an address.")),
    ):
        name = f"{prefix}.{domain_name}"
        if name != host:
            yield Record(name, kind, value, why, False, subject, Purpose.FINDING)
    port = urlsplit(settings.ENVIRONMENT.panel_url).port or 443
    if settings.ENVIRONMENT.panel_url.startswith("https://") and kind == "CNAME":
        yield Record(
            f"_autodiscover._tcp.{domain_name}",
            "SRV",
            f"0 1 {port} {host}.",
            _("Outlook finds the same by it where no certificate bears the name autodiscover."),
            False,
            Subject.AUTODISCOVER,
            Purpose.FINDING,
        )


def _services(domain_name: str, protocols: tuple[str, ...]) -> Iterable[Record]:
    """What is offered and, of what reads mail, what is not: programs need not try it."""
    for protocol in PROTOCOLS:
        servers = incoming_servers(protocol) if protocol in protocols else ()
        ports = {server.security == TLS: server.port for server in servers}
        for encrypted, (service, priority) in zip((True, False), _SERVICES[protocol], strict=True):
            yield _service(
                domain_name, service, priority, settings.ENVIRONMENT.mail_host, ports.get(encrypted)
            )
    server = outgoing_server()
    if server:
        # Whether the host offers the other way too is not known here.
        service, priority = _SERVICES["smtp"][0 if server.security == TLS else 1]
        yield _service(domain_name, service, priority, server.host, server.port)


def _service(domain_name: str, service: str, priority: int, host: str, port: int | None) -> Record:
    if port is None:
        value, why = NOT_OFFERED, _("Not offered: the dot tells programs not to try it.")
    elif _kind_of_address(host):
        value, why = "", _("The server has no name yet: ask your host.")
    else:
        value, why = (
            f"{priority} 1 {port} {host}.",
            _("Tells programs that look here the server and its port."),
        )
    return Record(f"{service}.{domain_name}", "SRV", value, why, False, Subject.SRV, Purpose.FINDING)


def _kind_of_address(host: str) -> str:
    """Return the kind of record for an IP address, or empty for a name."""
    try:
        return "A" if ipaddress.ip_address(host).version == 4 else "AAAA"
    except ValueError:
        return ""
