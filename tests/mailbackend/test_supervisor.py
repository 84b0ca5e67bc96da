"""The supervisor with a real Dovecot: what it serves, what it survives, and what it refuses."""

from __future__ import annotations

import asyncio
import contextlib
import imaplib
import os
import poplib
import re
import signal
import smtplib
import socket
import sqlite3
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mailbackend.config import Ports
from mailbackend.dovecot.doveadm import Doveadm
from mailbackend.dovecot.render import Identity, render
from mailbackend.supervisor import generations, history, process, segments
from mailbackend.supervisor.control import ControlRefused, Status, ask, ask_report
from mailbackend.supervisor.service import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    LOOK_EVERY,
    MailService,
    Setup,
    next_pause,
)
from tests.mailbackend.dovecot_stand import (
    ADDRESS,
    API_KEY,
    CHECKOUT,
    PASSWORD,
    PATIENCE,
    Stand,
    Supervisor,
    free_ports,
    make_stand,
    small_disk,
    supervised,
    supervisor_command,
    write_certificate,
)

pytestmark = pytest.mark.live

MESSAGE = b"From: bea@example.test\r\nTo: ann@example.test\r\nSubject: Hello\r\n\r\nGood morning.\r\n"


@pytest.fixture
def stand() -> Iterator[Stand]:
    with make_stand() as made:
        yield made


def members(session: int, title: str) -> list[int]:
    """The processes of a Dovecot whose title holds `title`."""
    found = process.session_members(session)
    return [pid for pid in found if title in Path(f"/proc/{pid}/cmdline").read_text()]


def codes(supervisor: Supervisor) -> list[str]:
    """What happened, newest first."""
    return [entry.code for entry in ask_report(supervisor.socket)[1].history]


@contextlib.asynccontextmanager
async def served(stand: Stand, *, first: str = "RUNNING") -> AsyncIterator[MailService]:
    """Run the supervisor's loop in this process, so that its limits can be made small; it is `first` then."""
    stand.data.configurations.mkdir(parents=True, mode=0o700)
    stand.data.events.mkdir()
    as_root = os.geteuid() == 0
    setup = Setup(stand.data, Identity(stand.account, stand.group, as_root), stand.owner, "", os.environ)
    service = MailService(setup)
    task = asyncio.create_task(service.run())
    try:
        await reached(service, first)
        yield service
    finally:
        service.quit()
        await task


async def reached(service: MailService, state: str) -> Status:
    """Wait until a service in this process is in a state, and return its status."""
    async with asyncio.timeout(PATIENCE):
        while service.status().state != state:
            await asyncio.sleep(0.05)
    return service.status()


@pytest.fixture
def running(stand: Stand) -> Iterator[Supervisor]:
    with supervised(stand) as supervisor:
        supervisor.wait_until("RUNNING")
        yield supervisor


def imap(stand: Stand, address: str = ADDRESS, password: str = PASSWORD) -> imaplib.IMAP4_SSL:
    client = imaplib.IMAP4_SSL("localhost", stand.config.ports.imaps, ssl_context=stand.trust())
    client.login(address, password)
    return client


def pop(stand: Stand, address: str = ADDRESS) -> poplib.POP3_SSL:
    client = poplib.POP3_SSL("localhost", stand.config.ports.pop3s, context=stand.trust())
    client.user(address)
    client.pass_(PASSWORD)
    return client


def deliver(stand: Stand, address: str) -> None:
    with smtplib.LMTP(str(stand.data.lmtp_socket)) as client:
        client.sendmail("bea@example.test", [address], MESSAGE)


# --- what is served


