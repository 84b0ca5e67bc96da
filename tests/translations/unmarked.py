"""Words that people would see and no translator: in templates, and in the sentences of Python's exceptions."""

from __future__ import annotations

import ast
import re
from html.parser import HTMLParser

_COMMENT = re.compile(r"{#.*?#}|{%\s*comment\b.*?%}.*?{%\s*endcomment\s*%}", re.DOTALL)
_TRANSLATED = re.compile(r"{%\s*blocktrans(?:late)?\b.*?%}.*?{%\s*endblocktrans(?:late)?\s*%}", re.DOTALL)
_TAG = re.compile(r"{%.*?%}|{{.*?}}", re.DOTALL)
_LETTERS = re.compile(r"[^\W\d_]{2,}")
#: A literal that a tag hands to another template as words: `with label="Address"`.
_WORDS_IN_TAG = re.compile(r"""\b(?:label|text|title|action|what)2?=["'][^"']*[^\W\d_]{2}[^"']*["']""")
#: Attributes that are read to people or shown to them.
_SHOWN = frozenset({"title", "alt", "aria-label", "aria-description", "placeholder", "label", "content", "summary"})
_SHOWN_DATA = frozenset({"data-done", "data-failed", "data-show", "data-hide", "data-cancelled", "data-known"})
#: Elements whose text nobody reads.
_SILENT = frozenset({"script", "style"})
#: Classes whose message is shown to people.
_FOR_PEOPLE = frozenset({"Problem", "ValidationError", "CommandError"})


def in_template(source: str) -> list[str]:
    """Return the words of a template (HTML or plain text) that are not marked for translation."""
    source = _TRANSLATED.sub("", _COMMENT.sub("", source))
    found = [match[0] for tag in _TAG.finditer(source) for match in _WORDS_IN_TAG.finditer(tag[0])]
    reader = _Words()
    reader.feed(_TAG.sub("", source))
    reader.close()
    return found + reader.found


class _Words(HTMLParser):
    """Collects text and shown attributes that hold letters."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._silent = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SILENT:
            self._silent = tag
        for name, value in attrs:
            is_shown = name in _SHOWN or name in _SHOWN_DATA
            if is_shown and not (tag == "meta" and name == "content"):
                self._take(value or "")

    def handle_endtag(self, tag: str) -> None:
        if tag == self._silent:
            self._silent = ""

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self._take(data)

    def _take(self, text: str) -> None:
        if _LETTERS.search(text):
            self.found.append(" ".join(text.split()))


def in_python(source: str) -> list[str]:
    """Return the messages for people in a Python source that are plain literals, as `line: text`."""
    return [
        f"{call.lineno}: {ast.unparse(call.args[0])}"
        for call in ast.walk(ast.parse(source))
        if isinstance(call, ast.Call) and _name(call.func) in _FOR_PEOPLE and call.args
        if _is_literal(call.args[0])
    ]


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _is_literal(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
