"""Mail programs, and the steps by which each is set up: read from files, so that a host adds or corrects one.

One file for each program and language, in content/ or in DATA_DIR/clients/ (which wins). docs/mail-programs.md says
what stands in them. A host's file counts as soon as it is written; one that cannot be used is told of in the log and
by `manage.py check`, and what we bring along is shown instead.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from django.conf import settings

from mailbackend.addresses import AddressError, parse_address
from panel.addresses.inherited import PopPolicy
from panel.addresses.mail_servers import MailServer, incoming_servers, outgoing_server
from panel.clients import content_files
from panel.clients.authority import authority_url
from panel.clients.content_files import Broken, Content, File, Instructions, fill, read_folder

logger = logging.getLogger(__name__)

#: What we bring along.
BUILT_IN = Path(__file__).resolve().parent / "content"

#: An address of a page that means nothing else to a shell or a configuration file.
_PLAIN_URL = re.compile(r"(?:https?://[A-Za-z0-9._:/\[\]-]+)?\Z")
_HOST_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?\Z")


@dataclass(frozen=True)
class Facts:
    """What a guide is filled in with: one address, and the servers that its program is told.

    Attributes:
        address: in full, as it is stored.
        server: the way in by the guide's protocol.
        outgoing: the host's submission server, or None where mail is sent through another.
        pop: what happens to messages that POP deletes.
        authority_url: where the certificate of the host's own authority is downloaded, without which programs do not
            trust its servers; empty where they are trusted by everybody.

    Raises:
        ValueError: if a value is not one that is stored. What goes into configuration files is plain letters, digits
            and . _ - @ alone, which mean nothing else to a program or a shell that reads them.
    """

    address: str
    server: MailServer
    outgoing: MailServer | None
    pop: PopPolicy
    authority_url: str = ""

    def __post_init__(self) -> None:
        try:
            is_stored_form = str(parse_address(self.address)) == self.address
        except AddressError:
            is_stored_form = False
        if not is_stored_form:
            raise ValueError(f"Not an address as it is stored: {self.address!r}.")
        for server in filter(None, (self.server, self.outgoing)):
            if not _HOST_NAME.match(server.host):
                raise ValueError(f"Not a host name: {server.host!r}.")
        if not _PLAIN_URL.match(self.authority_url):
            raise ValueError(f"Not a plain address of a page: {self.authority_url!r}.")

    @property
    def values(self) -> Mapping[str, str | int]:
        """The values by the names that files fill in; docs/mail-programs.md lists them."""
        local_part, _at, domain = self.address.rpartition("@")
        outgoing = self.outgoing
        return {
            "address": self.address,
            "local_part": local_part,
            "domain": domain,
            "host": self.server.host,
            "port": self.server.port,
            "security": self.server.security,
            "smtp_host": outgoing.host if outgoing else "",
            "smtp_port": outgoing.port if outgoing else 0,
            "smtp_security": outgoing.security if outgoing else "",
            "pop_deletes": self.pop.deletes,
            "pop_days": self.pop.days or 0,
            "authority_url": self.authority_url,
            "authority_file": authority_file(self.server.host),
        }


@dataclass(frozen=True)
class ConfigurationFile:
    """A file that a program reads, ready but for the password, which stands in none.

    Attributes:
        name: where it goes, such as ~/.mbsyncrc.
        text: with nothing left to fill in.
    """

    name: str
    text: str


@dataclass(frozen=True)
class Guide:
    """How a program is set up with one protocol.

    Attributes:
        steps: in their order; plain text, in which *labels* stand between asterisks and `what is typed` between
            backticks.
        files: ready configuration files.
        leave_copy: the steps to where the program says whether POP leaves messages on the server; none for IMAP.
        leave_copy_default: what the program does when nobody says, a sentence; empty where it is not known.
        tells_of_authority: whether the steps say how the program trusts the host's own authority.
    """

    steps: tuple[str, ...]
    files: tuple[ConfigurationFile, ...] = ()
    leave_copy: tuple[str, ...] = ()
    leave_copy_default: str = ""
    tells_of_authority: bool = False


@dataclass(frozen=True)
class Program:
    """A mail program.

    Attributes:
        slug: its code in addresses of pages, and its files' name.
        name: as people know it.
        devices: of content_files.DEVICES, those it runs on.
        ways: what it can do by itself: some of "autoconfig", "autodiscover", "profile" (Apple's), "qr" (a code of its
            own); empty where everything is entered by hand.
        protocols: those it speaks and is described for; IMAP first.
        remark: what is to be known before, with *labels*; may be empty.
        finds_ip_of: whose IP address the connection log shows, where it is not the device's; empty otherwise.
        language: of its texts.
    """

    slug: str
    name: str
    devices: tuple[str, ...]
    ways: tuple[str, ...]
    protocols: tuple[str, ...]
    remark: str
    finds_ip_of: str
    language: str
    _instructions: Mapping[str, Instructions] = field(default_factory=dict, repr=False, compare=False)


def facts_of(address: str, protocol: str, pop: PopPolicy) -> Facts | None:
    """Return what a guide is filled in with, or None where the protocol is off.

    Args:
        address: in full, as it is stored.
        protocol: "imap" or "pop3".
        pop: what happens to messages that POP deletes.

    Raises:
        ValueError: if the address is not one that is stored.
    """
    servers = incoming_servers(protocol)
    if not servers:
        return None
    return Facts(address, servers[0], outgoing_server(), pop, authority_url())


def programs(language: str) -> tuple[Program, ...]:
    """Return all programs, in the order in which they are offered.

    Args:
        language: a code of settings.LANGUAGES, with or without a region; English where there is none for it.
    """
    spoken = language.partition("-")[0].lower()
    known = {code for code, _name in settings.LANGUAGES}
    return _told().programs[spoken if spoken in known else settings.LANGUAGE_CODE]


def find_program(slug: str, language: str) -> Program | None:
    """Return the program of a code, or None."""
    return next((program for program in programs(language) if program.slug == slug), None)


def guide(program: Program, protocol: str, facts: Facts) -> Guide | None:
    """Return how a program is set up with a protocol, or None if it does not speak it.

    Args:
        program: which.
        protocol: "imap" or "pop3".
        facts: what it is told; `facts.server` by that protocol.
    """
    instructions = program._instructions.get(protocol)
    if instructions is None:
        return None
    steps = _filled(instructions.steps, facts)
    return Guide(
        steps=steps,
        files=_files(instructions.files, facts),
        leave_copy=_filled(instructions.leave_copy, facts),
        leave_copy_default=fill(instructions.leave_copy_default, facts.values),
        tells_of_authority=bool(facts.authority_url) and any(facts.authority_url in step for step in steps),
    )


def broken_files() -> tuple[Broken, ...]:
    """Return what is wrong with the host's own files; the built-in ones are tested."""
    return _told().broken


