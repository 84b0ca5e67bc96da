"""A host's own name, logo, colour and links: what is refused, what is adjusted, and what pages and mails show."""

from __future__ import annotations

import gzip
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.core import mail
from django.test import Client

from panel.accounts.mails import send_password_reset
from panel.addresses.welcome import welcome_message
from panel.branding import LOGO_BYTES, Brand, BrandProblem, Link, read_brand, read_logo
from panel.colours import DARK_GROUNDS, LIGHT_GROUNDS, TEXT, contrast, dark_accent, light_accent
from tests.cast import Cast

SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"{}>{}</svg>'
EMPTY = {"name": "", "logo": None, "accent": "", "support_url": "", "footer_links": ""}


def brand(**given: Any) -> Brand:
    """Return a brand of these settings, the others empty."""
    return read_brand(**{**EMPTY, **given})


def test_nothing_given_is_restante() -> None:
    """Without settings, all is ours and nothing more is served."""
    assert brand() == Brand()
    assert brand().name == "Restante"
    assert brand().files == ()
    assert brand().adjusted == ""


@pytest.mark.parametrize(
    "colour", ["#0b6670", "#ffcc00", "#000000", "#ffffff", "#d6336c", "#777777", "#00ff00", "#0000ff"]
)
def test_any_accent_is_read_in_both_schemes(colour: str) -> None:
    """Whatever a host chooses, links and buttons reach 4.5 to 1."""
    for accent, grounds in ((light_accent(colour), LIGHT_GROUNDS), (dark_accent(colour), DARK_GROUNDS)):
        assert all(contrast(accent.accent, ground) >= TEXT for ground in (*grounds, accent.wash))
        assert all(contrast(accent.strong, ground) >= TEXT for ground in (*grounds, accent.wash))
        assert contrast(accent.on_accent, accent.accent) >= TEXT
        assert contrast(accent.on_accent, accent.strong) >= TEXT


def test_an_adjusted_accent_is_told() -> None:
    """Who gives a colour that cannot be read learns which one is shown."""
    assert "#ffcc00 cannot be read everywhere: shown as #" in brand(accent="#fc0").adjusted
    assert "on light pages" in brand(accent="#fc0").adjusted
    assert "on dark pages" not in brand(accent="#fc0").adjusted


@pytest.mark.parametrize(
    ("setting", "value", "named"),
    [
        ("accent", "teal", "BRAND_ACCENT"),
        ("accent", "#12345", "BRAND_ACCENT"),
        ("accent", "#0b6670;}", "BRAND_ACCENT"),
        ("name", "x" * 41, "BRAND_NAME"),
        ("name", "A <b>", "BRAND_NAME"),
        ("name", "Evil\u202ename", "BRAND_NAME"),
        ("support_url", "javascript:alert(1)", "SUPPORT_URL"),
        ("support_url", "help.example.com", "SUPPORT_URL"),
        ("support_url", "https://[", "SUPPORT_URL"),
        ("footer_links", "https://example.com", "FOOTER_LINKS"),
        ("footer_links", "Legal=data:text/html,x", "FOOTER_LINKS"),
        ("footer_links", ";".join(f"L{n}=https://example.com" for n in range(9)), "FOOTER_LINKS"),
    ],
)
def test_what_cannot_be_used_is_named(setting: str, value: str, named: str) -> None:
    """The message names the setting and says what to write."""
    with pytest.raises(BrandProblem, match=named):
        brand(**{setting: value})


@pytest.mark.parametrize(
    "content",
    [
        SVG.format("", "<script>alert(1)</script>"),
        SVG.format(' onload="alert(1)"', ""),
        SVG.format("", '<a href="https://example.com"><path/></a>'),
        SVG.format("", '<use href="https://example.com/x.svg#a"/>'),
        SVG.format("", '<image href="https://example.com/x.png"/>'),
        SVG.format("", "<style>@import url(https://example.com)</style>"),
        SVG.format("", '<path fill="url(https://example.com/x)"/>'),
        SVG.format("", "<foreignObject/>"),
        SVG.format("", '<p xmlns="http://www.w3.org/1999/xhtml">x</p>'),
        '<!DOCTYPE svg [<!ENTITY a "b">]>' + SVG.format("", "&a;"),
        "<html/>",
        '<svg xmlns="http://www.w3.org/2000/svg"/>',
        "GIF89a",
        "",
    ],
)
def test_a_logo_that_acts_or_is_none_is_refused(content: str, tmp_path: Path) -> None:
    """Browsers run no script of a picture; opened by its address it would be a page of ours."""
    logo = tmp_path / "logo.svg"
    logo.write_text(content)
    with pytest.raises(BrandProblem, match="BRAND_LOGO"):
        read_logo(logo)