def test_arrives_and_is_read_over_imap_and_pop(running: Supervisor) -> None:
    stand = running.stand
    deliver(stand, "ann+shop@example.test")
    client = imap(stand)
    assert client.select("INBOX") == ("OK", [b"1"])
    listed = b"\n".join(line for line in client.list()[1] if isinstance(line, bytes))
    for role in (b"\\Sent", b"\\Drafts", b"\\Junk", b"\\Trash", b"\\Archive"):
        assert role in listed
    client.store("1", "+FLAGS", "\\Flagged")
    client.logout()
    reader = pop(stand)
    assert reader.stat()[0] == 1
    assert b"Good morning." in b"\n".join(reader.retr(1)[1])
    reader.dele(1)
    reader.quit()
    assert pop(stand).stat()[0] == 0
    client = imap(stand)
    client.select("INBOX")
    flags = client.fetch("1", "(FLAGS)")[1][0]
    assert isinstance(flags, bytes)
    assert b"\\Flagged" in flags
    assert b"$PopMain" in flags
    assert b"\\Seen" not in flags


def test_pop_deletes_for_good_where_the_mailbox_says_so(running: Supervisor) -> None:
    deliver(running.stand, "ends@example.test")
    reader = pop(running.stand, "ends@example.test")
    reader.dele(1)
    reader.quit()
    assert imap(running.stand, "ends@example.test").select("INBOX") == ("OK", [b"0"])


def test_over_quota_is_refused_over_lmtp_and_imap(running: Supervisor) -> None:
    stand = running.stand
    big = MESSAGE + b"x" * 120_000
    with smtplib.LMTP(str(stand.data.lmtp_socket)) as client, pytest.raises(smtplib.SMTPException) as caught:
        client.sendmail("bea@example.test", ["ben@example.test"], big)
    assert "552" in str(caught.value) or "5.2.2" in str(caught.value)
    answer = imap(stand, "ben@example.test").append("INBOX", "", "", big)
    assert answer[0] == "NO"
    assert b"OVERQUOTA" in answer[1][0]


@pytest.mark.parametrize(
    ("address", "words"), [("off@example.test", "suspended"), ("ann@example.test", "failed")]
)
def test_who_may_not_is_told_why(running: Supervisor, address: str, words: str) -> None:
    with pytest.raises(imaplib.IMAP4.error, match=words):
        imap(running.stand, address, PASSWORD if address.startswith("off") else "wrong")


def test_pop_switched_off(running: Supervisor) -> None:
    imap(running.stand, "nopop@example.test").logout()
    with pytest.raises(poplib.error_proto, match="POP is switched off"):
        pop(running.stand, "nopop@example.test")


def test_a_changed_password_works_at_once(running: Supervisor) -> None:
    stand = running.stand
    imap(stand).logout()
    with sqlite3.connect(stand.data.sqlite) as database:
        database.execute(
            "UPDATE mail_login SET active = 0, reason = 'suspended' WHERE address = ?", (ADDRESS,)
        )
    database.close()
    with pytest.raises(imaplib.IMAP4.error, match="suspended"):
        imap(stand)


@pytest.mark.parametrize("service", ["imap", "pop3"])
def test_no_password_in_clear_from_another_machine(running: Supervisor, service: str) -> None:
    ports = running.stand.config.ports
    # Two ends of one address count as safe, so this comes from another one.
    source = ("127.0.0.2", 0)
    port = ports.imap if service == "imap" else ports.pop3
    login = b"a LOGIN ann@example.test x\r\n" if service == "imap" else b"USER ann@example.test\r\n"
    with socket.create_connection(("127.0.0.1", port), PATIENCE, source_address=source) as connection:
        stream = connection.makefile("rb")
        greeting = stream.readline()
        connection.sendall(login)
        answer = stream.readline()
        while answer.startswith(b"*"):
            answer = stream.readline()
    if service == "imap":
        assert b"LOGINDISABLED" in greeting
        assert answer.startswith(b"a NO")
    else:
        assert answer.startswith(b"-ERR")


def test_secrets_are_not_readable_by_others(running: Supervisor) -> None:
    data = running.stand.data
    assert data.configurations.stat().st_mode & 0o077 == 0
    generation = data.configurations / "1"
    assert generation.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in generation.iterdir())
    for path in (data.control_socket, data.lmtp_socket, data.doveadm_socket):
        assert path.stat().st_mode & 0o077 == 0
        assert path.stat().st_uid == running.stand.owner[0]


