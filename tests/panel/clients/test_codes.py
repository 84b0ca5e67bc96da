"""QR codes, read back by a reader that somebody else wrote."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree

import pytest
import zxingcpp
from defusedxml.ElementTree import fromstring
from django.test import Client

from mailbackend.config import Ports
from panel.addresses.mail_servers import incoming_servers
from panel.clients.codes import thunderbird_account
from tests.cast import Cast
from tests.panel.clients.conftest import Environ

pytestmark = pytest.mark.django_db
PATH = "/setup/code.svg"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(autouse=True)
def environ(host: Environ) -> Environ:
    """Have a host in production."""
    return host


def drawn(svg: str) -> memoryview:
    """Return a code as grey pixels, four for each module, as a screen shows it."""
    root: ElementTree.Element = fromstring(svg)
    assert root.tag == f"{SVG}svg"
    side = int((root.get("viewBox") or "").split()[2])
    ground, modules = root.findall(f"{SVG}path")
    assert ground.get("fill") == "#fff"
    assert ground.get("d") == f"M0 0h{side}v{side}h-{side}z"
    assert modules.get("stroke") == "#000"
    rows = [bytearray(b"\xff" * side) for _ in range(side)]
    x = y = 0
    for command, first, second in re.findall(r"([Mmh])(-?[\d.]+)(?: (-?[\d.]+))?", modules.get("d") or ""):
        if command == "M":
            x, y = int(first), int(float(second))
        elif command == "m":
            x, y = x + int(first), y + int(second)
        else:
            rows[y][x : x + int(first)] = bytes(int(first))
            x += int(first)
    pixels = b"".join(bytes(value for value in row for _ in range(4)) * 4 for row in rows)
    return memoryview(pixels).cast("B", (side * 4, side * 4))


def read(**query: str) -> str:
    """Return what a telephone reads."""
    answer = Client().get(PATH, query)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "image/svg+xml"
    svg = answer.content.decode()
    # The Content-Security-Policy allows neither, should it stand in a page.
    assert "style" not in svg
    assert "script" not in svg
    (code,) = zxingcpp.read_barcodes(
        drawn(svg), formats=zxingcpp.barcode_formats_from_str("QRCode"), is_pure=True
    )
    assert code.format == zxingcpp.BarcodeFormat.QRCode
    return str(code.text)


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
def test_an_iphone_gets_the_profile(cast: Cast, protocol: str) -> None:
    url = read(kind="profile", address=cast.mailbox.address, protocol=protocol)
    assert url == (
        "https://panel.host.example/setup/profile.mobileconfig"
        f"?address=anna%40{cast.domain.name}&protocol={protocol}"
    )
    answer = Client().get(url.removeprefix("https://panel.host.example"))
    assert answer.headers["Content-Type"] == "application/x-apple-aspen-config"


def test_thunderbird_for_android_gets_an_account(cast: Cast) -> None:
    address = cast.mailbox.address
    assert json.loads(read(kind="thunderbird", address=address, protocol="imap")) == [
        1,
        [1, 1],
        [0, "mail.host.example", 993, 3, 1, address],
        [[[0, "smtp.host.example", 465, 3, 1, address], [address, address]]],
    ]
    assert json.loads(read(kind="thunderbird", address=address, protocol="pop3"))[2] == (
        [1, "mail.host.example", 995, 3, 1, address]
    )


def test_thunderbird_for_android_is_told_of_starttls_and_always_of_a_way_out(
    cast: Cast, environ: Environ
) -> None:
    environ(mail_ports=Ports(imap=143, imaps=0, pop3=0, pop3s=0), smtp_host="")
    account = json.loads(read(kind="thunderbird", address=cast.mailbox.address))
    assert account[2][:4] == [0, "mail.host.example", 143, 2]
    # It refuses an account without a server for sending.
    assert account[3][0][0][:4] == [0, "mail.host.example", 465, 3]


def test_any_other_telephone_gets_the_page(cast: Cast, environ: Environ) -> None:
    # Also where nothing is on: the page says so.
    environ(mail_ports=Ports(imap=0, imaps=0, pop3=0, pop3s=0))
    assert read(kind="page", address=cast.mailbox.address) == (
        f"https://panel.host.example/setup/?address=anna%40{cast.domain.name}"
    )


def test_the_longest_address_fits() -> None:
    address = "x" * 64 + "@" + ".".join(["y" * 60] * 3) + ".test"
    for kind in ("profile", "thunderbird", "page"):
        assert read(kind=kind, address=address)
    assert thunderbird_account(address, incoming_servers("imap")[0]).isascii()


def test_what_is_no_code_is_not_found(cast: Cast) -> None:
    good = {"kind": "profile", "address": cast.mailbox.address, "protocol": "imap"}
    for bad in ({"kind": ""}, {"kind": "x"}, {"address": ""}, {"address": "x"}, {"protocol": "smtp"}):
        assert Client().get(PATH, {**good, **bad}).status_code == 404
    assert Client().post(PATH, good).status_code == 405
