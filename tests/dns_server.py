"""A small DNS server on loopback, over UDP and TCP, that answers from what a test puts into it."""

from __future__ import annotations

import contextlib
import socketserver
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

TTL = 60


@dataclass
class DnsServer:
    """What it knows. Names are in ASCII and without a dot at their end; everything may change while it runs.

    Attributes:
        texts: name → its TXT records, each the strings that it consists of.
        records: name and kind → its records as a zone file has them, of kinds other than TXT.
        aliases: name → the name that its CNAME record leads to.
        domains: names that exist without any of these.
        failing: names that are answered with SERVFAIL.
        silent: names that are not answered at all.
        raw: name → the bytes that come instead of an answer, after the two that say to which question.
        slow: seconds that each answer takes.
        asked: name, type and transport of every question.
    """

    texts: dict[str, list[list[str]]] = field(default_factory=dict)
    records: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    domains: set[str] = field(default_factory=set)
    failing: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    raw: dict[str, bytes] = field(default_factory=dict)
    slow: float = 0.0
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    port: int = 0

    def forget(self) -> None:
        """Know nothing again."""
        for known in (self.texts, self.records, self.aliases, self.raw):
            known.clear()
        for names in (self.domains, self.failing, self.silent):
            names.clear()
        self.asked.clear()
        self.slow = 0.0

    def put(self, name: str, *values: str) -> None:
        """Let a name have these TXT records, each in strings of 255 characters at most."""
        self.texts[name] = [
            [value[at : at + 255] for at in range(0, len(value), 255)] or [""] for value in values
        ]

    def put_all(self, *lines: str) -> None:
        """Have these records: each a name, a kind and a value, as a zone file has them."""
        for line in lines:
            name, kind, value = line.split(maxsplit=2)
            if kind == "TXT":
                self.texts.setdefault(name, []).append([value])
            elif kind == "CNAME":
                self.aliases[name] = value.rstrip(".")
            else:
                self.records.setdefault((name, kind), []).append(value)

    def names_asked(self) -> list[str]:
        """Return the names that were asked for, in order."""
        return [name for name, _kind, _transport in self.asked]

    def answer(self, wire: bytes, transport: str) -> bytes | None:
        """Return the answer to a question, or None for silence."""
        try:
            query = dns.message.from_wire(wire)
        except dns.exception.DNSException:
            return None
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        self.asked.append((name, dns.rdatatype.to_text(question.rdtype), transport))
        time.sleep(self.slow)
        if name in self.silent:
            return None
        if name in self.raw:
            return wire[:2] + self.raw[name]
        response = dns.message.make_response(query, recursion_available=True)
        if name in self.failing:
            response.set_rcode(dns.rcode.SERVFAIL)
            return response.to_wire()
        self._fill(response, name, question.rdtype)
        most = 512 if query.edns < 0 else query.payload
        try:
            return response.to_wire(max_size=65535 if transport == "tcp" else most)
        except dns.exception.TooBig:
            response.answer.clear()
            response.flags |= dns.flags.TC
            return response.to_wire()

    def _fill(self, response: dns.message.Message, name: str, kind: dns.rdatatype.RdataType) -> None:
        """Answer as a resolver does, with the whole chain of aliases."""
        seen: set[str] = set()
        while name in self.aliases and name not in seen:
            seen.add(name)
            target = self.aliases[name]
            response.answer.append(dns.rrset.from_text(f"{name}.", TTL, "IN", "CNAME", f"{target}."))
            name = target
        if name in self.texts and kind == dns.rdatatype.TXT:
            quoted = [
                " ".join('"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"' for text in strings)
                for strings in self.texts[name]
            ]
            response.answer.append(dns.rrset.from_text(f"{name}.", TTL, "IN", "TXT", *quoted))
        elif (name, dns.rdatatype.to_text(kind)) in self.records:
            kind_name = dns.rdatatype.to_text(kind)
            values = self.records[name, kind_name]
            response.answer.append(dns.rrset.from_text(f"{name}.", TTL, "IN", kind_name, *values))
        elif not self._exists(name):
            response.set_rcode(dns.rcode.NXDOMAIN)

    def _exists(self, name: str) -> bool:
        known = {*self.texts, *self.aliases, *self.domains, *(owner for owner, _kind in self.records)}
        return name in known or any(other.endswith(f".{name}") for other in known)


@contextlib.contextmanager
def running() -> Iterator[DnsServer]:
    """Run a server on a port of its own."""
    server = DnsServer()

    class Datagram(socketserver.BaseRequestHandler):
        """One question over UDP."""

        def handle(self) -> None:
            """Answer it."""
            wire, answers = self.request
            answer = server.answer(wire, "udp")
            if answer is not None:
                answers.sendto(answer, self.client_address)

    class Connection(socketserver.StreamRequestHandler):
        """Questions over TCP."""

        def handle(self) -> None:
            """Answer them, until there are no more."""
            while length := self.rfile.read(2):
                answer = server.answer(self.rfile.read(struct.unpack("!H", length)[0]), "tcp")
                if answer is not None:
                    self.wfile.write(struct.pack("!H", len(answer)) + answer)

    with contextlib.ExitStack() as stack:
        streams, datagrams = _bind(Connection, Datagram)
        server.port = streams.server_address[1]
        for listener in (streams, datagrams):
            stack.enter_context(listener)
            threading.Thread(target=listener.serve_forever, args=(0.05,), daemon=True).start()
            stack.callback(listener.shutdown)
        yield server


class _Streams(socketserver.ThreadingTCPServer):
    daemon_threads = True


class _Datagrams(socketserver.ThreadingUDPServer):
    daemon_threads = True


def _bind(
    connection: type[socketserver.BaseRequestHandler], datagram: type[socketserver.BaseRequestHandler]
) -> tuple[_Streams, _Datagrams]:
    """Listen on one port of loopback over both transports."""
    for _attempt in range(20):
        streams = _Streams(("127.0.0.1", 0), connection)
        try:
            return streams, _Datagrams(("127.0.0.1", streams.server_address[1]), datagram)
        except OSError:
            streams.server_close()
    raise OSError("No port is free over both TCP and UDP.")
