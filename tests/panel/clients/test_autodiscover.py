"""Microsoft's Autodiscover: what Outlook reads, and what is sent to it by those who mean ill."""

from __future__ import annotations

import encodings.aliases
import gzip
from typing import Any
from xml.etree import ElementTree

import pytest
from defusedxml.ElementTree import fromstring
from django.test import Client
from django.urls import reverse

from mailbackend.config import Ports
from panel.addresses import services
from panel.branding import read_brand
from panel.clients.autodiscover import REQUEST_MAX
from tests.cast import Cast
from tests.panel.clients.conftest import Environ

pytestmark = pytest.mark.django_db
PATH = "/autodiscover/autodiscover.xml"
REQUEST = "http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006"
ANSWER = "{http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006}"
SETTINGS = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"
BODY = f"""<?xml version="1.0" encoding="utf-8"?>
<Autodiscover xmlns="{REQUEST}">
  <Request>
    <EMailAddress>ADDRESS</EMailAddress>
    <AcceptableResponseSchema>{SETTINGS}</AcceptableResponseSchema>
  </Request>
</Autodiscover>"""


@pytest.fixture(autouse=True)
def environ(host: Environ) -> Environ:
    """Have a host in production."""
    return host


def post(body: str | bytes, path: str = PATH, **headers: str) -> Any:
    """Post something, as a program does that knows nothing of cookies and tokens."""
    client = Client(enforce_csrf_checks=True)
    return client.post(path, body, content_type="text/xml; charset=utf-8", headers=headers)


def account_of(address: str, path: str = PATH) -> ElementTree.Element:
    """Return the account in the answer for an address."""
    answer = post(BODY.replace("ADDRESS", address), path)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/xml; charset=utf-8"
    root: ElementTree.Element = fromstring(answer.content)
    assert root.tag == f"{ANSWER}Autodiscover"
    account = root.find(f"{{{SETTINGS}}}Response/{{{SETTINGS}}}Account")
    assert account is not None
    return account


def protocols(account: ElementTree.Element) -> list[dict[str, str | None]]:
    """Return what is told of each protocol, by the names of elements."""
    return [
        {element.tag.removeprefix(f"{{{SETTINGS}}}"): element.text for element in protocol}
        for protocol in account.findall(f"{{{SETTINGS}}}Protocol")
    ]


def error_of(answer: Any) -> str | None:
    """Return the code of the error in an answer, which is small whatever was sent; None in settings."""
    assert answer.headers["Content-Type"] == "text/xml; charset=utf-8"
    code: str | None = fromstring(answer.content).findtext(
        f"{ANSWER}Response/{ANSWER}Error/{ANSWER}ErrorCode"
    )
    assert code is None or len(answer.content) < 500
    return code


def test_all_that_is_on(cast: Cast) -> None:
    address = cast.mailbox.address
    account = account_of(address)
    assert account.findtext(f"{{{SETTINGS}}}AccountType") == "email"
    assert account.findtext(f"{{{SETTINGS}}}Action") == "settings"
    common = {"LoginName": address, "DomainRequired": "off", "SPA": "off", "SSL": "on", "AuthRequired": "on"}
    assert protocols(account) == [
        {"Type": "IMAP", "Server": "mail.host.example", "Port": "993", **common},
        {"Type": "POP3", "Server": "mail.host.example", "Port": "995", **common},
        {
            **{"Type": "SMTP", "Server": "smtp.host.example", "Port": "465", **common},
            **{"UsePOPAuth": "on", "SMTPLast": "off"},
        },
    ]


def test_only_what_is_on(cast: Cast, environ: Environ) -> None:
    environ(mail_ports=Ports(imap=143, imaps=0, pop3=110, pop3s=995), smtp_host="")
    services.edit_domain_protocols(domain=cast.domain, imap=True, pop3=False)
    imap, smtp = protocols(account_of(cast.mailbox.address))
    assert (imap["Type"], imap["Port"], imap["SSL"], imap["Encryption"]) == ("IMAP", "143", "on", "TLS")
    # Without a submission server: see test_autoconfig.
    assert (smtp["Type"], smtp["Server"], smtp["Port"]) == ("SMTP", "mail.host.example", "465")
    environ(mail_ports=Ports(imap=0, imaps=0, pop3=110, pop3s=995))
    assert error_of(post(BODY.replace("ADDRESS", cast.mailbox.address))) == "601"


