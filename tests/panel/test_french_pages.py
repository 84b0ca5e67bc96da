"""Every page in French, as everybody sees it: nothing of it is English, and its punctuation is French."""

from __future__ import annotations

import string
from html.parser import HTMLParser

import polib
import pytest

from tests.panel.test_access_table import Stage, addresses, as_asked, stage, url_of
from tests.translations.extraction import catalogues
from tests.translations.typography import faults

__all__ = ["stage"]

#: Who between them see all pages.
VIEWERS = ("anonymous", "owner", "mailbox", "admin", "acting")
_SHOWN = ("title", "alt", "aria-label", "placeholder", "data-done", "data-failed", "data-show", "data-hide")


class _Texts(HTMLParser):
    """Collects the text nodes of a page, and the attributes that are read to people."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.language = ""
        self._silent = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at the attributes."""
        given = dict(attrs)
        if tag == "html":
            self.language = given.get("lang") or ""
        self._silent = tag in ("script", "style", "samp", "code")
        # Another language is named in that language.
        self._silent = self._silent or ("lang" in given and tag != "html")
        self.found += [value for name in _SHOWN if (value := given.get(name))]

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002 - whichever it is
        """Text is read again."""
        self._silent = False

    def handle_data(self, data: str) -> None:
        """Keep it."""
        # A space that does not break belongs to the text: French has one before a colon.
        text = data.strip(string.whitespace)
        if text and not self._silent:
            self.found.append(text)


@pytest.fixture(scope="module")
def english() -> frozenset[str]:
    """Sentences that are others in French, those with names in them left out."""
    french = polib.pofile(str(next(path for path in catalogues() if path.parts[-3] == "fr")))
    said = {text for entry in french for text in (entry.msgstr, *entry.msgstr_plural.values())}
    return frozenset(entry.msgid for entry in french if "%(" not in entry.msgid) - said


@pytest.mark.parametrize("viewer", VIEWERS)
def test_pages_are_french(stage: Stage, english: frozenset[str], viewer: str) -> None:
    client = as_asked(viewer, stage)
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = "fr"
    wrong = {}
    seen = 0
    for pattern, name, _entry in addresses():
        answer = client.get(url_of(pattern, name, stage))
        if not answer.headers.get("Content-Type", "").startswith("text/html") or answer.streaming:
            continue
        if answer.status_code in (301, 302):
            continue
        seen += 1
        page = _Texts()
        page.feed(answer.content.decode())
        left = [text for text in page.found if text in english]
        left += [f"{text!r}: {fault}" for text in page.found for fault in faults(text)]
        if left or page.language not in ("fr", ""):
            wrong[pattern] = left or [f"lang is {page.language}"]
    assert seen > 5
    assert wrong == {}