def test_the_mail_belongs_to_the_account(running: Supervisor) -> None:
    deliver(running.stand, ADDRESS)
    found = list((running.stand.data.mail / "example.test/ann-1/Maildir/new").iterdir())
    assert [path.stat().st_uid for path in found] == [running.stand.owner[0]]


# --- what it survives


def test_a_killed_dovecot_comes_back_and_its_sessions_end(running: Supervisor) -> None:
    client = imap(running.stand)
    old = ask(running.socket, "status").pid
    assert old
    os.kill(old, signal.SIGKILL)
    status = running.wait_for(lambda now: now.state == "RUNNING" and now.pid != old)
    assert status.restarts == 1
    assert status.last_exit == "ended by SIGKILL"
    assert process.session_members(old) == []
    with pytest.raises(imaplib.IMAP4.abort):
        client.noop()
    imap(running.stand).logout()


def logins_in(log: str) -> int:
    """Count the logins in a log of Dovecot 2.3 or 2.4."""
    return len(re.findall(r", msg=(?:Login|Logged in)$", log, re.MULTILINE))


def test_a_killed_log_process_is_noticed(running: Supervisor) -> None:
    """Dovecot goes on without it, but what its other processes then log is lost."""
    before = ask(running.socket, "status")
    assert before.pid
    log_process = process.log_process(before.pid)
    assert log_process
    os.kill(log_process, signal.SIGKILL)
    after = running.wait_for(lambda status: status.state == "RUNNING" and status.pid != before.pid)
    assert after.restarts == 1
    assert codes(running)[:2] == [history.STARTED, history.LOG_KILLED]
    client = imap(running.stand)
    assert logins_in(running.stand.data.event_log.read_text()) == 1
    client.logout()


def test_a_log_process_that_a_reload_replaced_is_not_missed(running: Supervisor) -> None:
    """A reload begins another one; the old one ends with the last session from before."""
    before = ask(running.socket, "status")
    assert before.pid
    client = imap(running.stand)
    old = process.log_process(before.pid)
    ask(running.socket, "reload")
    assert client.noop()[0] == "OK"
    client.logout()
    running.wait_for(lambda _: old not in process.log_processes(before.pid or 0))
    time.sleep(3 * LOOK_EVERY)  # until it has surely been looked at
    after = ask(running.socket, "status")
    assert (after.state, after.pid, after.restarts) == ("RUNNING", before.pid, 0)


def test_a_killed_anvil_is_noticed(running: Supervisor) -> None:
    """The new one does not know the open sessions: they could not be ended any more."""
    before = ask(running.socket, "status")
    assert before.pid
    client = imap(running.stand)
    for victim in members(before.pid, "/anvil"):
        os.kill(victim, signal.SIGKILL)
    after = running.wait_for(lambda status: status.state == "RUNNING" and status.pid != before.pid)
    assert after.restarts == 1
    assert codes(running)[:2] == [history.STARTED, history.ANVIL_KILLED]
    with pytest.raises(imaplib.IMAP4.abort):
        client.noop()
    client = imap(running.stand)
    assert Doveadm(running.stand.data.doveadm_socket, API_KEY).kick(ADDRESS)


def test_a_killed_login_process_is_in_the_report(running: Supervisor) -> None:
    pid = ask(running.socket, "status").pid
    assert pid
    os.kill(members(pid, "/imap-login")[0], signal.SIGKILL)
    seen = running.wait_for_report(lambda report: bool(report.troubles)).troubles[0]
    assert (seen.trouble.code, seen.trouble.service, seen.count) == ("killed", "imap-login", 1)
    assert ask(running.socket, "status").pid == pid
    imap(running.stand).logout()


def test_the_report(running: Supervisor) -> None:
    stand = running.stand
    report = ask_report(running.socket)[1]
    assert ("IMAPS_PORT", "127.0.0.1", stand.config.ports.imaps) in report.listeners
    assert len(report.listeners) == 4
    assert report.certificate
    assert report.certificate.names == ["localhost"]
    assert codes(running) == [history.STARTED]
    assert report.log.segments == 1
    ask(running.socket, "reload")
    ask(running.socket, "restart")
    ask(running.socket, "stop")
    assert codes(running) == [
        history.STOPPED,
        history.STARTED,
        history.RESTARTED,
        history.RELOADED,
        history.STARTED,
    ]
    stopped = ask_report(running.socket)[1]
    assert stopped.listeners == []
    assert stopped.certificate is None


