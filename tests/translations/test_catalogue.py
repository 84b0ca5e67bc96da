"""Every sentence of the panel is translated, and the catalogue holds nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import polib
import pytest

from tests.translations.extraction import catalogues, extracted, merged
from tests.translations.typography import NARROW, WIDE, faults

_PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%%")
_MARKUP = re.compile(r"</?\w+[^>]*>")


@pytest.fixture(scope="module")
def template() -> polib.POFile:
    """What the sources say now."""
    return extracted()


@pytest.fixture(params=catalogues(), ids=lambda path: path.parts[-3])
def path(request: pytest.FixtureRequest) -> Path:
    """Each language's catalogue in turn."""
    found: Path = request.param
    return found


@pytest.fixture
def catalogue(path: Path) -> polib.POFile:
    """It, read."""
    return polib.pofile(str(path), wrapwidth=-1)


def test_there_is_french() -> None:
    assert "fr" in [path.parts[-3] for path in catalogues()]


def test_extraction_finds_sentences_of_all_kinds(template: polib.POFile) -> None:
    found = {(entry.msgctxt, entry.msgid) for entry in template}
    assert {
        (None, "Sign in"),  # of a template
        (None, "There is no customer named %(name)s."),  # of a command
        ("mailbox", "Active"),  # with a context
        (None, "Enter the part before the @."),  # of the mail service
    } <= found


def test_the_catalogue_is_what_make_messages_writes(
    path: Path, catalogue: polib.POFile, template: polib.POFile
) -> None:
    now = {(entry.msgctxt, entry.msgid) for entry in template}
    written = {(entry.msgctxt, entry.msgid) for entry in catalogue if not entry.obsolete}
    assert not now - written, "new sentences: run 'make messages', then translate them"
    assert not written - now, "nobody says these any more: run 'make messages'"
    assert path.read_text("utf-8") == f"{merged(template, catalogue)}\n", "run 'make messages'"


def test_every_sentence_is_translated(catalogue: polib.POFile) -> None:
    assert [entry.msgid for entry in catalogue if not entry.translated()] == []
    assert [entry.msgid for entry in catalogue if entry.fuzzy or entry.obsolete] == []


def test_placeholders_and_markup_are_the_same(catalogue: polib.POFile) -> None:
    assert [entry.msgid for entry in catalogue if not _agrees(entry)] == []


def test_french_typography() -> None:
    french = polib.pofile(str(next(path for path in catalogues() if path.parts[-3] == "fr")))
    wrong = {
        entry.msgid: found
        for entry in french
        for text in (entry.msgstr, *entry.msgstr_plural.values())
        if (found := faults(text))
    }
    assert wrong == {}


@pytest.mark.parametrize(
    "text",
    [
        "Supprimer ?",
        "Supprimer?",
        f"Supprimer{WIDE}?",
        "Ce qui suit :",
        "Ce qui suit:",
        f"Ce qui suit{NARROW}:",
        "Le nom « Anna »",
        "Le nom “Anna”",
        'Le nom "Anna"',
        "L'adresse",
        "Votre boite mail",
        "Votre passkey",
        "2 Go",
        "2 GB",
        "Nombre : %(count)s",
        "Attendez...",
    ],
)
def test_faults_are_found(text: str) -> None:
    assert faults(text)


@pytest.mark.parametrize(
    "text",
    [
        f"Supprimer %(name)s{NARROW}?",
        f"Ligne %(number)s{WIDE}: %(problem)s",
        f"Le nom «{WIDE}%(name)s{WIDE}»",
        "Écrivez keep:N, 2026-12-31T03:00:00+00:00 ou https://panel.exemple.fr:8000/",
        '<a href="%(url)s?a=b">lien</a>',
        f"2{WIDE}Go",
    ],
)
def test_what_is_right_has_no_fault(text: str) -> None:
    assert faults(text) == []


def _agrees(entry: polib.POEntry) -> bool:
    texts = [entry.msgstr, *entry.msgstr_plural.values()]
    # "One line" may be said without its number; what stands in the plural may stand in both.
    known = set(_PLACEHOLDER.findall(entry.msgid + entry.msgid_plural))
    needed = set(_PLACEHOLDER.findall(entry.msgid)) & (
        set(_PLACEHOLDER.findall(entry.msgid_plural)) if entry.msgid_plural else known
    )
    return all(
        needed <= set(_PLACEHOLDER.findall(text)) <= known
        and sorted(_MARKUP.findall(text)) == sorted(_MARKUP.findall(entry.msgid))
        for text in texts
        if text
    )
