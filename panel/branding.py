"""A host's own name, logo, colour and links in place of ours, checked before anything is shown."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree import ElementTree

from panel.colours import dark_accent, light_accent, parse

PRODUCT = "Restante"
#: A page shall weigh 60 KB at most, whoever's logo it bears.
LOGO_BYTES = 16 * 1024
_NAME_LENGTH, _LINKS, _LABEL_LENGTH = 40, 8, 40

_PNG = b"\x89PNG\r\n\x1a\n"
#: What an SVG may consist of: shapes, and nothing that acts, loads or contains pages.
_SHAPES = frozenset(
    [
        "svg", "g", "path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text", "tspan", "title",
        "desc", "defs", "use", "symbol", "clipPath", "mask", "linearGradient", "radialGradient", "stop", "pattern",
        "metadata",
    ]
)  # fmt: skip


class BrandProblem(ValueError):
    """A setting of the brand cannot be used; the message names it and says what to write instead."""


@dataclass(frozen=True)
class Link:
    """A link at the foot of every page."""

    label: str
    url: str


@dataclass(frozen=True)
class File:
    """What is served for a brand, under a name that changes with its content."""

    name: str
    content_type: str
    content: bytes


@dataclass(frozen=True)
class Brand:
    """How a host is shown.

    Attributes:
        name: of the product, in pages and mails.
        accent: its colour as given, or empty for ours.
        logo: the picture beside the name, or None for ours.
        support_url: where people find help, or empty.
        footer_links: at the foot of every page.
    """

    name: str = PRODUCT
    accent: str = ""
    logo: File | None = None
    support_url: str = ""
    footer_links: tuple[Link, ...] = ()

    @cached_property
    def stylesheet(self) -> File | None:
        """The accent's colours as a style sheet, or None for our own."""
        if not self.accent:
            return None
        light, dark = light_accent(self.accent), dark_accent(self.accent)
        pairs = {
            "accent": (light.accent, dark.accent),
            "accent-strong": (light.strong, dark.strong),
            "accent-wash": (light.wash, dark.wash),
            "on-accent": (light.on_accent, dark.on_accent),
            "rack-case": (light.accent, dark.wash),
            "rack-hole": (light.strong, dark.on_accent),
        }
        rules = "".join(
            f"--{name}:light-dark({of_light},{of_dark});" for name, (of_light, of_dark) in pairs.items()
        )
        return _file(
            "brand", "css", "text/css; charset=utf-8", f"@layer tokens{{:root{{{rules}}}}}\n".encode()
        )

    @property
    def files(self) -> tuple[File, ...]:
        """All that is served for it."""
        return tuple(file for file in (self.stylesheet, self.logo) if file)

    @property
    def adjusted(self) -> str:
        """What was changed of the accent so that it can be read, or empty."""
        if not self.accent:
            return ""
        given = "#{:02x}{:02x}{:02x}".format(*parse(self.accent))
        light, dark = light_accent(self.accent).accent, dark_accent(self.accent).accent
        changed = [
            f"{shown} on {pages} pages"
            for shown, pages in ((light, "light"), (dark, "dark"))
            if shown != given
        ]
        return f"{given} cannot be read everywhere: shown as {' and '.join(changed)}" if changed else ""


def read_brand(*, name: str, logo: Path | None, accent: str, support_url: str, footer_links: str) -> Brand:
    """Return the brand that these settings describe; each may be empty.

    Args:
        name: BRAND_NAME.
        logo: the file that BRAND_LOGO names.
        accent: BRAND_ACCENT, such as #0b6670.
        support_url: SUPPORT_URL.
        footer_links: FOOTER_LINKS, `label=url` separated by semicolons.

    Raises:
        BrandProblem: if one cannot be used.
    """
    return Brand(
        name=_name(name),
        accent=_accent(accent),
        logo=read_logo(logo) if logo else None,
        support_url=_url("SUPPORT_URL", support_url) if support_url else "",
        footer_links=_links(footer_links),
    )