def test_the_log_goes_on_in_new_segments_and_loses_no_line(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 10_000)
    monkeypatch.setattr(segments, "FLOOR", 0)
    monkeypatch.setattr("mailbackend.supervisor.service.LOOK_EVERY", 0.1)
    logins = 120

    def sign_in() -> None:
        for _ in range(logins):
            imap(stand).logout()

    def whole(found: list[segments.Segment]) -> bool:
        return len(found) > 3 and all(segment.sealed for segment in found[:-1])

    async def story() -> None:
        async with served(stand):
            await asyncio.to_thread(sign_in)
            while not whole(segments.list_segments(stand.data)):
                await asyncio.sleep(0.05)

    asyncio.run(story())
    found = segments.list_segments(stand.data)
    assert [segment.number for segment in found] == list(range(1, len(found) + 1))
    lines = "".join(segment.path.read_text() for segment in found)
    assert logins_in(lines) == logins
    assert lines.count("Disconnected: Logged out") == logins
    assert lines.count("\n") == sum(segment.path.read_bytes().count(b"\n") for segment in found)
    assert all(segment.path.read_bytes().endswith(b"\n") for segment in found)
    if os.geteuid() == 0:
        assert {segment.path.stat().st_gid for segment in found} == {stand.owner[1]}


def test_segments_given_up_are_in_the_history(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 500)
    monkeypatch.setattr(segments, "CAP", 2_000)
    monkeypatch.setattr("mailbackend.supervisor.service.LOOK_EVERY", 0.1)

    async def story() -> list[history.Entry]:
        async with served(stand) as service:
            while history.LOG_GIVEN_UP not in [entry.code for entry in service.report().history]:
                await asyncio.to_thread(lambda: imap(stand).logout())
            return service.report().history

    lost = [entry for entry in asyncio.run(story()) if entry.code == history.LOG_GIVEN_UP]
    first, last, size = map(int, lost[-1].detail.split())
    assert first == 1
    assert last >= first
    assert size > 0
    assert segments.list_segments(stand.data)[0].number > last


