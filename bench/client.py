"""A small IMAP client for measurements, and the two loads it makes: logins, and sessions that stay.

Each load is a process of its own (`python -m bench.client logins|sessions`, its order as JSON on standard
input), so that its work is not done by the process that measures. It speaks IMAP by plain sockets: imaplib
would cost more than the login that it measures. Every connection makes a full TLS handshake, none resumes one.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from typing import Any

#: Seconds in which each answer must come.
_TIMEOUT = 20.0
#: Sessions that are being opened at a time.
_OPENING = 8
#: Seconds that a load may take beyond its own time.
_GRACE = 60.0


class LoginFailed(Exception):
    """The server did not let in, or said something else than expected."""


@dataclass(frozen=True)
class Target:
    """An IMAPS server on loopback.

    Attributes:
        port: where it listens.
        authority: the file with the certificate that signed its own.
    """

    port: int
    authority: str


@dataclass(frozen=True)
class LoginRate:
    """What a load of logins reached.

    Attributes:
        per_second: logins.
        logins: in all.
        client_share: the part of the machine's processors that the clients took, 0 to 1.
    """

    per_second: float
    logins: int
    client_share: float


class Session:
    """One connection that is signed in."""

    def __init__(self, target: Target, context: ssl.SSLContext, address: str, password: str) -> None:
        plain = socket.create_connection(("127.0.0.1", target.port), timeout=_TIMEOUT)
        try:
            self._socket = context.wrap_socket(plain, server_hostname="localhost")
        except BaseException:
            plain.close()
            raise
        try:
            self._read_until(b"* OK")
            self.command(f'LOGIN "{address}" "{password}"')
        except BaseException:
            self._socket.close()
            raise

    @property
    def port(self) -> int:
        """The port at our end."""
        return int(self._socket.getsockname()[1])

    def command(self, text: str) -> None:
        """Send a command and wait for its OK.

        Raises:
            LoginFailed: if it is refused.
        """
        self._socket.sendall(f"a {text}\r\n".encode())
        self._read_until(b"a OK")

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def logout(self) -> None:
        """Sign out and hang up."""
        try:
            self.command("LOGOUT")
        finally:
            self.close()

    def _read_until(self, wanted: bytes) -> None:
        """Read whole lines until one begins with `wanted`."""
        tag = wanted.split()[0] + b" "
        received = b""
        while True:
            part = self._socket.recv(4096)
            if not part:
                raise LoginFailed(f"The server hung up after {received[-200:]!r}.")
            received += part
            for line in received.split(b"\r\n")[:-1]:
                if line.startswith(wanted):
                    return
                if line.startswith(tag) and tag != b"* ":
                    raise LoginFailed(line.decode("utf-8", "replace"))


def make_context(target: Target) -> ssl.SSLContext:
    """Return a TLS context that trusts the target's authority alone."""
    return ssl.create_default_context(cafile=target.authority)


def login_rate(
    target: Target, addresses: Sequence[str], password: str | Sequence[str], *, clients: int, seconds: float
) -> LoginRate:
    """Sign in and out as fast as possible.

    Args:
        target: where.
        addresses: as whom, one after another.
        password: of all of them, or of each.
        clients: processes, each with one connection at a time.
        seconds: how long.

    Raises:
        LoginFailed: if one login fails.
    """
    order = _order(target, addresses, password) | {"clients": clients, "seconds": seconds}
    done = subprocess.run(
        [sys.executable, "-m", "bench.client", "logins"],
        input=json.dumps(order).encode(),
        stdout=subprocess.PIPE,
        timeout=seconds + _GRACE,
        check=False,
    )
    if done.returncode:
        raise LoginFailed("A client failed: see above.")
    return LoginRate(**json.loads(done.stdout))


class IdleSessions:
    """Sessions that are signed in, have selected the inbox, and are silent, held by one process."""

    def __init__(self, target: Target, addresses: Sequence[str], password: str, number: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.client", "sessions"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = _order(target, addresses, password) | {"number": number}
        try:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
            if self._process.stdout.readline() != b"open\n":
                raise LoginFailed("Not all sessions could be opened: see above.")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End all of them at once, by hanging up."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        try:
            self._process.wait(_GRACE)
        finally:
            self._process.kill()
            self._process.wait()


def _order(target: Target, addresses: Sequence[str], password: str | Sequence[str]) -> dict[str, Any]:
    passwords = [password] * len(addresses) if isinstance(password, str) else password
    accounts = list(zip(addresses, passwords, strict=True))
    return {"target": asdict(target), "accounts": accounts}


def _run_logins(order: dict[str, Any]) -> None:
    """The load's own process: start the clients, let them go together, add up what they did."""
    fork = multiprocessing.get_context("fork")
    go = fork.Event()
    pipes, processes = [], []
    for number in range(order["clients"]):
        receive, send = fork.Pipe(duplex=False)
        process = fork.Process(target=_keep_signing_in, args=(order, number, go, send))
        process.start()
        send.close()
        pipes.append(receive)
        processes.append(process)
    before = time.monotonic()
    go.set()
    done: list[tuple[int, float]] = [pipe.recv() for pipe in pipes]
    elapsed = time.monotonic() - before
    for process in processes:
        process.join()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    share = (used.ru_utime + used.ru_stime) / (elapsed * (os.cpu_count() or 1))
    reached = LoginRate(
        per_second=sum(count / seconds for count, seconds in done),
        logins=sum(count for count, _seconds in done),
        client_share=share,
    )
    sys.stdout.write(json.dumps(asdict(reached)))


def _keep_signing_in(order: dict[str, Any], number: int, go: Event, answer: Connection) -> None:
    target = Target(**order["target"])
    context = make_context(target)
    accounts = order["accounts"]
    go.wait()
    started = time.monotonic()
    count = 0
    while (elapsed := time.monotonic() - started) < order["seconds"]:
        # Each client begins somewhere else, so that a mailbox is not opened by all at once.
        address, password = accounts[(number * 7 + count) % len(accounts)]
        Session(target, context, address, password).logout()
        count += 1
    answer.send((count, elapsed))


def _run_sessions(order: dict[str, Any]) -> None:
    target = Target(**order["target"])
    context = make_context(target)
    accounts = order["accounts"]

    def open_one(number: int) -> Session:
        session = Session(target, context, *accounts[number % len(accounts)])
        session.command("SELECT INBOX")
        return session

    with ThreadPoolExecutor(_OPENING) as pool:
        held = list(pool.map(open_one, range(order["number"])))
    sys.stdout.write("open\n")
    sys.stdout.flush()
    sys.stdin.read()
    for session in held:
        session.close()


def _main(load: str) -> None:
    order = json.loads(sys.stdin.readline())
    {"logins": _run_logins, "sessions": _run_sessions}[load](order)


if __name__ == "__main__":
    _main(sys.argv[1])
