"""The files that describe mail programs: read and checked. What is wrong is said with the file's name and what to do.

A file is TOML (toml.io); its texts are Jinja2 templates, run in a sandbox, that know the names in `VALUES` and nothing
else. docs/mail-programs.md describes them to hosts.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from panel.addresses.mail_servers import PROTOCOLS

#: The devices that somebody may say they have.
DEVICES = ("windows", "mac", "iphone", "android", "linux")
#: What a program can do by itself.
WAYS = ("autoconfig", "autodiscover", "profile", "qr")

#: What texts may name, with several values of each: a text must be one, whatever a host's servers are.
VALUES: Mapping[str, tuple[str | int, ...]] = {
    "address": ("anna@example.com",),
    "local_part": ("anna",),
    "domain": ("example.com",),
    "host": ("mail.example.com",),
    "port": (993,),
    "security": ("SSL/TLS", "STARTTLS"),
    "smtp_host": ("smtp.example.com", ""),
    "smtp_port": (465,),
    "smtp_security": ("SSL/TLS", "STARTTLS"),
    "pop_deletes": ("keep_days", "keep", "delete"),
    "pop_days": (30,),
    "authority_url": ("", "https://panel.example.com/setup/ca.crt"),
    "authority_file": ("~/.mail.example.com-ca.crt",),
}

#: More than any description needs. Octets.
LARGEST = 64 * 1024
_FILE_NAME = re.compile(r"(?P<slug>[a-z0-9]+(?:-[a-z0-9]+)*)\.(?P<language>[a-z]{2})\.toml\Z")
_BARE_BRACES = re.compile(r"(?<!\{)\{[a-z_]+\}(?!\})")
_HEAD = {"name", "order", "devices", "ways", "remark", "finds_ip_of"}
_REQUIRED = {"name", "order", "devices"}

_jinja = ImmutableSandboxedEnvironment(
    autoescape=False,  # plain text and configuration files; pages escape what they show
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
# Neither loops nor what could make a text large without end is needed.
_jinja.globals.clear()


class ContentProblem(ValueError):
    """A file cannot be used; the message says why and what to write, in one sentence."""


@dataclass(frozen=True)
class Broken:
    """A file that cannot be used.

    Attributes:
        path: which.
        reason: why, and what to write, in one sentence.
    """

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass(frozen=True)
class File:
    """A configuration file, to be filled in."""

    name: str
    text: str


@dataclass(frozen=True)
class Instructions:
    """How a program is set up with one protocol, to be filled in; panel.clients.programs.Guide says what each is."""

    steps: tuple[str, ...]
    files: tuple[File, ...] = ()
    leave_copy: tuple[str, ...] = ()
    leave_copy_default: str = ""


@dataclass(frozen=True)
class Content:
    """What one file says; panel.clients.programs.Program says what each is."""

    slug: str
    language: str
    name: str
    order: int
    devices: tuple[str, ...]
    ways: tuple[str, ...] = ()
    remark: str = ""
    finds_ip_of: str = ""
    instructions: Mapping[str, Instructions] = field(default_factory=dict)

    @property
    def protocols(self) -> tuple[str, ...]:
        """Those that it describes; IMAP first."""
        return tuple(protocol for protocol in PROTOCOLS if protocol in self.instructions)

    @property
    def the_same_in_all_languages(self) -> tuple[Any, ...]:
        """What a program is and does, whoever reads of it."""
        return (self.order, set(self.devices), set(self.ways), self.protocols)


#: By code of the program and language.
Contents = Mapping[tuple[str, str], Content]


@dataclass(frozen=True)
class Found:
    """What stands in a folder, on top of what stood there before.

    Attributes:
        contents: each program in all languages.
        broken: what could not be used.
    """

    contents: Contents
    broken: tuple[Broken, ...]

    def in_language(self, language: str) -> list[Content]:
        """Return the programs in one language, in their order."""
        told = [content for (_slug, spoken), content in self.contents.items() if spoken == language]
        return sorted(told, key=lambda content: (content.order, content.name.lower(), content.slug))


def fill(text: str, values: Mapping[str, str | int]) -> str:
    """Return a text with its values; it has been checked when it was read."""
    return _template(text).render(values)


def read_folder(folder: Path, languages: tuple[str, ...], *, beside: Contents | None = None) -> Found:
    """Return what a folder says of programs, in place of what is said already.

    A program counts in all languages or not at all: where one file of it is missing or broken, what was said before
    stays, if anything was.

    Args:
        folder: where; it need not exist.
        languages: the codes in which each program is described.
        beside: what is said already, a language of which a folder may replace alone.
    """
    own: dict[tuple[str, str], Content] = {}
    broken = []
    try:
        paths = files_in(folder)
    except OSError as err:
        return Found(dict(beside or {}), (Broken(folder, _cannot_be_read(err)),))
    for path in paths:
        try:
            content = read_file(path, languages)
        except ContentProblem as err:
            broken.append(Broken(path, str(err)))
        else:
            own[content.slug, content.language] = content
    contents = dict(beside or {})
    for slug in sorted({slug for slug, _language in own}):
        merged = {
            language: own.get((slug, language)) or contents.get((slug, language)) for language in languages
        }
        reason = _disagreement(slug, merged)
        if reason:
            broken += [
                Broken(folder / f"{slug}.{language}.toml", reason)
                for language in languages
                if (slug, language) in own
            ]
            continue
        contents.update({(slug, code): each for code, each in merged.items() if each is not None})
    return Found(contents, tuple(broken))


def files_in(folder: Path) -> list[Path]:
    """Return the files of a folder that are to be read; none where there is no such folder.

    Raises:
        OSError: if it cannot be read.
    """
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".toml")
    except (FileNotFoundError, NotADirectoryError):
        return []


def _disagreement(slug: str, merged: Mapping[str, Content | None]) -> str:
    """Say what keeps the files of a program from being used together; empty if nothing does."""
    absent = [language for language, content in merged.items() if content is None]
    if absent:
        return f"the program is not described in every language: write {slug}.{absent[0]}.toml too."
    said = [content.the_same_in_all_languages for content in merged.values() if content is not None]
    if any(each != said[0] for each in said):
        return (
            "order, devices, ways and protocols must be the same in every language: "
            f"compare it with {' and '.join(f'{slug}.{language}.toml' for language in merged)}."
        )
    return ""


def read_file(path: Path, languages: tuple[str, ...]) -> Content:
    """Return what a file says.

    Raises:
        ContentProblem: if it cannot be used.
    """
    match = _FILE_NAME.match(path.name)
    if not match or match["language"] not in languages:
        raise ContentProblem(
            "its name must be a code of the program and a language, such as "
            f"my-program.{languages[0]}.toml; languages are {', '.join(languages)}."
        )
    document = _parse(path)
    _check_keys(document, _HEAD | set(PROTOCOLS), _REQUIRED, "at its beginning")
    protocols = [protocol for protocol in PROTOCOLS if protocol in document]
    if not protocols:
        raise ContentProblem("it describes no protocol: write [imap] or [pop3], or both, with steps.")
    return Content(
        slug=match["slug"],
        language=match["language"],
        name=_text(document, "name", required=True),
        order=_number(document, "order"),
        devices=_codes(document, "devices", DEVICES, required=True),
        ways=_codes(document, "ways", WAYS),
        remark=_labelled(_text(document, "remark"), "remark"),
        finds_ip_of=_text(document, "finds_ip_of"),
        instructions={protocol: _instructions(document[protocol], protocol) for protocol in protocols},
    )


def _parse(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > LARGEST:
            raise ContentProblem(f"it is larger than {LARGEST // 1024} KB: shorten it.")
        return tomllib.loads(path.read_text("utf-8"))
    except UnicodeDecodeError as err:
        raise ContentProblem("it is not UTF-8: save it so.") from err
    except tomllib.TOMLDecodeError as err:
        raise ContentProblem(f"it is not TOML: {err}.") from err
    except OSError as err:
        raise ContentProblem(_cannot_be_read(err)) from err
    except RecursionError as err:
        raise ContentProblem("it is nested too deeply: see docs/mail-programs.md.") from err


def _cannot_be_read(err: OSError) -> str:
    return f"it cannot be read ({err.strerror}): let the account of the service read it."


def _instructions(section: Any, protocol: str) -> Instructions:
    where = f"in [{protocol}]"
    if not isinstance(section, dict):
        raise ContentProblem(f"{protocol} must be a section: write [{protocol}] on a line of its own.")
    of_pop = {"leave_copy", "leave_copy_default"} if protocol == "pop3" else set()
    _check_keys(
        section, {"steps", "files"} | of_pop, {"steps"} | ({"leave_copy"} if of_pop else set()), where
    )
    return Instructions(
        steps=_texts(section, "steps", where),
        files=tuple(_files(section, where)),
        leave_copy=_texts(section, "leave_copy", where) if of_pop else (),
        leave_copy_default=_template_text(
            section.get("leave_copy_default", ""), f"leave_copy_default {where}"
        ),
    )


def _files(section: Mapping[str, Any], where: str) -> Iterator[File]:
    files = section.get("files", [])
    if not isinstance(files, list) or not all(isinstance(each, dict) for each in files):
        raise ContentProblem(f"files {where} must be sections: write [[….files]] with name and text.")
    for each in files:
        _check_keys(each, {"name", "text"}, {"name", "text"}, f"in a file {where}")
        name = _template_text(each["name"], f"name of a file {where}")
        yield File(name, _template_text(each["text"], f"text of {name} {where}", is_file=True))


def _check_keys(table: Mapping[str, Any], known: set[str], required: set[str], where: str) -> None:
    unknown = sorted(set(table) - known)
    if unknown:
        raise ContentProblem(f"{unknown[0]!r} {where} is not known: use {', '.join(sorted(known))}.")
    absent = sorted(required - set(table))
    if absent:
        raise ContentProblem(f"{absent[0]!r} is missing {where}: add it.")


def _text(table: Mapping[str, Any], key: str, *, required: bool = False) -> str:
    value = table.get(key, "")
    if not isinstance(value, str) or (required and not value.strip()):
        raise ContentProblem(f"{key} must be a text: write it between quotation marks.")
    if "{{" in value or "{%" in value:
        raise ContentProblem(f"{key} is the same for every address: leave the braces out.")
    return value.strip()


def _number(table: Mapping[str, Any], key: str) -> int:
    value = table[key]
    if type(value) is not int:
        raise ContentProblem(f"{key} must be a whole number: programs are offered from the smallest on.")
    return value


def _codes(
    table: Mapping[str, Any], key: str, known: tuple[str, ...], *, required: bool = False
) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or (required and not value):
        raise ContentProblem(f"{key} must be a list of some of: {', '.join(known)}.")
    for each in value:
        if each not in known:
            raise ContentProblem(f"{each!r} in {key} is not known: use some of {', '.join(known)}.")
    return tuple(value)


def _texts(section: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    value = section[key]
    if not isinstance(value, list) or not value:
        raise ContentProblem(f"{key} {where} must be a list of texts, one for each step.")
    return tuple(
        _template_text(each, f"{key} {where}, number {number}") for number, each in enumerate(value, 1)
    )


def _labelled(text: str, what: str) -> str:
    """Return a text whose labels and commands end where they should.

    Raises:
        ContentProblem: if one does not.
    """
    if text.count("*") % 2 or text.count("`") % 2:
        raise ContentProblem(f"{what} has a * or ` without its second one: labels stand between two.")
    return text


def _template_text(value: Any, what: str, *, is_file: bool = False) -> str:
    """Return a text that can be filled in, whatever the values are.

    Raises:
        ContentProblem: if it is none.
    """
    if not isinstance(value, str):
        raise ContentProblem(f"{what} must be a text: write it between quotation marks.")
    if not is_file:
        bare = _BARE_BRACES.search(value)
        if bare:
            raise ContentProblem(f"{what} has {bare[0]}: write {{{bare[0]}}}, with two braces.")
        _labelled(value, what)
    try:
        for values in _all_values():
            fill(value, values)
    except jinja2.UndefinedError as err:
        raise ContentProblem(f"{what} names a value that there is not: use {', '.join(VALUES)}.") from err
    except (jinja2.TemplateError, ArithmeticError, TypeError, ValueError) as err:
        raise ContentProblem(f"{what} cannot be filled in: {err}.") from err
    return value


@cache
def _all_values() -> tuple[dict[str, str | int], ...]:
    """Return every kind of what texts are filled in with."""
    return tuple(dict(zip(VALUES, values, strict=True)) for values in product(*VALUES.values()))


@lru_cache(maxsize=2048)
def _template(text: str) -> jinja2.Template:
    return _jinja.from_string(text)