def test_a_mail_root_that_vanishes_stops_the_service(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dovecot would make new homes in the empty mount point, and take mail into them."""
    monkeypatch.setattr("mailbackend.supervisor.service.RECHECK", 0.5)
    marker = stand.data.mail / generations.MARKER

    async def story() -> None:
        async with served(stand) as service:
            kept = marker.rename(stand.data.mail / "elsewhere")
            status = await reached(service, "FATAL")
            assert "mount the disk" in str(status.error)
            assert status.pid is None
            assert service.report().history[0].code == history.MAIL_ROOT_GONE
            assert service.report().listeners == []
            kept.rename(marker)
            assert (await reached(service, "RUNNING")).error is None
            await asyncio.to_thread(lambda: imap(stand).logout())

    asyncio.run(story())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_for_the_log_is_named_and_recovered_from(stand: Stand) -> None:
    with small_disk(stand.data.events) as filler, supervised(stand) as supervisor:
        supervisor.wait_until("RUNNING")
        filler.fill()
        # The log's last block has room for some lines yet.
        while ask(supervisor.socket, "status").state == "RUNNING":
            with contextlib.suppress(imaplib.IMAP4.error, OSError):
                imap(stand).logout()
        status = supervisor.wait_for(lambda status: "free some space" in str(status.error))
        assert status.state == "BACKOFF"
        assert str(stand.data.events) in str(status.error)
        filler.free()
        supervisor.wait_until("RUNNING")
        imap(stand).logout()
        assert history.FAILED in codes(supervisor)


def test_the_next_supervisor_takes_over_from_a_killed_one(stand: Stand) -> None:
    first = Supervisor(stand)
    old = first.wait_until("RUNNING").pid
    assert old
    client = imap(stand)
    first.process.kill()
    first.process.wait()
    first.end()
    with supervised(stand) as second:
        assert second.wait_until("RUNNING").pid != old
        assert process.session_members(old) == []
        with pytest.raises(imaplib.IMAP4.abort):
            client.noop()
        imap(stand).logout()


def test_a_master_pid_of_somebody_else_is_no_obstacle(stand: Stand) -> None:
    stand.data.base_dir.mkdir(parents=True)
    (stand.data.base_dir / "master.pid").write_text(f"{os.getpid()}\n")
    with supervised(stand) as supervisor:
        supervisor.wait_until("RUNNING")


def test_ends_with_all_its_children(stand: Stand) -> None:
    supervisor = Supervisor(stand)
    pid = supervisor.wait_until("RUNNING").pid
    assert pid
    client = imap(stand)
    assert supervisor.end() == 0
    assert process.session_members(pid) == []
    assert not stand.data.control_socket.exists()
    with pytest.raises(imaplib.IMAP4.abort):
        client.noop()


def test_the_end_of_a_session_is_logged_when_it_is_stopped(stand: Stand) -> None:
    with supervised(stand) as supervisor:
        supervisor.wait_until("RUNNING")
        client = imap(stand)
        ask(supervisor.socket, "stop")
    client.shutdown()
    assert " Disconnected: " in stand.data.event_log.read_text()


def test_garbage_on_the_control_socket(running: Supervisor) -> None:
    pid = ask(running.socket, "status").pid
    for sent in (b"\0" * 5000, b"{}\n", b'{"command": "rm"}\n', b"\n", b"[" * 1000 + b"\n"):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(running.socket))
            connection.sendall(sent)
    assert ask(running.socket, "status").pid == pid


# --- commands


def test_stop_start_restart(running: Supervisor) -> None:
    first = ask(running.socket, "status")
    stopped = ask(running.socket, "stop")
    assert (stopped.state, stopped.pid, stopped.since) == ("STOPPED", None, None)
    assert ask(running.socket, "stop").state == "STOPPED"
    with pytest.raises(ControlRefused, match="is stopped: start it"):
        ask(running.socket, "reload")
    started = ask(running.socket, "start")
    assert started.state == "RUNNING"
    assert started.pid != first.pid
    assert ask(running.socket, "start").pid == started.pid
    again = ask(running.socket, "restart")
    assert again.pid != started.pid
    assert again.restarts == 0


def test_a_stop_does_not_outlive_the_supervisor(stand: Stand) -> None:
    with supervised(stand) as first:
        first.wait_until("RUNNING")
        ask(first.socket, "stop")
    with supervised(stand) as second:
        second.wait_until("RUNNING")


def test_reload_keeps_sessions_and_serves_the_new_certificate(running: Supervisor) -> None:
    stand = running.stand
    client = imap(stand)
    pid = ask(running.socket, "status").pid
    write_certificate(Path(stand.config.certificate), Path(stand.config.private_key))
    status = ask(running.socket, "reload")
    assert (status.pid, status.error) == (pid, None)
    assert client.noop()[0] == "OK"
    imap(stand).logout()


def test_reload_takes_new_ports_and_key(running: Supervisor) -> None:
    stand = running.stand
    changed = replace(stand.config, ports=Ports(*free_ports(4)), api_key="n" * 43)
    stand.write_config(ports=changed.ports, api_key=changed.api_key)
    ask(running.socket, "reload")
    imap(replace(stand, config=changed)).logout()
    assert Doveadm(stand.data.doveadm_socket, "n" * 43).who() == []
    with pytest.raises(ConnectionRefusedError):
        imap(stand)


def can_log_in(stand: Stand) -> bool:
    """Whether a login works now."""
    try:
        imap(stand).logout()
    except imaplib.IMAP4.error:
        return False
    return True


def test_hang_up_reloads(running: Supervisor) -> None:
    running.stand.write_config(mail_host="mx.example.test")
    running.process.send_signal(signal.SIGHUP)
    running.wait_for(lambda _: (running.stand.data.configurations / "current").readlink().name == "2")
    # A login at the very moment of a reload may be answered "temporary failure": a later one is not.
    running.wait_for(lambda _: can_log_in(running.stand))


@pytest.mark.parametrize("command", ["reload", "restart"])
def test_a_bad_configuration_leaves_the_running_one_alone(running: Supervisor, command: str) -> None:
    stand = running.stand
    client = imap(stand)
    pid = ask(running.socket, "status").pid
    write_certificate(stand.data.tls / "other.pem", stand.data.tls / "other.key")
    stand.write_config(certificate=str(stand.data.tls / "other.pem"))
    if os.geteuid() == 0:
        os.chown(stand.data.tls / "other.pem", *stand.owner)
    with pytest.raises(ControlRefused, match="does not belong to the key") as caught:
        ask(running.socket, command)
    assert caught.value.status is not None
    assert (caught.value.status.state, caught.value.status.pid) == ("RUNNING", pid)
    assert client.noop()[0] == "OK"
    stand.write_config()
    assert ask(running.socket, "reload").error is None


def test_reload_onto_a_taken_port_changes_nothing(running: Supervisor) -> None:
    stand = running.stand
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        stand.write_config(ports=replace(stand.config.ports, imaps=port))
        with pytest.raises(ControlRefused, match=f"Port {port} of 127.0.0.1 is taken.*IMAPS_PORT"):
            ask(running.socket, "reload")
    imap(stand).logout()


# --- what keeps it from starting


def test_a_second_one_is_refused(running: Supervisor) -> None:
    run = subprocess.run(
        supervisor_command(running.stand), capture_output=True, check=False, cwd=CHECKOUT, text=True
    )
    assert run.returncode == 3
    assert run.stderr.count("\n") == 1
    assert "Another mail supervisor runs" in run.stderr
    imap(running.stand).logout()


def test_waits_for_the_panel(stand: Stand) -> None:
    stand.data.mail_config.unlink()
    with supervised(stand) as supervisor:
        assert "has not written" in str(supervisor.wait_until("FATAL").error)
        stand.write_config()
        assert supervisor.wait_until("RUNNING").error is None


@pytest.mark.parametrize("command", ["start", "reload", "restart"])
def test_nothing_starts_without_the_marker(stand: Stand, command: str) -> None:
    marker = stand.data.mail / generations.MARKER
    content = marker.read_text()
    marker.unlink()
    with supervised(stand) as supervisor:
        assert "mount the disk" in str(supervisor.wait_until("FATAL").error)
        with pytest.raises(ControlRefused, match="mount the disk"):
            ask(supervisor.socket, command)
        assert not (stand.data.base_dir / "master.pid").exists()
        marker.write_text(content)
        assert ask(supervisor.socket, command).state == "RUNNING"


def test_a_good_configuration_of_before_does_not_make_up_for_the_marker(stand: Stand) -> None:
    with supervised(stand) as first:
        first.wait_until("RUNNING")
    stand.write_config(mail_root_id="f" * 32)
    with supervised(stand) as second:
        assert "another mail root" in str(second.wait_until("FATAL").error)


def test_fatal_heals_by_itself(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailbackend.supervisor.service.RECHECK", 0.5)
    marker = stand.data.mail / generations.MARKER
    kept = marker.rename(stand.data.mail / "elsewhere")

    async def story() -> Status:
        async with served(stand, first="FATAL") as service:
            kept.rename(marker)
            return await reached(service, "RUNNING")

    assert asyncio.run(story()).error is None


def test_a_taken_port_is_named_and_tried_again(stand: Stand) -> None:
    with socket.create_server(("127.0.0.1", stand.config.ports.pop3s)), supervised(stand) as supervisor:
        error = supervisor.wait_until("BACKOFF").error
        assert f"Port {stand.config.ports.pop3s} of 127.0.0.1 is taken" in str(error)
        assert "POP3S_PORT" in str(error)
        assert ask(supervisor.socket, "stop").state == "STOPPED"
    with supervised(stand) as supervisor:
        supervisor.wait_until("RUNNING")


def test_at_start_the_last_good_configuration_makes_up_for_a_bad_one(stand: Stand) -> None:
    with supervised(stand) as first:
        first.wait_until("RUNNING")
    stand.data.mail_config.write_text("{")
    with supervised(stand) as second:
        status = second.wait_until("RUNNING")
        assert "last good configuration is in use" in str(status.error)
        assert "not JSON" in str(status.error)
        imap(stand).logout()
        stand.write_config()
        assert ask(second.socket, "reload").error is None


def test_dovecot_missing(stand: Stand) -> None:
    with supervised(stand, DOVECOT_BIN="/nowhere/dovecot") as supervisor:
        error = supervisor.wait_until("FATAL").error
        assert "apt-get install dovecot-core dovecot-imapd dovecot-pop3d dovecot-lmtpd" in str(error)


def test_dovecot_too_old(stand: Stand) -> None:
    folder = stand.data.root / "bin"
    folder.mkdir()
    for name in ("dovecot", "doveconf"):
        (folder / name).write_text('#!/bin/sh\necho "2.2.36 (abc)"\n')
        (folder / name).chmod(0o755)
    with supervised(stand, DOVECOT_BIN=str(folder / "dovecot")) as supervisor:
        status = supervisor.wait_until("FATAL")
        assert "2.2.36 is too old: install 2.3.13" in str(status.error)
        assert status.version == "2.2.36"


def test_a_dovecot_that_ends_at_once_is_tried_again_and_its_words_passed_on(stand: Stand) -> None:
    folder = stand.data.root / "bin"
    folder.mkdir()
    (folder / "dovecot").write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo 2.3.21 && exit\necho "Fatal: the moon is full" >&2\nexit 89\n'
    )
    (folder / "doveconf").write_text("#!/bin/sh\nexit 0\n")
    for path in folder.iterdir():
        path.chmod(0o755)
    with supervised(stand, DOVECOT_BIN=str(folder / "dovecot")) as supervisor:
        error = supervisor.wait_until("BACKOFF").error
        assert "exit code 89" in str(error)
        assert "the moon is full" in str(error)


def test_a_configuration_that_fails_only_at_launch_gives_way_to_the_last_good_one(stand: Stand) -> None:
    folder = stand.data.root / "bin"
    folder.mkdir()
    program = process.find_programs("", as_root=False).dovecot
    (folder / "dovecot").write_text(
        f'#!/bin/sh\ngrep -qs mx.broken "$3" && echo "Fatal: broken" >&2 && exit 89\nexec {program} "$@"\n'
    )
    (folder / "dovecot").chmod(0o755)
    with supervised(stand, DOVECOT_BIN=str(folder / "dovecot")) as supervisor:
        supervisor.wait_until("RUNNING")
        ask(supervisor.socket, "stop")
        stand.write_config(mail_host="mx.broken")
        status = ask(supervisor.socket, "start")
        assert status.state == "RUNNING"
        assert "last good configuration is in use" in str(status.error)
        assert "Fatal: broken" in str(status.error)
        imap(stand).logout()


def test_a_configuration_that_dovecot_does_not_take_is_taken_back(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any) -> dict[str, str]:
        return {"dovecot.conf": render(*arguments)["dovecot.conf"] + "no_such_setting = yes\n"}

    async def story() -> tuple[str | None, Status, Status]:
        async with served(stand) as service:
            before = service.status()
            monkeypatch.setattr(generations, "render", broken)
            monkeypatch.setattr(generations, "validate", lambda *_: None)
            refusal, after = await service.handle("reload", True)
            await asyncio.to_thread(lambda: imap(stand).logout())
            return refusal, before, after

    refusal, before, after = asyncio.run(story())
    assert "no_such_setting" in str(refusal)
    assert (after.state, after.pid) == ("RUNNING", before.pid)
    assert "not in use" in str(after.error)
    assert (stand.data.configurations / "current").readlink().name == "1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data-dir", "relative"], "absolute path"),
        (["--data-dir", "/tmp/" + "x" * 100], "shorter path"),
        (["--data-dir", "/nowhere/at/all"], "is not a folder"),
    ],
)
def test_a_data_dir_that_cannot_be(stand: Stand, arguments: list[str], message: str) -> None:
    command = supervisor_command(stand)
    command[command.index("--data-dir") : command.index("--data-dir") + 2] = arguments
    run = subprocess.run(command, capture_output=True, check=False, cwd=CHECKOUT, text=True)
    assert run.returncode == 2
    assert message in run.stderr
    assert run.stderr.count("\n") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="about what only root does")
class TestAsRoot:
    """What the root process must not fall for."""

    def refusal(self, stand: Stand) -> str:
        run = subprocess.run(
            supervisor_command(stand), capture_output=True, check=False, cwd=CHECKOUT, text=True
        )
        assert run.returncode == 2
        return run.stderr

    def test_needs_an_account(self, stand: Stand) -> None:
        command = supervisor_command(stand)[:-2]
        run = subprocess.run(command, capture_output=True, check=False, cwd=CHECKOUT, text=True)
        assert run.returncode == 2
        assert "--account" in run.stderr

    def test_the_mail_is_not_root_s(self, stand: Stand) -> None:
        assert "cannot belong to root" in self.refusal(replace(stand, account="root"))

    def test_an_account_that_is_not_there(self, stand: Stand) -> None:
        assert "no account 'nobody-there'" in self.refusal(replace(stand, account="nobody-there"))

    def test_a_data_dir_that_the_account_could_rearrange(self, stand: Stand) -> None:
        os.chown(stand.data.root, *stand.owner)
        assert "can be changed by others than root" in self.refusal(stand)

    def test_a_data_dir_that_dovecot_s_users_cannot_pass(self, stand: Stand) -> None:
        stand.data.root.chmod(0o750)
        assert "chmod o+x" in self.refusal(stand)

    def test_a_folder_that_the_account_made(self, stand: Stand) -> None:
        stand.data.dovecot.mkdir()
        os.chown(stand.data.dovecot, *stand.owner)
        assert "belongs to somebody else" in self.refusal(stand)

    def test_a_link_in_place_of_a_folder(self, stand: Stand) -> None:
        stand.data.events.symlink_to("/etc")
        assert self.refusal(stand)
        assert Path("/etc").stat().st_mode & 0o777 == 0o755

    def test_a_dovecot_that_others_can_change(self, stand: Stand) -> None:
        program = stand.data.run / "dovecot"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        with supervised(stand, DOVECOT_BIN=str(program)) as supervisor:
            assert "can be changed by others" in str(supervisor.wait_until("FATAL").error)

    def test_its_own_folders_are_root_s_and_the_log_is_readable(self, running: Supervisor) -> None:
        data = running.stand.data
        for folder in (data.dovecot, data.configurations, data.events, data.base_dir):
            assert folder.stat().st_uid == 0
        log = data.event_log.stat()
        assert (log.st_uid, log.st_gid, log.st_mode & 0o777) == (0, running.stand.owner[1], 0o640)

    def test_dovecot_s_processes_are_several_users(self, running: Supervisor) -> None:
        imap(running.stand)
        pid = ask(running.socket, "status").pid
        assert pid
        owners = set()
        for member in process.session_members(pid):
            with contextlib.suppress(FileNotFoundError):  # It ended meanwhile.
                owners.add(Path(f"/proc/{member}").owner())
        assert {"root", "dovecot", "dovenull", running.stand.account} <= owners


def test_pauses_grow_to_a_ceiling() -> None:
    pauses = [FIRST_PAUSE]
    while pauses[-1] < LONGEST_PAUSE:
        pauses.append(next_pause(pauses[-1]))
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30]
    assert next_pause(LONGEST_PAUSE) == LONGEST_PAUSE


def test_the_key_of_the_api_is_in_no_command_line(running: Supervisor) -> None:
    pid = ask(running.socket, "status").pid
    assert pid
    for member in process.session_members(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # It ended meanwhile.
            assert API_KEY not in Path(f"/proc/{member}/cmdline").read_text()
