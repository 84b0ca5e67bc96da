"""Ports are tried on real sockets, and the answer says which setting to change."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from launch.ports import Listener, holders_of, listener_problem, listeners, port_problems
from mailbackend.config import Ports
from panel.environment import Environment


@pytest.fixture
def taken() -> Iterator[int]:
    """Return a port of 127.0.0.1 on which this process listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def _imaps(address: str, port: int) -> Listener:
    return Listener("IMAPS_PORT", "MAIL_LISTEN", address, port)


def test_a_free_port(free: int) -> None:
    assert listener_problem(_imaps("127.0.0.1", free)) == ""


def test_a_taken_port_names_process_and_setting(taken: int) -> None:
    problem = listener_problem(_imaps("127.0.0.1", taken))
    assert problem.startswith(f"Port {taken} on 127.0.0.1 is taken by PID {os.getpid()}, ")
    assert problem.endswith("stop it or change IMAPS_PORT.")


def test_the_same_port_of_another_address_is_free(taken: int) -> None:
    assert listener_problem(_imaps("127.0.0.2", taken)) == ""


def test_what_is_ours_does_not_count(taken: int) -> None:
    assert holders_of(taken) == [os.getpid()]
    assert listener_problem(_imaps("127.0.0.1", taken), is_ours=lambda pid: pid == os.getpid()) == ""


def test_an_address_of_another_machine(free: int) -> None:
    assert "MAIL_LISTEN names 192.0.2.1, not an address of this machine" in listener_problem(
        _imaps("192.0.2.1", free)
    )


def test_a_connection_that_has_just_ended_does_not_count(free: int) -> None:
    with (
        socket.create_server(("127.0.0.1", free)) as server,
        socket.create_connection(("127.0.0.1", free)),
    ):
        server.accept()[0].close()  # the side that closes first waits in TIME_WAIT
    assert listener_problem(_imaps("127.0.0.1", free)) == ""


def test_all_problems_are_listed(settings: Environment, taken: int, free: int) -> None:
    wanted = replace(settings, panel_port=taken, mail_ports=Ports(imap=free, imaps=taken, pop3=0, pop3s=0))
    problems = port_problems(wanted, as_root=False, is_ours=lambda _pid: False)
    assert len(problems) == 2
    assert "PANEL_BIND" in problems[0]
    assert problems[1] == f"PANEL_BIND and IMAPS_PORT both name port {taken}: change one of them."


def test_root_is_told_that_the_panel_is_not_root(settings: Environment) -> None:
    wanted = replace(settings, panel_port=80, mail_ports=Ports(0, 0, 0, 0))
    problems = port_problems(wanted, as_root=True, is_ours=lambda _pid: False)
    assert len(problems) == 1
    assert "not run as root" in problems[0]


def test_every_address_and_port(settings: Environment) -> None:
    wanted = replace(settings, mail_listen=("127.0.0.1", "::1"), mail_ports=Ports(imap=0))
    found = {(listener.setting, listener.address) for listener in listeners(wanted)}
    assert found == {("PANEL_BIND", "127.0.0.1")} | {
        (f"{name}_PORT", address) for name in ("IMAPS", "POP3", "POP3S") for address in ("127.0.0.1", "::1")
    }
