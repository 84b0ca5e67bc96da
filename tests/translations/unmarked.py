"""Words that people would see and no translator: in templates, in Python, and in what the mail service says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from html.parser import HTMLParser

_COMMENT = re.compile(r"{#.*?#}|{%\s*comment\b.*?%}.*?{%\s*endcomment\s*%}", re.DOTALL)
_TRANSLATED = re.compile(r"{%\s*blocktrans(?:late)?\b.*?%}.*?{%\s*endblocktrans(?:late)?\s*%}", re.DOTALL)
#: A block that holds the name of a class, and no words.
_CLASS = re.compile(r"{%\s*block \w*class\s*%}.*?{%\s*endblock\b.*?%}", re.DOTALL)
_TAG = re.compile(r"{%.*?%}|{{.*?}}", re.DOTALL)
_LETTERS = re.compile(r"[^\W\d_]{2,}")
#: A literal that a tag hands to another template as words: `with label="Address"`.
_WORDS_IN_TAG = re.compile(r"""\b(?:label|text|title|action|here)2?=["'][^"'@]*[^\W\d_]{2}[^"'@]*["']""")
#: What stands before a colon or a percent sign is another thing in each language.
_PUNCTUATED = re.compile(r"}}\s*[:;!?%](?![\w=&#/])")
#: Attributes that are read to people or shown to them.
_SHOWN = frozenset(
    {"title", "alt", "aria-label", "aria-description", "placeholder", "label", "content", "summary"}
)
_SHOWN_DATA = frozenset(
    {"data-done", "data-failed", "data-show", "data-hide", "data-cancelled", "data-known"}
)
#: Elements whose text nobody reads.
_SILENT = frozenset({"script", "style"})
#: Names of the same in every language, those of settings too.
_NAMES = re.compile(
    r"\b(?:Restante|IMAP|POP|SMTP|CSV|DNS|TXT|MX|SPF|DKIM|DMARC|SHA-256|[A-Z]+(?:_[A-Z]+)+|(?:[a-z]+@)?(?:mail\.)?example\.(?:com|org))\b"
)

#: Exceptions whose message is shown to people.
_FOR_PEOPLE = frozenset({"Problem", "Conflict", "ValidationError", "CommandError"})
#: Arguments that are shown to people.
_SHOWN_ARGUMENTS = frozenset({"label", "help_text", "help", "verbose_name", "empty_label"})
#: Functions of gettext that makemessages knows. Under another name it finds nothing.
_GETTEXT = frozenset({"gettext", "gettext_lazy"})

#: What of the mail service reaches people: exceptions, and what a check or a purge finds.
_TOLD = frozenset(
    {
        "AddressError", "ConfigError", "PathError", "DeliveryFailed", "DoveadmError", "MailServiceDown",
        "MailRootMissing", "SupervisorDown", "ControlRefused", "Problem", "Failure", "Finding",
    }
)  # fmt: skip


def in_template(source: str) -> list[str]:
    """Return the words of a template (HTML or plain text) that are not marked for translation."""
    source = _CLASS.sub("", _TRANSLATED.sub("", _COMMENT.sub("", source)))
    found = [match[0] for tag in _TAG.finditer(source) for match in _WORDS_IN_TAG.finditer(tag[0])]
    found += [match[0] for match in _PUNCTUATED.finditer(source)]
    reader = _Words()
    reader.feed(_TAG.sub(" ", source))
    reader.close()
    return found + reader.found


class _Words(HTMLParser):
    """Collects text and shown attributes that hold letters."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._silent = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at the attributes."""
        if tag in _SILENT:
            self._silent = tag
        for name, value in attrs:
            if name in _SHOWN | _SHOWN_DATA and tag != "meta":
                self._take(value or "")

    def handle_endtag(self, tag: str) -> None:
        """See where silence ends."""
        if tag == self._silent:
            self._silent = ""

    def handle_data(self, data: str) -> None:
        """Look at the text."""
        if not self._silent:
            self._take(data)

    def _take(self, text: str) -> None:
        if _LETTERS.search(_NAMES.sub("", text)):
            self.found.append(" ".join(text.split()))


def in_python(source: str) -> list[str]:
    """Return the words for people in a Python source of the panel that are plain literals, as `line: text`."""
    tree = ast.parse(source)
    found = []
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        shown = [keyword.value for keyword in call.keywords if keyword.arg in _SHOWN_ARGUMENTS]
        shown += [
            value
            for given in call.args + [keyword.value for keyword in call.keywords]
            if isinstance(given, ast.Dict)
            for key, value in zip(given.keys, given.values, strict=True)
            if isinstance(key, ast.Constant) and key.value in _SHOWN
        ]
        if _name(call.func) in _FOR_PEOPLE and call.args:
            shown.append(call.args[0])
        found += [f"{call.lineno}: {ast.unparse(value)}" for value in shown if _has_words(value)]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "django.utils.translation":
            found += [
                f"{node.lineno}: import {name.name} as {name.asname}"
                for name in node.names
                if name.asname and (name.asname != "_" or name.name not in _GETTEXT)
            ]
    return found


def told_sentences(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of what the mail service can say, with `1` in place of what differs."""
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        if _name(call.func) not in _TOLD:
            continue
        for value in call.args:
            if isinstance(value, ast.JoinedStr | ast.Constant) and (text := _example(value)):
                yield call.lineno, text


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _has_words(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return bool(_LETTERS.search(_NAMES.sub("", node.value)))
    return isinstance(node, ast.JoinedStr)


def _example(node: ast.JoinedStr | ast.Constant) -> str:
    """Return a sentence, or nothing for what is none (a code, a name)."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    text = "".join(str(part.value) if isinstance(part, ast.Constant) else "1" for part in parts)
    return text if len(text.split()) > 2 else ""
