"""Are the ports free? Asked before anything is started, so that the answer names the setting to change."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from launch.leftovers import pids
from panel.environment import Environment

_LISTEN = "0A"  # TCP_LISTEN in /proc/net/tcp
_UNPRIVILEGED = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")


@dataclass(frozen=True)
class Listener:
    """A port that is to be listened on.

    Attributes:
        setting: the variable that names the port.
        address_setting: the variable that names the address.
        address: IP address or, of the panel, host name.
        port: never 0.
    """

    setting: str
    address_setting: str
    address: str
    port: int


def listeners(settings: Environment) -> list[Listener]:
    """Return all that will be listened on; a mail port of 0 is switched off."""
    found = [Listener("PANEL_BIND", "PANEL_BIND", settings.panel_host, settings.panel_port)]
    ports = settings.mail_ports
    for name, port in (
        ("IMAP", ports.imap),
        ("IMAPS", ports.imaps),
        ("POP3", ports.pop3),
        ("POP3S", ports.pop3s),
    ):
        if port:
            found += [
                Listener(f"{name}_PORT", "MAIL_LISTEN", address, port) for address in settings.mail_listen
            ]
    return found


def port_problems(settings: Environment, *, as_root: bool, is_ours: Callable[[int], bool]) -> list[str]:
    """Return a sentence for each port that cannot be had.

    Args:
        settings: the environment.
        as_root: whether root starts; the panel is not root even then.
        is_ours: says of a process whether what it holds will be free in a moment.
    """
    wanted = listeners(settings)
    problems = []
    for listener in wanted:
        if listener.setting != "PANEL_BIND" and listener.port == settings.panel_port:
            problems.append(
                f"PANEL_BIND and {listener.setting} both name port {listener.port}: change one of them."
            )
        elif as_root and listener.setting == "PANEL_BIND" and listener.port < _first_unprivileged():
            problems.append(
                f"PANEL_BIND names port {listener.port}, which only root may open, and the panel is not run "
                "as root: choose one from 1024 on and put a web server in front (deploy/nginx)."
            )
        else:
            problem = listener_problem(listener, is_ours)
            problems += [problem] if problem else []
    return list(dict.fromkeys(problems))


def listener_problem(listener: Listener, is_ours: Callable[[int], bool] = lambda _pid: False) -> str:
    """Try to bind one port and return what is wrong, or an empty string."""
    try:
        family, kind, _, _, place = socket.getaddrinfo(
            listener.address, listener.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError:
        return f"{listener.address_setting} names {listener.address}, which is not an address: change it."
    try:
        with socket.socket(family, kind) as trial:
            # As the servers do: connections that have just ended do not count.
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                trial.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            trial.bind(place)
            trial.listen(1)
    except OSError as err:
        return _explain(listener, err, is_ours)
    return ""


def _explain(listener: Listener, err: OSError, is_ours: Callable[[int], bool]) -> str:
    where = f"Port {listener.port} on {listener.address}"
    if err.errno == errno.EADDRINUSE:
        holders = holders_of(listener.port)
        if any(is_ours(pid) for pid in holders):
            return ""
        by = f" by PID {holders[0]}, {_name(holders[0])}" if holders else ""
        return f"{where} is taken{by}: stop it or change {listener.setting}."
    if err.errno == errno.EACCES:
        return (
            f"{where} may be opened by root only: change {listener.setting} to one from 1024 on, "
            "or give CAP_NET_BIND_SERVICE."
        )
    if err.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        return (
            f"{listener.address_setting} names {listener.address}, not an address of this machine: change it."
        )
    return f"{where} cannot be opened ({err.strerror}): change {listener.setting}."


def holders_of(port: int) -> list[int]:
    """Return the processes that listen on a port, as far as they can be seen."""
    inodes = {f"socket:[{inode}]" for name in ("tcp", "tcp6") for inode in _listening(name, port)}
    if not inodes:
        return []
    return [pid for pid in pids() if inodes & _sockets(pid)]


def _listening(name: str, port: int) -> list[str]:
    """Return the inodes of listening sockets (proc_pid_net(5); columns 2 address, 4 state, 10 inode)."""
    try:
        lines = (Path("/proc/net") / name).read_text("ascii").splitlines()[1:]
    except OSError:
        return []  # no IPv6
    rows = [line.split() for line in lines]
    return [row[9] for row in rows if row[3] == _LISTEN and int(row[1].rpartition(":")[2], 16) == port]


def _sockets(pid: int) -> set[str]:
    found = set()
    with suppress(OSError):  # the process has gone, or is somebody else's
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                found.add(str(entry.readlink()))
    return found


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text("utf-8", "replace").strip()
    except OSError:
        return "ended since"


def _first_unprivileged() -> int:
    try:
        return int(_UNPRIVILEGED.read_text("ascii"))
    except OSError:
        return 1024
