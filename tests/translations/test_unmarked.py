"""No words for people escape the translators."""

from __future__ import annotations

from pathlib import Path

import pytest

from panel.core.said import in_words
from tests.translations.extraction import CHECKOUT
from tests.translations.unmarked import in_python, in_template, told_sentences

TEMPLATES = sorted(path for path in (CHECKOUT / "templates").rglob("*") if path.is_file())
SOURCES = sorted(
    path for path in (CHECKOUT / "panel").rglob("*.py") if not {"migrations", "formats"} & set(path.parts)
)
#: What speaks without a reader: the mail service, and what reports of jobs keep.
TOLD = [
    *sorted((CHECKOUT / "mailbackend").rglob("*.py")),
    *(CHECKOUT / "panel" / "addresses" / name for name in ("checkmail.py", "purging.py")),
]
#: Of these, what only whoever starts the processes by hand can see, on a terminal.
ON_A_TERMINAL = {"mailbackend/supervisor/__main__.py"}


def _short(path: Path) -> str:
    return str(path.relative_to(CHECKOUT))


@pytest.mark.parametrize("path", TEMPLATES, ids=_short)
def test_a_template_has_no_words_of_its_own(path: Path) -> None:
    assert in_template(path.read_text("utf-8")) == []


@pytest.mark.parametrize("path", SOURCES, ids=_short)
def test_python_says_nothing_unmarked(path: Path) -> None:
    # panel.environment is read before there are languages: its sentences are for a terminal.
    assert in_python(path.read_text("utf-8")) == []


def test_what_the_mail_service_says_is_known_to_translators(settings: object) -> None:
    unknown = [
        f"{_short(path)}:{line}: {text}"
        for path in TOLD
        if _short(path) not in ON_A_TERMINAL
        for line, text in told_sentences(path.read_text("utf-8"))
        # A check ends its findings with a full stop of its own.
        if not _is_told(text) and not _is_told(f"{text}.")
    ]
    assert unknown == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("<p>Hello there</p>", ["Hello there"]),
        ('<p title="Hello">{{ name }}</p>', ["Hello"]),
        ('{% include "a.html" with label="Address" %}', ['label="Address"']),
        ('<p>{% translate "Hello" %} {# words #}{% comment %}More words{% endcomment %}</p>', []),
        ("<p>{% blocktranslate %}Hello{% endblocktranslate %} · Restante</p>", []),
        ("<script>const words = 1;</script>", []),
    ],
)
def test_unmarked_words_of_a_template_are_found(source: str, found: list[str]) -> None:
    assert in_template(source) == found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('raise Problem("No such thing.")', ["1: 'No such thing.'"]),
        ('raise Problem(f"No {name}.")', ["1: f'No {name}.'"]),
        ('forms.CharField(label="Name")', ["1: 'Name'"]),
        ("from django.utils.translation import gettext as _g", ["1: import gettext as _g"]),
        ("from django.utils.translation import gettext_lazy as _", []),
        ('raise Problem(_("No such thing."))', []),
        ('forms.CharField(label=_("Name"))', []),
    ],
)
def test_unmarked_words_of_python_are_found(source: str, found: list[str]) -> None:
    assert in_python(source) == found


def _is_told(text: str) -> bool:
    """Whether the sentence is translated, told by a language in which every sentence is another."""
    from django.utils import translation

    with translation.override("fr"):
        return in_words(text) != text
