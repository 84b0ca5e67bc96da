"""Sizes, read and written as people do. One GB is 1024³ bytes here, as in mail programs and in Dovecot."""

from __future__ import annotations

import re

from django.utils.formats import get_format, number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

#: The largest size that is taken: 1 PB. Dovecot counts in signed 64 bits; nobody means more.
LARGEST = 1024**5

_FACTORS = {"": 1, "B": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_SIZE = re.compile(r"([0-9]{1,16})(?:[.,]([0-9]{1,3}))?\s*([BKMGT]?)(?:i?[BO])?\Z", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Return the bytes that `text` means: `2G`, `1.5 GB`, `500M`, `1048576`.

    Raises:
        ValueError: with a sentence, if it is no size, zero, or more than 1 PB.
    """
    match = _SIZE.match(text.strip())
    if not match:
        raise ValueError(_("Write a size such as 500M, 2G or 1.5G."))
    whole, fraction, unit = match[1], match[2] or "0", match[3].upper()
    factor = _FACTORS[unit]
    size: int = int(whole) * factor + int(fraction) * factor // 10 ** len(fraction)
    if not 0 < size <= LARGEST:
        raise ValueError(_("The size must be more than zero and at most 1024 TB."))
    return size


def written_size(size: int) -> str:
    """Return bytes as a form shows them, to the byte: `1.5 GB`, `1500 MB`, `1234567890`.

    What is rounded would be saved so by whoever changes something else in the form.
    """
    units = zip((_("TB"), _("GB"), _("MB"), _("KB")), (1024**4, 1024**3, 1024**2, 1024), strict=True)
    for unit, factor in units:
        if size >= factor and size * 1000 % factor == 0:
            whole, thousandths = divmod(size * 1000 // factor, 1000)
            fraction = f"{thousandths:03}".rstrip("0")
            number = f"{whole}{get_format('DECIMAL_SEPARATOR')}{fraction}" if fraction else str(whole)
            return f"{number} {unit}"
    return str(size)


def format_size(size: int) -> str:
    """Return bytes in the unit that fits: `0 bytes`, `512 KB`, `2.1 GB`."""
    units = [_("KB"), _("MB"), _("GB"), _("TB")]
    if size < 1024:
        return ngettext("%(number)s byte", "%(number)s bytes", size) % {"number": size}
    value = float(size)
    unit = units[0]
    for unit in units:  # noqa: B007 - the last one tried is the one that fits
        value /= 1024
        if value < 1023.95:
            break
    digits = 0 if value >= 100 or abs(value - round(value)) < 0.05 else 1
    # Rounded here: number_format cuts digits off.
    return f"{number_format(round(value, digits), digits)}\N{NO-BREAK SPACE}{unit}"