def test_the_path_in_any_case_and_under_the_names_of_domains(cast: Cast) -> None:
    for path in (PATH, "/Autodiscover/Autodiscover.xml", "/AUTODISCOVER/AUTODISCOVER.XML"):
        account_of(cast.mailbox.address, path)
        for name in (cast.domain.name, f"autodiscover.{cast.domain.name}"):
            answer = post(BODY.replace("ADDRESS", cast.mailbox.address), path, Host=name)
            assert answer.status_code == 200
    assert reverse("autodiscover") == PATH
    assert post(BODY, "/autodiscoverXautodiscover.xml").status_code == 404


def test_the_hosts_logo_and_help(cast: Cast, environ: Environ, tmp_path: Any) -> None:
    logo = tmp_path / "logo.svg"
    logo.write_text('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><path d="M0 0h1v1z"/></svg>')
    environ(brand=read_brand(name="Mail", logo=logo, accent="", support_url="", footer_links=""))
    account = account_of(cast.mailbox.address)
    image = account.findtext(f"{{{SETTINGS}}}Image") or ""
    assert image.startswith("https://panel.host.example/static/logo.")
    assert (account.findtext(f"{{{SETTINGS}}}ServiceHome") or "").startswith(
        "https://panel.host.example/setup/?"
    )


def test_other_methods_get_the_error() -> None:
    answer = Client().get(PATH)
    assert (answer.status_code, answer.headers["Allow"], error_of(answer)) == (405, "POST", "600")


def test_other_schemas_get_the_error(cast: Cast) -> None:
    good = BODY.replace("ADDRESS", cast.mailbox.address)
    mobile = "http://schemas.microsoft.com/exchange/autodiscover/mobilesync"
    for body in (
        good.replace(SETTINGS, f"{mobile}/responseschema/2006"),
        good.replace(REQUEST, f"{mobile}/requestschema/2006"),
    ):
        answer = post(body)
        assert (answer.status_code, error_of(answer)) == (200, "601")
    # One of several is enough, and who names none gets the one there is.
    both = good.replace("</Request>", "<AcceptableResponseSchema>x</AcceptableResponseSchema></Request>")
    assert post(both).status_code == 200
    assert error_of(post(both)) is None
    none = good.replace(f"<AcceptableResponseSchema>{SETTINGS}</AcceptableResponseSchema>", "")
    assert error_of(post(none)) is None


@pytest.mark.parametrize("address", ["", "anna", "a@b@c", "@", "<b/>", "x" * 4000, "&#10;"])
def test_what_is_no_address_gets_the_error(address: str) -> None:
    answer = post(BODY.replace("ADDRESS", address))
    assert (answer.status_code, error_of(answer)) == (200, "600")


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
DOCTYPES = {
    "a billion laughs": f'<!DOCTYPE x [<!ENTITY l0 "ha">{LAUGHS}]>',
    "one long entity many times": f'<!DOCTYPE x [<!ENTITY l9 "{"h" * 8000}">]>',
    "a file": '<!DOCTYPE x [<!ENTITY l9 SYSTEM "file:///etc/passwd">]>',
    "an address": '<!DOCTYPE x [<!ENTITY l9 SYSTEM "http://127.0.0.1:9/">]>',
    "a parameter entity": '<!DOCTYPE x [<!ENTITY % p SYSTEM "http://127.0.0.1:9/"> %p;]>',
    "a foreign type": '<!DOCTYPE Autodiscover SYSTEM "http://127.0.0.1:9/x.dtd">',
    "an empty type": "<!DOCTYPE Autodiscover>",
}


