"""Sizes, read and written."""

from __future__ import annotations

import pytest
from django.utils import translation

from panel.core.sizes import LARGEST, format_size, parse_size, written_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("1B", 1),
        ("10G", 10 * 1024**3),
        ("1.5 GB", 3 * 1024**3 // 2),
        ("1,5 Go", 3 * 1024**3 // 2),
        ("512 KiB", 2**19),
        ("1024T", 1024**5),
    ],
)
def test_size_is_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "G", "-1G", "0", "0.0G", "1e9", "1025T", "9" * 30, "1.2.3G", "1 P", "١G", "1G\x00"]
)
def test_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1023 bytes"),
        (1024, "1\xa0KB"),
        (1536, "1.5\xa0KB"),
        (2 * 1024**3 + 10**8, "2.1\xa0GB"),
        (1024**2 - 1, "1\xa0MB"),
        (1024**5, "1024\xa0TB"),
    ],
)
def test_size_is_written(size: int, text: str) -> None:
    assert format_size(size).replace(",", "") == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (1, "1"),
        (512, "512"),
        (3 * 1024**3 // 2, "1.5 GB"),
        (1500 * 1024**2, "1500 MB"),
        (1_234_567_890, "1234567890"),
        (2 * 1024**3 + 1024, "2097153 KB"),
        (LARGEST - 1, "1125899906842623"),
        (LARGEST, "1024 TB"),
    ],
)
@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_form_shows_a_size_to_the_byte(size: int, text: str, language: str) -> None:
    with translation.override(language):
        written = written_size(size)
        assert parse_size(written) == size
    if language == "en":
        assert written == text
