"""Colours as the style sheet writes them, how well one is read on another (WCAG 2.2), and an accent made readable."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: What text must reach against what is behind it, and a control's border or a bar (WCAG 2.2, 1.4.3 and 1.4.11, AA).
TEXT, SHAPE = 4.5, 3.0

#: What an accent stands on, and ink on an accent, as in static/css/restante.css (a test holds them together).
LIGHT_GROUNDS = ("#ffffff", "#f6f8f8", "#ecf0f0")
DARK_GROUNDS = ("#161f21", "#0f1617", "#1d282a")

Rgb = tuple[int, int, int]


@dataclass(frozen=True)
class Accent:
    """The colours that follow from one accent, for one scheme: each `#rrggbb`.

    Attributes:
        accent: links, the main button, the focus ring.
        strong: the same when pointed at, and text on `wash`.
        wash: behind what is chosen.
        on_accent: ink on `accent` and `strong`.
    """

    accent: str
    strong: str
    wash: str
    on_accent: str


def parse(colour: str) -> Rgb:
    """Read `#rrggbb` or `#rgb`.

    Raises:
        ValueError: if it is neither.
    """
    if not re.fullmatch(r"#(?:[0-9A-Fa-f]{3}){1,2}", colour):
        raise ValueError(f"{colour!r} is not a colour such as #0b6670.")
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    return int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:], 16)


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, from 1 to 21."""
    lighter, darker = sorted((_luminance(parse(one)), _luminance(parse(other))), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def readable(colour: str, grounds: tuple[str, ...], towards: str) -> str:
    """Return the colour, or the nearest on its way to black or white that is read on every one of the grounds."""
    for step in range(101):
        found = mix(towards, colour, step)
        if all(contrast(found, ground) >= TEXT for ground in grounds):
            return found
    raise ValueError(f"Nothing between {colour} and {towards} is read on {', '.join(grounds)}.")


def mix(one: str, other: str, percent: int) -> str:
    """Return so many percent of one colour in another."""
    pairs = zip(parse(one), parse(other), strict=True)
    return "#" + "".join(f"{round((a * percent + b * (100 - percent)) / 100):02x}" for a, b in pairs)


def light_accent(colour: str) -> Accent:
    """Return an accent's colours on light pages."""
    wash = mix(colour, LIGHT_GROUNDS[0], 12)
    accent = readable(colour, (*LIGHT_GROUNDS, wash), "#000000")
    return Accent(accent, mix("#000000", accent, 24), wash, "#ffffff")


def dark_accent(colour: str) -> Accent:
    """Return an accent's colours on dark pages."""
    wash = mix(colour, DARK_GROUNDS[0], 22)
    accent = readable(colour, (*DARK_GROUNDS, wash), "#ffffff")
    return Accent(
        accent, mix("#ffffff", accent, 35), wash, readable(mix("#000000", colour, 80), (accent,), "#000000")
    )


def _luminance(colour: Rgb) -> float:
    """Return the relative luminance (WCAG 2.2, "relative luminance")."""
    parts = [value / 255 for value in colour]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