def read_logo(path: Path) -> File:
    """Return a logo, if it is a small SVG or PNG that does nothing but be seen.

    Raises:
        BrandProblem: if it is not.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LOGO_BYTES + 1)
    except OSError as err:
        raise BrandProblem(f"BRAND_LOGO: {path} cannot be read: {err.strerror}.") from err
    if len(content) > LOGO_BYTES:
        raise BrandProblem(
            f"BRAND_LOGO: {path} is larger than {LOGO_BYTES // 1024} KB. It is shown 32 pixels high: make it smaller."
        )
    if content.startswith(_PNG):
        _check_png(path, content)
        return _file("logo", "png", "image/png", content)
    _check_svg(path, content)
    return _file("logo", "svg", "image/svg+xml", content)


def _check_png(path: Path, content: bytes) -> None:
    if len(content) < 33 or content[12:16] != b"IHDR":
        raise BrandProblem(f"BRAND_LOGO: {path} begins like a PNG and is none.")
    width, height = struct.unpack(">II", content[16:24])
    if not (0 < width <= 2048 and 0 < height <= 2048):
        raise BrandProblem(f"BRAND_LOGO: {path} is {width} × {height} pixels; 2048 × 2048 is the most.")


def _check_svg(path: Path, content: bytes) -> None:
    """Take shapes alone. Browsers run no script of a picture, but the file can be opened by its address too."""
    if re.search(rb"<!(?:DOCTYPE|ENTITY)", content, re.IGNORECASE) or b"\x00" in content:
        raise BrandProblem(f"BRAND_LOGO: {path} declares entities or a document type: save it as plain SVG.")
    try:
        root = ElementTree.fromstring(content)  # noqa: S314 - small, and without entities
    except (ElementTree.ParseError, ValueError, LookupError) as err:
        raise BrandProblem(f"BRAND_LOGO: {path} is neither an SVG nor a PNG ({err}).") from err
    if root.tag != "{http://www.w3.org/2000/svg}svg":
        raise BrandProblem(f"BRAND_LOGO: {path} is XML, but no SVG.")
    if not root.get("viewBox") and not root.get("height"):
        raise BrandProblem(f"BRAND_LOGO: {path} has no viewBox, so it has no size: add one.")
    for element in root.iter():
        tag = str(element.tag)
        # What drawing programs note for themselves, in namespaces of their own, does nothing.
        if tag.startswith("{http://www.w3.org/2000/svg}") and tag.rpartition("}")[2] not in _SHAPES:
            raise BrandProblem(
                f"BRAND_LOGO: {path} holds <{tag.rpartition('}')[2]}>; a logo may hold shapes alone."
            )
        if tag.startswith("{http://www.w3.org/1999/xhtml}"):
            raise BrandProblem(f"BRAND_LOGO: {path} holds a piece of a page; a logo may hold shapes alone.")
        for key, value in element.attrib.items():
            name = key.rpartition("}")[2].lower()
            outside = name == "href" and not value.startswith("#")
            if (
                name.startswith("on")
                or outside
                or "javascript:" in value.lower()
                or re.search(r"url\(\s*['\"]?[^#'\"\s]", value)
            ):
                raise BrandProblem(
                    f"BRAND_LOGO: {path} has {name}={value[:40]!r}; a logo may neither act nor load."
                )


def _name(name: str) -> str:
    text = " ".join(name.split())
    if not text:
        return PRODUCT
    if len(text) > _NAME_LENGTH or not text.isprintable() or set(text) & set('<>"\\@,;:'):
        raise BrandProblem(
            f'BRAND_NAME is {name!r}: write up to {_NAME_LENGTH} letters, without < > " \\ @ , ; and colons.'
        )
    return text


def _accent(accent: str) -> str:
    if accent:
        try:
            parse(accent)
        except ValueError as err:
            raise BrandProblem(f"BRAND_ACCENT is {accent!r}: write a colour such as #0b6670.") from err
    return accent.lower()


def _links(text: str) -> tuple[Link, ...]:
    found = []
    for part in filter(None, (part.strip() for part in text.split(";"))):
        label, is_there, url = (piece.strip() for piece in part.partition("="))
        if not is_there or not label or len(label) > _LABEL_LENGTH or not label.isprintable():
            raise BrandProblem(
                f"FOOTER_LINKS holds {part!r}: write Legal notice=https://example.com/legal, separated by semicolons."
            )
        found.append(Link(label, _url("FOOTER_LINKS", url)))
    if len(found) > _LINKS:
        raise BrandProblem(f"FOOTER_LINKS holds {len(found)} links: {_LINKS} is the most.")
    return tuple(found)


def _url(setting: str, text: str) -> str:
    try:
        parts = urlsplit(text)
        is_page = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_page = False
    is_mail = re.fullmatch(r"mailto:[^\s@<>\"]+@[^\s@<>\"]+", text) is not None
    if not (is_page or is_mail) or re.search(r"[\s<>\"\x00-\x1f]", text):
        raise BrandProblem(f"{setting}: {text!r} is no address: write https://… or mailto:help@example.com.")
    return text


def _file(stem: str, ending: str, content_type: str, content: bytes) -> File:
    return File(f"{stem}.{sha256(content).hexdigest()[:12]}.{ending}", content_type, content)