def test_a_logo_that_is_missing_or_large_is_refused(tmp_path: Path) -> None:
    """A page stays light, and a wrong path is told."""
    with pytest.raises(BrandProblem, match="cannot be read"):
        read_logo(tmp_path / "none.svg")
    large = tmp_path / "large.svg"
    large.write_text(SVG.format("", "<path/>" * LOGO_BYTES))
    with pytest.raises(BrandProblem, match="larger than 16 KB"):
        read_logo(large)


def test_logos_are_taken(tmp_path: Path) -> None:
    """A plain SVG and a PNG, named by their content."""
    svg = tmp_path / "logo.svg"
    svg.write_text(SVG.format("", '<g id="a"><path d="M0 0h8v8z" fill="url(#b)"/></g><use href="#a"/>'))
    assert read_logo(svg).content_type == "image/svg+xml"
    header = b"IHDR" + struct.pack(">IIBBBBB", 8, 8, 8, 6, 0, 0, 0)
    png = tmp_path / "logo"
    png.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + header
        + struct.pack(">I", zlib.crc32(header))
        + b"\0" * 8
    )
    assert read_logo(png).content_type == "image/png"
    assert read_logo(png).name != read_logo(svg).name
    png.write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(BrandProblem, match="is none"):
        read_logo(png)


@pytest.fixture
def own_brand(settings: Any, tmp_path: Path) -> Brand:
    """A host with everything of its own."""
    logo = tmp_path / "logo.svg"
    logo.write_text(SVG.format("", "<path/>"))
    made = brand(
        name="Hébergeur Dupont",
        logo=logo,
        accent="#d6336c",
        support_url="https://dupont.example/aide",
        footer_links="Mentions légales=https://dupont.example/legal; Écrire=mailto:aide@dupont.example",
    )
    settings.ENVIRONMENT = replace(settings.ENVIRONMENT, brand=made)
    settings.PRODUCT_NAME = made.name
    return made


@pytest.mark.django_db
def test_pages_show_the_brand(own_brand: Brand) -> None:
    """Name, logo, colour and links, on pages with a request and on those without."""
    assert own_brand.footer_links[1] == Link("Écrire", "mailto:aide@dupont.example")
    assert own_brand.logo is not None
    assert own_brand.stylesheet is not None
    for page in (Client().get("/sign-in/"), Client().get("/sign-in/", headers={"host": "elsewhere.test"})):
        text = page.content.decode()
        assert "Hébergeur Dupont</title>" in text
        assert "Restante" not in text
        assert f'src="/static/{own_brand.logo.name}"' in text
        assert f'href="/static/{own_brand.stylesheet.name}"' in text
        assert 'href="https://dupont.example/aide"' in text
        assert "Mentions légales" in text


@pytest.mark.django_db
def test_its_files_are_served_and_kept(own_brand: Brand) -> None:
    """Under names that change with their content, so browsers never ask again."""
    for file in own_brand.files:
        answer = Client().get(f"/static/{file.name}")
        assert answer.content == file.content
        assert answer["Content-Type"] == file.content_type
        assert "immutable" in answer["Cache-Control"]
        assert "script-src 'self'" in answer["Content-Security-Policy"]
        assert not answer.cookies
    assert Client().get("/static/brand.000000000000.css").status_code == 404


def test_mails_bear_the_name(own_brand: Brand, cast: Cast) -> None:
    """In mails of the panel, and as the sender of a mailbox's first message."""
    assert send_password_reset(email=cast.owner.email or "", language="en")
    assert "Hébergeur Dupont" in mail.outbox[-1].subject
    assert "Restante" not in mail.outbox[-1].body
    assert b"From: =?utf-8?" in welcome_message(cast.mailbox)


def test_pages_are_compressed_unless_another_site_asked(cast: Cast) -> None:
    """Whoever guesses by the lengths of pages does so from a site of their own (BREACH)."""
    client = Client(headers={"accept-encoding": "gzip"})
    client.force_login(cast.admin)
    plain = client.get("/mailboxes/", headers={"sec-fetch-site": "cross-site"})
    assert "Content-Encoding" not in plain
    assert "Content-Encoding" not in client.get("/mailboxes/", headers={"sec-fetch-site": "same-site"})
    lengths = set()
    for _ in range(8):
        answer = client.get("/mailboxes/", headers={"sec-fetch-site": "same-origin"})
        assert answer["Content-Encoding"] == "gzip"
        assert b"<h1>" in gzip.decompress(answer.content)
        lengths.add(len(answer.content))
    assert len(lengths) > 1  # no length tells anything