def authority_file(host: str) -> str:
    """Return where configuration files expect the certificate of the host's own authority, on the reader's device."""
    return f"~/.{host}-ca.crt"


@dataclass(frozen=True)
class _Told:
    """What is told of programs: by language, and what could not be used."""

    programs: Mapping[str, tuple[Program, ...]]
    broken: tuple[Broken, ...]


def _told() -> _Told:
    return _read(_state_of(settings.DATA_DIR.clients), settings.DATA_DIR.clients)


def _state_of(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Return what changes when a file of the folder does."""
    try:
        return tuple(_state_of_file(path) for path in content_files.files_in(folder))
    except OSError as err:
        return ((str(err), 0, 0),)


def _state_of_file(path: Path) -> tuple[str, int, int]:
    try:
        state = path.stat()
    except OSError as err:
        return str(err), 0, 0
    return path.name, state.st_mtime_ns, state.st_size


@lru_cache(maxsize=4)
def _read(_state: tuple[tuple[str, int, int], ...], folder: Path) -> _Told:
    """Read all files; again only when one of the host's changes."""
    languages = tuple(code for code, _name in settings.LANGUAGES)
    found = read_folder(BUILT_IN, languages)
    own = read_folder(folder, languages, beside=found.contents)
    for broken in (*found.broken, *own.broken):
        logger.warning("%s", broken)
    return _Told(
        {
            language: tuple(_program(content) for content in own.in_language(language))
            for language in languages
        },
        own.broken,
    )


def _program(content: Content) -> Program:
    return Program(
        slug=content.slug,
        name=content.name,
        devices=content.devices,
        ways=content.ways,
        protocols=content.protocols,
        remark=content.remark,
        finds_ip_of=content.finds_ip_of,
        language=content.language,
        _instructions=content.instructions,
    )


def _filled(texts: tuple[str, ...], facts: Facts) -> tuple[str, ...]:
    """Return the texts filled in; without those that say nothing here."""
    filled = (fill(text, facts.values).strip() for text in texts)
    return tuple(text for text in filled if text)


def _files(files: tuple[File, ...], facts: Facts) -> tuple[ConfigurationFile, ...]:
    """Return the files filled in; without those that a program cannot have here."""
    filled = (
        ConfigurationFile(fill(each.name, facts.values), fill(each.text, facts.values)) for each in files
    )
    return tuple(file for file in filled if file.text.strip())