@pytest.mark.parametrize("doctype", DOCTYPES.values(), ids=DOCTYPES)
def test_document_types_are_refused(cast: Cast, doctype: str) -> None:
    for address in ("&l9;", cast.mailbox.address):
        body = BODY.replace("ADDRESS", address).replace("?>\n", f"?>\n{doctype}\n", 1)
        answer = post(body)
        assert (answer.status_code, error_of(answer)) == (400, "600")


GOOD = BODY.replace("ADDRESS", "anna@known.test")
MALFORMED: dict[str, bytes] = {
    "nothing": b"",
    "no XML": b"EMailAddress=anna@known.test",
    "JSON": b'{"a": 1}',
    "NUL": GOOD.encode().replace(b"anna", b"an\x00na"),
    "cut off": GOOD.encode()[:-9],
    "twice": GOOD.encode() * 2,
    "compressed": gzip.compress(GOOD.encode()),
    "not UTF-8": GOOD.encode().replace(b"anna", b"\xff\xfe\xfa"),
    "an unknown entity": GOOD.encode().replace(b"anna", b"&nbsp;"),
    "open for ever": b"<a>" * 5000,
    "deep": b"<a>" * 2000 + b"</a>" * 2000,
    "another root": b"<x/>",
    "no namespace": GOOD.replace(f' xmlns="{REQUEST}"', "").encode(),
    "many attributes": b"<a " + b" ".join(b'x%d="1"' % number for number in range(1500)) + b"/>",
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_what_is_malformed_is_refused(body: bytes) -> None:
    answer = post(body)
    assert (answer.status_code, error_of(answer)) == (400, "600")


@pytest.mark.filterwarnings("ignore:invalid escape sequence")
def test_no_encoding_is_a_mistake_of_ours() -> None:
    """Parsers read any that Python knows; some of those are none of texts."""
    for name in {*encodings.aliases.aliases.values(), "idna", "undefined", "unicode_escape", "x"}:
        body = GOOD.replace("utf-8", name).replace("anna", "änna").encode()
        assert post(body).status_code in (200, 400), name
    assert post(GOOD.replace("utf-8", "utf-16").encode("utf-16")).status_code == 200


def test_what_is_too_large_is_not_read() -> None:
    padded = GOOD + " " * (REQUEST_MAX - len(GOOD))
    assert error_of(post(padded)) is None
    answer = post(padded + " ")
    assert (answer.status_code, error_of(answer)) == (413, "600")
    # A length is believed before anything is read, and read no further than it says.
    for length, status in (("99999999", 413), ("²", 400), ("", 400)):
        assert Client().generic("POST", PATH, "", "text/xml", CONTENT_LENGTH=length).status_code == status


def test_json_tells_where_it_is_as_pox(cast: Cast, django_assert_num_queries: Any) -> None:
    told = {"Protocol": "AutodiscoverV1", "Url": "https://panel.host.example/autodiscover/autodiscover.xml"}
    with django_assert_num_queries(0):
        for path in (
            "/autodiscover/autodiscover.json?Email=a%40b.test&Protocol=Autodiscoverv1",
            "/autodiscover/autodiscover.json?email=a%40b.test&protocol=AutodiscoverV1&RedirectCount=1",
            "/Autodiscover/AutoDiscover.json/v1.0/a@b.test?Protocol=Autodiscoverv1",
        ):
            answer = Client().get(path)
            assert (answer.status_code, answer.json()) == (200, told)
    assert Client().get(path, headers={"Host": f"autodiscover.{cast.domain.name}"}).json() == told


@pytest.mark.parametrize("protocol", ["ActiveSync", "Ews", "", "autodiscoverv1x"])
def test_json_of_other_protocols(protocol: str) -> None:
    answer = Client().get(f"/autodiscover/autodiscover.json?Email=a%40b.test&Protocol={protocol}")
    assert answer.status_code == 400
    assert set(answer.json()) == {"ErrorCode", "ErrorMessage"}
    if protocol:
        assert protocol not in answer.content.decode().replace("Autodiscoverv1", "")
