"""The records that a domain should have: only what is on and known, in a form that DNS software reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import dns.zone
import pytest

from mailbackend.config import Ports
from panel.clients.records import Purpose, Record, Subject, wanted_records, zone_file
from tests.cast import Cast

pytestmark = pytest.mark.django_db
Environ = Callable[..., None]


@pytest.fixture(autouse=True)
def environ(settings: Any) -> Environ:
    """Have the settings of a host in production, and give a function that changes some of them."""

    def change(**changes: Any) -> None:
        settings.ENVIRONMENT = dataclasses.replace(settings.ENVIRONMENT, **changes)

    change(
        panel_url="https://panel.host.example",
        mail_host="mail.host.example",
        mx_hosts=("mail.host.example",),
        mail_ports=Ports(imap=143, imaps=993, pop3=110, pop3s=995),
        smtp_host="smtp.host.example",
        smtp_port=465,
    )
    return change


def values(*subjects: Subject, domain_name: str = "shop.example") -> dict[str, str]:
    """Return the values of the records of some subjects by the beginning of their names."""
    return {
        record.name.removesuffix(domain_name).rstrip("."): record.value
        for record in wanted_records(domain_name)
        if record.subject in subjects
    }


def test_mail_arrives_at_the_mail_host() -> None:
    assert values(Subject.MX) == {"": "10 mail.host.example."}


def test_services_in_the_order_in_which_programs_should_take_them() -> None:
    assert values(Subject.SRV) == {
        "_imaps._tcp": "0 1 993 mail.host.example.",
        "_imap._tcp": "5 1 143 mail.host.example.",
        "_pop3s._tcp": "10 1 995 mail.host.example.",
        "_pop3._tcp": "15 1 110 mail.host.example.",
        "_submissions._tcp": "0 1 465 smtp.host.example.",
    }


def test_what_is_off_is_announced_as_off(environ: Environ) -> None:
    environ(mail_ports=Ports(imap=0, imaps=993, pop3=0, pop3s=0))
    found = values(Subject.SRV)
    assert found["_imap._tcp"] == found["_pop3s._tcp"] == found["_pop3._tcp"] == "0 0 0 ."
    assert found["_imaps._tcp"] == "0 1 993 mail.host.example."


def test_what_a_domain_switches_off_is_announced_as_off(cast: Cast) -> None:
    cast.domain.pop3 = False
    cast.domain.save()
    found = values(Subject.SRV, domain_name=cast.domain.name)
    assert found["_pop3s._tcp"] == "0 0 0 ."
    assert found["_imaps._tcp"] == "0 1 993 mail.host.example."


def test_submission_on_another_port_is_the_service_with_starttls(environ: Environ) -> None:
    environ(smtp_port=587)
    found = values(Subject.SRV)
    assert found["_submission._tcp"] == "10 1 587 smtp.host.example."
    assert "_submissions._tcp" not in found


def test_nothing_is_said_of_sending_where_the_host_names_no_server(environ: Environ) -> None:
    environ(smtp_host="")
    assert not {name for name in values(Subject.SRV) if "submission" in name}
    assert values(Subject.SPF) == {"": ""}


def test_spf_and_dmarc_are_a_beginning_and_a_key_is_never_invented() -> None:
    assert values(Subject.SPF) == {"": "v=spf1 mx a:smtp.host.example ~all"}
    assert values(Subject.DMARC) == {"_dmarc": "v=DMARC1; p=none"}
    assert values(Subject.DKIM) == {"_domainkey": ""}


def test_programs_find_the_panel() -> None:
    assert values(Subject.AUTOCONFIG) == {"autoconfig": "panel.host.example."}
    assert values(Subject.AUTODISCOVER) == {
        "autodiscover": "panel.host.example.",
        "_autodiscover._tcp": "0 1 443 panel.host.example.",
    }


def test_a_panel_without_tls_is_not_announced_to_outlook_by_srv(environ: Environ) -> None:
    environ(panel_url="http://panel.host.example:8000")
    assert values(Subject.AUTODISCOVER) == {"autodiscover": "panel.host.example."}


@pytest.mark.parametrize(("address", "kind"), [("192.0.2.7", "A"), ("2001:db8::7", "AAAA")])
def test_addresses_stand_only_where_addresses_may(environ: Environ, address: str, kind: str) -> None:
    url = f"https://[{address}]" if ":" in address else f"https://{address}"
    environ(panel_url=url, mail_host=address, mx_hosts=(address,), smtp_host="")
    found = [record for record in wanted_records("shop.example") if record.value]
    assert {(record.kind, record.value) for record in found if record.subject == Subject.AUTOCONFIG} == {
        (kind, address)
    }
    assert not [record for record in found if record.kind in ("MX", "SRV", "CNAME")]


def test_a_name_is_never_an_alias_of_itself(environ: Environ) -> None:
    environ(panel_url="https://autoconfig.shop.example")
    assert values(Subject.AUTOCONFIG) == {}


def test_only_what_mail_suffers_without_is_needed() -> None:
    needed = {record.subject for record in wanted_records("shop.example") if record.needed}
    assert needed == {Subject.MX, Subject.SPF, Subject.DKIM, Subject.DMARC}


def test_dns_software_reads_the_zone_file_as_it_was_meant() -> None:
    records = wanted_records("xn--caf-dma.example")
    zone = dns.zone.from_text(
        zone_file(records), origin="xn--caf-dma.example.", relativize=False, check_origin=False
    )
    read = {
        (name.to_text(omit_final_dot=True), dns.rdatatype.to_text(data.rdtype), data.to_text().strip('"'))
        for name, _ttl, data in zone.iterate_rdatas()
    }
    assert read == {(record.name, record.kind, record.value) for record in records if record.value}


def test_a_long_text_stands_in_strings_that_are_short_enough() -> None:
    text = 'v="\\' + "x" * 600
    record = Record("shop.example", "TXT", text, "", True, Subject.SPF, Purpose.TRUSTED)
    zone = dns.zone.from_text(zone_file([record]), origin="shop.example.", check_origin=False)
    strings = zone.find_rdataset("@", "TXT")[0].strings
    assert b"".join(strings).decode() == text
    assert max(map(len, strings)) <= 255
