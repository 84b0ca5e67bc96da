"""Programs, ports, processes and rendered folders, as the supervisor handles them."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from mailbackend.config import MailConfig, Ports
from mailbackend.dovecot.render import Identity
from mailbackend.supervisor import generations, process
from mailbackend.supervisor.process import Problem
from tests.mailbackend.dovecot_stand import Stand, free_ports, make_stand, write_certificate

#: Leads a session, ignores SIGTERM, and has a child that does the same.
STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.fork()
sys.stdout.write("ready\\n"); sys.stdout.flush()
time.sleep(600)
"""


@pytest.fixture
def stand() -> Iterator[Stand]:
    with make_stand() as made:
        made.data.configurations.mkdir(parents=True, mode=0o700)
        made.data.events.mkdir()
        yield made


def test_dovecot_missing_names_the_packages() -> None:
    with pytest.raises(Problem, match=r"DOVECOT_BIN is '/nowhere/dovecot'.*apt-get install dovecot-core"):
        process.find_programs("/nowhere/dovecot", as_root=False)


def test_dovecot_not_on_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(process, "_SYSTEM_FOLDERS", ())
    with pytest.raises(Problem, match=r"Dovecot is not installed: apt-get install .*dovecot-lmtpd"):
        process.find_programs("", as_root=False)


def test_a_program_that_fails_is_told(tmp_path: Path) -> None:
    fake = tmp_path / "dovecot"
    fake.write_text("#!/bin/sh\necho broken >&2\nexit 1\n")
    fake.chmod(0o755)
    with pytest.raises(Problem, match="broken"):
        process.find_programs(str(fake), as_root=False)


def test_root_runs_only_what_root_alone_can_change(tmp_path: Path) -> None:
    program = tmp_path / "dovecot"
    program.touch()
    program.chmod(0o777)
    with pytest.raises(Problem, match="DOVECOT_BIN"):
        process.check_only_root_writes(program, "DOVECOT_BIN")
    process.check_only_root_writes(Path("/usr/bin/env"), "DOVECOT_BIN")


def config_with(ports: Ports, *listen: str) -> MailConfig:
    return MailConfig(
        mail_host="localhost",
        listen=listen or ("127.0.0.1",),
        ports=ports,
        database=MailConfig.from_json(EXAMPLE).database,
        certificate="/x/cert.pem",
        private_key="/x/key.pem",
        api_key="k" * 43,
        pepper="p" * 43,
        instance="restante-00000000",
        mail_root_id="0" * 32,
    )


EXAMPLE = json.dumps(
    {
        "mail_host": "localhost",
        "listen": ["127.0.0.1"],
        "ports": {"imap": 0, "imaps": 0, "pop3": 0, "pop3s": 0},
        "database": {"path": "/x/db.sqlite3"},
        "certificate": "/x/cert.pem",
        "private_key": "/x/key.pem",
        "api_key": "k" * 43,
        "pepper": "p" * 43,
        "instance": "restante-00000000",
        "mail_root_id": "0" * 32,
    }
)


def test_a_taken_port_names_address_port_and_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = config_with(Ports(0, port, 0, 0))
        with pytest.raises(Problem, match=rf"Port {port} of 127\.0\.0\.1 is taken.*IMAPS_PORT") as caught:
            process.check_ports(config)
        assert not caught.value.lasting
        process.check_ports(config, held=config)
    process.check_ports(config)


def test_an_address_of_another_machine_is_told() -> None:
    with pytest.raises(Problem, match="MAIL_LISTEN"):
        process.check_ports(config_with(Ports(0, 0, 0, free_ports(1)[0]), "192.0.2.1"))


def test_listening_sockets_are_seen_without_touching_them() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = (ipaddress.ip_address("127.0.0.1"), server.getsockname()[1])
        assert found in process._listening()
    assert found not in process._listening()


def test_addresses_of_proc_are_read() -> None:
    assert process._socket_address("0100007F:1F90") == (ipaddress.ip_address("127.0.0.1"), 8080)
    one = "00000000000000000000000001000000:0019"
    assert process._socket_address(one) == (ipaddress.ip_address("::1"), 25)


@pytest.mark.parametrize(
    ("returncode", "text"),
    [(0, "exit code 0"), (81, "exit code 81"), (-9, "ended by SIGKILL"), (-99, "signal 99")],
)
def test_how_it_ended_in_words(returncode: int, text: str) -> None:
    assert text in process.exit_text(returncode)


def test_a_session_is_ended_with_all_its_processes() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", STUBBORN], start_new_session=True, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    child.stdout.readline()
    child.stdout.readline()
    assert len(process.session_members(child.pid)) == 2
    assert asyncio.run(process.end_session(child.pid))
    assert process.session_members(child.pid) == []
    child.wait()
    child.stdout.close()


def test_a_recorded_session_that_is_not_dovecot_is_left_alone(stand: Stand) -> None:
    with subprocess.Popen(["/bin/sleep", "600"], start_new_session=True) as stranger:
        record = {"session": stranger.pid, "boot": process._boot_id()}
        (stand.data.dovecot / "session.json").write_text(json.dumps(record))
        assert process.orphan_sessions(stand.data) == []
        assert process.is_dovecot(stranger.pid) is False
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.parametrize("record", ["", "[]", "{}", '{"session": "x", "boot": "y"}', "\0"])
def test_a_damaged_record_is_no_session(stand: Stand, record: str) -> None:
    (stand.data.dovecot / "session.json").write_text(record)
    assert process.orphan_sessions(stand.data) == []


# --- the panel's configuration, the marker


def owners(stand: Stand) -> set[int]:
    return {0, os.geteuid(), stand.owner[0]}


def test_reads_what_the_panel_wrote(stand: Stand) -> None:
    assert generations.read_config(stand.data, owners(stand)) == stand.config


