"""Any one process killed comes back alone, while the others go on. Start-up refuses what cannot work, in a sentence."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.stand import Stand, wait_for

pytestmark = pytest.mark.live

#: What each process is recognised by in its command line.
PROCESSES = {
    "redis": r"redis-server",
    "mail": r"-m mailbackend\.supervisor",
    "web": r"gunicorn panel\.wsgi",
    "worker": r"celery -A panel worker",
    "recorder": r"manage.py recordconnections",
    "beat": r"celery -A panel beat",
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in ("recorder", "worker") else pytest.mark.long)
        for name in PROCESSES
    ],
)
def test_killed_process_comes_back_alone(stand: Stand, name: str) -> None:
    box = stand.new_mailbox()
    before = {other: set(stand.pids(pattern)) for other, pattern in PROCESSES.items()}
    assert all(before.values()), before
    for pid in before[name]:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: bool(set(stand.pids(PROCESSES[name])) - before[name]), f"{name} to come back")
    wait_for(stand.works, "all parts to work again")
    for other in set(PROCESSES) - {name}:
        assert set(stand.pids(PROCESSES[other])) & before[other], f"{other} did not go on"
    box.deliver(f"After {name}")
    assert box.subjects()[-1] == f"After {name}"


@pytest.mark.long
def test_dovecot_comes_back_after_its_master_was_killed(stand: Stand) -> None:
    box = stand.new_mailbox()
    before = stand.must("servicectl", "status")
    os.kill(before["pid"], signal.SIGKILL)
    wait_for(
        lambda: bool(stand.must("servicectl", "status")["pid"] not in (None, before["pid"])), "a new master"
    )
    wait_for(stand.works, "all parts to work again")
    assert box.subjects() == ["Welcome to your mailbox"]


@pytest.mark.long
def test_mail_flows_and_pages_work_without_redis(make_stand: Callable[..., Stand], tmp_path: Path) -> None:
    stand = make_stand(REDIS_URL=f"unix://{tmp_path}/nobody.sock")
    stand.start(wait=False)
    wait_for(lambda: stand.health().get("parts", {}).get("mail") == "ok", "the mail service")
    parts = stand.health()["parts"]
    assert (parts["redis"], parts["database"]) == ("down", "ok")
    box = stand.new_mailbox()
    stand.must("setmailbox", box.address, "--suspend")
    stand.must("setmailbox", box.address, "--resume")
    assert box.subjects() == ["Welcome to your mailbox"]


@pytest.mark.long
def test_redis_that_hangs_hangs_nobody(stand: Stand) -> None:
    box = stand.new_mailbox()
    (redis,) = stand.pids(PROCESSES["redis"])
    os.kill(redis, signal.SIGSTOP)
    try:
        assert stand.must("setmailbox", box.address, "--suspend")["state"] == "suspended"
        assert stand.health()["parts"]["redis"] == "down"
    finally:
        os.kill(redis, signal.SIGCONT)
    wait_for(stand.works, "all parts to work again")


def start_fails(stand: Stand) -> str:
    """Start a stand that must refuse, and return what it says."""
    stand.start(wait=False)
    assert stand.process is not None
    assert stand.process.wait(60) != 0
    assert "Traceback" not in stand.log
    return stand.log


def test_taken_port_is_named_with_its_setting(make_stand: Callable[..., Stand]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = start_fails(make_stand(POP3S_PORT=str(port)))
    assert str(port) in said
    assert "POP3S_PORT" in said


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("IMAP_PORT", "lots", "IMAP_PORT"),
        ("MAIL_HOST", "-bad host-", "MAIL_HOST"),
        ("MAIL_LISTEN", "everywhere", "MAIL_LISTEN"),
        ("PANEL_BIND", "8000", "PANEL_BIND"),
        ("PANEL_URL", "ftp://x", "PANEL_URL"),
        ("DATABASE_URL", "mysql://a:b@c/d", "DATABASE_URL"),
        ("DATABASE_URL", "postgres://a:b@127.0.0.1:1/none", "DATABASE_URL"),
        ("REDIS_URL", "http://x", "REDIS_URL"),
        ("DNS_SERVERS", "resolver.test", "DNS_SERVERS"),
        ("DNS_SERVERS", "192.0.2.53:0", "DNS_SERVERS"),
        ("MX_HOSTS", "mx.example.com, mx_2.example.com", "MX_HOSTS"),
        ("TIME_ZONE", "Mars/Olympus", "TIME_ZONE"),
        ("DATA_DIR", "/tmp/" + "d" * 90, "shorter"),
        ("DATA_DIR", "/tmp/a b", "DATA_DIR"),
        ("DATA_DIR", "/proc/nowhere", "DATA_DIR"),
    ],
)
def test_setting_that_cannot_work_is_named(
    make_stand: Callable[..., Stand], setting: str, value: str, expected: str
) -> None:
    assert expected in start_fails(make_stand(**{setting: value}))


@pytest.mark.long
def test_missing_dovecot_names_its_package(make_stand: Callable[..., Stand]) -> None:
    stand = make_stand(DOVECOT_BIN="/nowhere/dovecot")
    stand.start(wait=False)
    wait_for(lambda: "mail" in stand.health().get("parts", {}), "the panel")
    wait_for(lambda: stand.health()["parts"]["mail"] == "fatal", "the mail service to say so")
    error = stand.must("servicectl", "status")["error"]
    assert "DOVECOT_BIN" in error or "dovecot-core" in error


@pytest.mark.long
def test_certificate_of_another_key_is_refused_and_the_old_one_goes_on(stand: Stand, tmp_path: Path) -> None:
    files = stand.data_dir.tls
    kept = tmp_path / "mail.key"
    shutil.copy(files / "mail.key", kept)
    (files / "mail.key").write_bytes((files / "ca.key").read_bytes())
    try:
        answer = stand.command("servicectl", "reload")
        assert answer.code == 1
        assert "does not belong to" in answer.stderr
        assert stand.health()["status"] == "ok"
        box = stand.new_mailbox()
        assert box.subjects() == ["Welcome to your mailbox"]
    finally:
        (files / "mail.key").write_bytes(kept.read_bytes())
    assert stand.must("servicectl", "reload")["error"] is None


def test_second_start_on_the_same_folder_is_refused(stand: Stand, make_stand: Callable[..., Stand]) -> None:
    second = make_stand(DATA_DIR=str(stand.data_dir.root))
    second.environment["DATA_DIR"] = str(stand.data_dir.root)
    assert "already" in start_fails(second)
    assert stand.health()["status"] == "ok"