def test_waits_soon_for_what_is_not_written_yet(stand: Stand) -> None:
    stand.data.mail_config.unlink()
    with pytest.raises(Problem, match="has not written") as caught:
        generations.read_config(stand.data, owners(stand))
    assert caught.value.soon


def test_follows_no_link(stand: Stand) -> None:
    real = stand.data.mail_config.rename(stand.data.run / "real.json")
    stand.data.mail_config.symlink_to(real)
    with pytest.raises(Problem, match="cannot be used"):
        generations.read_config(stand.data, owners(stand))


def test_follows_no_linked_folder(stand: Stand) -> None:
    real = stand.data.run.rename(stand.data.root / "elsewhere")
    stand.data.run.symlink_to(real)
    with pytest.raises(Problem, match="cannot be used"):
        generations.read_config(stand.data, owners(stand))


def test_does_not_wait_for_a_fifo(stand: Stand) -> None:
    stand.data.mail_config.unlink()
    os.mkfifo(stand.data.mail_config)
    with pytest.raises(Problem, match="not a regular file"):
        generations.read_config(stand.data, owners(stand))


def test_believes_only_its_owners(stand: Stand) -> None:
    with pytest.raises(Problem, match="belongs to somebody else"):
        generations.read_config(stand.data, {4_000_000})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b" " * (1024 * 1024 + 1), "larger"),
        (b"{", "not JSON"),
        (b"{}", "exactly these keys"),
        (b"\xff", "utf-8"),
    ],
)
def test_refuses_garbage(stand: Stand, content: bytes, message: str) -> None:
    stand.data.mail_config.write_bytes(content)
    with pytest.raises(Problem, match=message):
        generations.read_config(stand.data, owners(stand))


def test_the_marker_must_be_the_right_one(stand: Stand) -> None:
    generations.check_marker(stand.data, stand.config)
    marker = stand.data.mail / generations.MARKER
    marker.write_text("f" * 32)
    with pytest.raises(Problem, match="another mail root"):
        generations.check_marker(stand.data, stand.config)
    marker.unlink()
    with pytest.raises(Problem, match=r"is missing: mount the disk"):
        generations.check_marker(stand.data, stand.config)


# --- rendered folders


def build(stand: Stand, config: MailConfig | None = None) -> generations.Generation:
    identity = Identity(stand.account, stand.group, as_root=os.geteuid() == 0)
    programs = process.find_programs("", as_root=False)
    return generations.build(stand.data, config or stand.config, programs, identity)


@pytest.mark.live
def test_a_folder_for_each_configuration_and_none_twice(stand: Stand) -> None:
    first = build(stand)
    assert first.folder.name == "1"
    assert stat.S_IMODE(first.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in first.folder.iterdir()} == {0o600}
    generations.set_link(stand.data, generations.CURRENT, first)
    assert build(stand) == first
    second = build(stand, replace(stand.config, mail_host="mail.example.test"))
    assert second.folder.name == "2"
    generations.set_link(stand.data, generations.LAST_GOOD, first)
    generations.set_link(stand.data, generations.CURRENT, second)
    assert build(stand, replace(stand.config, mail_host="mx.example.test")).folder.name == "3"
    generations.prune(stand.data)
    kept = {path.name for path in stand.data.configurations.iterdir()}
    assert kept == {"1", "2", "current", "last-good"}
    assert generations.linked(stand.data, generations.LAST_GOOD) == first


@pytest.mark.live
def test_a_renewed_certificate_makes_a_new_folder(stand: Stand) -> None:
    generations.set_link(stand.data, generations.CURRENT, build(stand))
    write_certificate(Path(stand.config.certificate), Path(stand.config.private_key))
    assert build(stand).folder.name == "2"


@pytest.mark.live
def test_a_refused_configuration_leaves_nothing(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    version = "dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\n"
    first = "" if process.find_programs("", as_root=False).version.startswith("2.3") else version
    monkeypatch.setattr(generations, "render", lambda *_: {"dovecot.conf": f"{first}no_such_setting = yes\n"})
    with pytest.raises(Problem, match="no_such_setting"):
        build(stand)
    assert list(stand.data.configurations.iterdir()) == []


@pytest.mark.live
def test_certificate_and_key_must_be_a_pair(stand: Stand) -> None:
    write_certificate(stand.data.tls / "other.pem", stand.data.tls / "other.key")
    config = replace(stand.config, private_key=str(stand.data.tls / "other.key"))
    with pytest.raises(Problem, match=r"does not belong to the key.*TLS_CERTIFICATE and TLS_KEY"):
        build(stand, config)
    assert list(stand.data.configurations.iterdir()) == []


@pytest.mark.live
def test_a_key_with_a_password_is_not_asked_for(stand: Stand) -> None:
    key = Path(stand.config.private_key)
    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(
        loaded.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(Problem, match="has a password"):
        build(stand)


@pytest.mark.live
@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_certificate_that_is_none_is_told(stand: Stand, content: bytes) -> None:
    Path(stand.config.certificate).write_bytes(content)
    with pytest.raises(Problem, match=r"mail\.pem.*TLS_CERTIFICATE"):
        build(stand)


@pytest.mark.live
def test_an_absent_key_is_told(stand: Stand) -> None:
    Path(stand.config.private_key).unlink()
    with pytest.raises(Problem, match=r"key .*mail\.key cannot be read \(No such file.*TLS_KEY"):
        build(stand)


def test_a_damaged_link_is_no_configuration(stand: Stand) -> None:
    assert generations.linked(stand.data, generations.CURRENT) is None
    (stand.data.configurations / "current").symlink_to("../../../etc")
    assert generations.linked(stand.data, generations.CURRENT) is None
