"""From lines in segments to rows: each connection once, whatever happens to the log."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError

from mailbackend.paths import DataDir
from panel.addresses.models import DevicePassword
from panel.addresses.services import create_mailbox
from panel.connections import recorder, storing
from panel.connections.export import as_json
from panel.connections.models import Connection, HourlyCount, LogGap, LogPosition
from tests.cast import PASSWORD, Cast
from tests.panel.connections.log_lines import aborted, at, begun, ended, fields, refused, started

NODE = "restante-test"
NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)

pytestmark = pytest.mark.django_db


def later(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


class Log:
    """Segments in a folder, and a recorder that is run when asked."""

    def __init__(self, folder: Path) -> None:
        self.data = DataDir(folder)
        self.data.events.mkdir()
        self.data.run.mkdir()

    def write(self, text: str, number: int = 1, *, sealed: bool = False) -> None:
        """Append to a segment."""
        path = self.data.events / f"{number:08d}.log"
        with path.open("ab") as file:
            file.write(text.encode("utf-8", "surrogateescape"))
        if sealed:
            path.chmod(0o440)

    def record(self) -> None:
        """Store what is new."""
        recorder.store_all(self.data, NODE)


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)


def only() -> Connection:
    return Connection.objects.get()


def test_a_session_is_open_until_it_ends(log: Log, cast: Cast) -> None:
    address = cast.mailbox.address
    log.write(begun(NOON, "s1", address))
    log.record()
    row = only()
    assert row.is_open
    assert (row.mailbox, row.domain, row.customer) == (cast.mailbox, cast.domain, cast.customer)
    assert (row.outcome, row.reason, row.credential, row.tls) == ("accepted", "", "main", "TLSv1.3")
    assert (row.remote_ip, row.remote_net, row.remote_port) == ("192.0.2.7", "192.0.2.0/24", 50_000)
    log.write(ended(later(60), "s1", address))
    log.record()
    row = only()
    assert (row.started_at, row.ended_at, row.reason) == (NOON, later(60), "logged_out")
    assert (row.bytes_in, row.bytes_out, row.retrieved, row.deleted, row.expunged) == (148, 1198, 3, 2, 1)
    cast.mailbox.refresh_from_db()
    assert cast.mailbox.last_seen_at == NOON


def device_of(cast: Cast, label: str, **values: Any) -> DevicePassword:
    return DevicePassword.objects.create(
        mailbox=cast.mailbox, label=label, secret_hash=label.ljust(64, "0"), **values
    )


def test_a_device_password_is_told_and_when_it_was_used_last(log: Log, cast: Cast) -> None:
    address = cast.mailbox.address
    pc, phone = device_of(cast, "PC"), device_of(cast, "Phone", last_used_at=later(500))
    for seconds, session, device in ((0, "s1", pc), (9, "s2", pc), (5, "s3", pc), (2, "s4", phone)):
        log.write(begun(later(seconds), session, address, protocol="pop3", cred=f"device:{device.pk}"))
    log.record()
    rows = Connection.objects.order_by("session")
    assert [(row.credential, row.device) for row in rows] == [("device", pc)] * 3 + [("device", phone)]
    pc.refresh_from_db()
    phone.refresh_from_db()
    assert (pc.last_used_at, pc.last_used_ip, pc.last_used_protocol) == (later(9), "192.0.2.7", "pop3")
    assert (phone.last_used_at, phone.last_used_ip) == (later(500), "")
    assert [told["device"] for told in as_json(rows)] == ["PC", "PC", "PC", "Phone"]


def test_a_refused_device_password_is_told_and_not_used(log: Log, cast: Cast) -> None:
    pc = device_of(cast, "PC", revoked_at=NOON)
    words = "Disconnected: Connection closed (internal failure, 1 successful auths)"
    log.write(aborted(NOON, "s1", cast.mailbox.address, words, code="device_revoked", cred=f"device:{pc.pk}"))
    log.record()
    row = only()
    assert (row.outcome, row.reason, row.device) == ("refused", "device_revoked", pc)
    pc.refresh_from_db()
    assert pc.last_used_at is None


def test_another_mailboxs_device_password_is_not_this_ones(log: Log, cast: Cast) -> None:
    other = create_mailbox(domain=cast.domain, local_part="ben", password=PASSWORD)
    pc = device_of(cast, "PC")
    log.write(begun(NOON, "s1", other.address, cred=f"device:{pc.pk}"))
    log.write(begun(NOON, "s2", other.address, cred="device:999999999999999999"))
    log.record()
    assert [row.device_id for row in Connection.objects.all()] == [None, None]
    pc.refresh_from_db()
    assert pc.last_used_at is None


def test_an_end_that_was_read_first_is_given_its_device(log: Log, cast: Cast) -> None:
    address, pc = cast.mailbox.address, device_of(cast, "PC")
    log.write(ended(NOON, "s1", address))
    log.record()
    log.write(begun(NOON, "s1", address, cred=f"device:{pc.pk}"))
    log.record()
    assert only().device == pc


def test_nothing_is_stored_twice(log: Log, cast: Cast) -> None:
    log.write(begun(NOON, "s1", cast.mailbox.address) + ended(later(1), "s1", cast.mailbox.address))
    for _ in range(3):
        log.record()
    assert Connection.objects.count() == 1
    assert list(HourlyCount.objects.values_list("hour", "connections")) == [(NOON, 1)]


@pytest.mark.parametrize("cut", range(1, 400, 37))
def test_half_a_line_waits_for_its_rest(log: Log, cast: Cast, cut: int) -> None:
    text = begun(NOON, "s1", cast.mailbox.address)
    log.write(text[: -min(cut, len(text) - 1)])
    log.record()
    assert Connection.objects.count() == 0
    log.write(text[-min(cut, len(text) - 1) :])
    log.record()
    assert only().address == cast.mailbox.address


def test_attempts_are_rows_at_once_and_completed_later(log: Log, cast: Cast) -> None:
    address = cast.mailbox.address
    log.write(refused(NOON, "s1", address))
    log.record()
    assert (only().outcome, only().reason, only().protocol) == ("refused", "wrong_password", "imap")
    log.write(refused(later(1), "s1", "nobody@elsewhere.test", result="user_unknown"))
    log.record()
    log.write(
        aborted(
            later(2), "s1", address, "Disconnected: Connection closed (auth failed, 2 attempts in 2 secs)"
        )
    )
    log.record()
    rows = list(Connection.objects.order_by("attempt"))
    assert [(row.attempt, row.reason, row.tls) for row in rows] == [
        (1, "wrong_password", "TLSv1.3"),
        (2, "unknown_address", "TLSv1.3"),
    ]
    assert [row.mailbox_id for row in rows] == [cast.mailbox.pk, None]


def test_bad_attempts_before_a_good_one_are_all_kept(log: Log, cast: Cast) -> None:
    address = cast.mailbox.address
    log.write(refused(NOON, "s1", address) + refused(later(2), "s1", address))
    log.record()
    log.write(begun(later(4), "s1", address) + ended(later(5), "s1", address))
    log.record()
    rows = Connection.objects.order_by("attempt").values_list("attempt", "outcome", "reason")
    assert list(rows) == [
        (0, "accepted", "logged_out"),
        (1, "refused", "wrong_password"),
        (2, "refused", "wrong_password"),
    ]
    assert LogPosition.objects.get().pending["attempts"] == {}


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        ("Disconnected: Connection closed (internal failure, 1 successful auths)", "suspended", "suspended"),
        ("Login aborted: Connection closed (login disabled, 1/1)", "protocol_off", "protocol_off"),
        ("Disconnected: Connection closed (no auth attempts in 3 secs)", "", "gave_up"),
        (
            "Disconnected: Connection closed (auth service reported temporary failure)",
            "",
            "temporary_failure",
        ),
        (
            "Disconnected: Maximum number of connections from user+IP exceeded (x=50)",
            "",
            "too_many_connections",
        ),
        # A name with signs that no address has: nobody looks for it, nothing but this line tells it.
        ("Disconnected: Connection closed (auth failed, 1 attempts in 2 secs)", "", "unknown_address"),
        # Of a name that there is, it is not looked at by a service that is being killed.
        ("Disconnected: Connection closed (auth failed, 1 attempts in 1 secs)", "", "temporary_failure"),
    ],
)
def test_what_only_the_last_line_tells(log: Log, cast: Cast, words: str, code: str, reason: str) -> None:
    address = "no such: name" if reason == "unknown_address" else cast.mailbox.address
    log.write(aborted(NOON, "s1", address, words, code=code))
    log.record()
    assert (only().outcome, only().reason, only().attempt) == ("refused", reason, 1)
    assert only().ended_at == NOON


def test_a_temporary_failure_is_one_row(log: Log, cast: Cast) -> None:
    address = cast.mailbox.address
    log.write(refused(NOON, "s1", address, result="internal_failure"))
    words = "Disconnected: Connection closed (auth service reported temporary failure)"
    log.write(aborted(later(1), "s1", address, words))
    log.record()
    assert only().reason == "temporary_failure"


def test_a_password_in_the_clear(log: Log, cast: Cast) -> None:
    log.write(
        f"{at(NOON)} imap-login: Info: {fields('s1', '')}msg=Login failed: Plaintext authentication disabled\n"
    )
    log.record()
    words = "Disconnected: Connection closed (auth failed, 1 attempts in 0 secs)"
    log.write(aborted(NOON, "s1", cast.mailbox.address, words))
    log.record()
    assert (only().reason, only().mailbox) == ("no_tls", cast.mailbox)


def test_the_program_says_its_name_before_or_after(log: Log, cast: Cast) -> None:
    address = cast.mailbox.address
    log.write(
        f"{at(NOON)} imap-login: Info: {fields('s1', '')}msg=ID sent: name=Thunderbird, version=128.2\n"
    )
    log.record()
    log.write(begun(NOON, "s1", address))
    log.record()
    assert (only().client_name, only().client_version) == ("Thunderbird", "128.2")
    log.write(f'{at(NOON)} imap: sess=s1 user="{address}" pid=1: Info: ID sent: name=Mail, version=3\n')
    log.record()
    assert (only().client_name, only().client_version) == ("Mail", "3")


def test_an_end_that_was_read_first(log: Log, cast: Cast) -> None:
    address = cast.mailbox.address
    log.write(ended(later(1), "s1", address))
    log.record()
    log.write(begun(NOON, "s1", address))
    log.record()
    row = only()
    assert (row.started_at, row.ended_at, row.reason) == (NOON, later(1), "logged_out")
    assert (row.remote_port, row.retrieved) == (50_000, 3)
    assert HourlyCount.objects.get().connections == 1


def test_a_start_of_dovecot_ends_what_was_open(log: Log, cast: Cast) -> None:
    address = cast.mailbox.address
    log.write(begun(NOON, "s1", address) + ended(later(2), "s0", address))
    log.record()
    log.write(started(later(100)) + begun(later(101), "s2", address))
    log.record()
    rows = {row.session: row for row in Connection.objects.all()}
    assert (rows["s1"].reason, rows["s1"].ended_at) == ("server_stopped", later(2))
    assert rows["s2"].is_open


def test_a_kick_is_not_a_stop(log: Log, cast: Cast) -> None:
    address = cast.mailbox.address
    log.write(begun(NOON, "s1", address) + begun(NOON, "s2", address))
    log.write(ended(later(1), "s1", address, why="Server shutting down."))
    log.write(f"{at(later(2))} master: Warning: Killed with signal 15 (by pid=1 uid=0 code=kill)\n")
    log.record()
    log.write(ended(later(3), "s2", address, why="Server shutting down."))
    log.record()
    assert dict(Connection.objects.values_list("session", "reason")) == {
        "s1": "kicked",
        "s2": "server_stopped",
    }


def test_a_crashed_process_ends_its_session(log: Log, cast: Cast) -> None:
    address = cast.mailbox.address
    log.write(begun(NOON, "s1", address, pid=7) + begun(NOON, "s2", address, pid=8))
    log.record()
    log.write(f"{at(later(5))} master: Error: service(imap): child 7 killed with signal 11 (core dumped)\n")
    log.record()
    assert [row.session for row in Connection.objects.filter(ended_at=None)] == ["s2"]


def test_the_clock_is_set_back(log: Log, cast: Cast) -> None:
    address = cast.mailbox.address
    log.write(begun(later(3600), "s1", address) + ended(NOON, "s1", address))
    log.write(begun(later(3600), "s2", address) + started(NOON))
    log.record()
    for row in Connection.objects.all():
        assert row.ended_at == row.started_at


def test_segments_follow_each_other(log: Log, cast: Cast) -> None:
    address = cast.mailbox.address
    log.write(begun(NOON, "s1", address), 1, sealed=True)
    log.write(ended(later(1), "s1", address), 2)
    log.record()
    assert not only().is_open
    assert log.data.events_stored.read_text() == "1"
    assert LogGap.objects.count() == 0


def test_a_segment_that_is_not_sealed_is_read_on(log: Log, cast: Cast) -> None:
    log.write(begun(NOON, "s1", cast.mailbox.address), 1)
    log.write(begun(NOON, "s2", cast.mailbox.address), 2)
    log.record()
    assert [row.session for row in Connection.objects.all()] == ["s1"]
    log.write(begun(NOON, "s3", cast.mailbox.address), 1, sealed=True)
    log.record()
    assert {row.session for row in Connection.objects.all()} == {"s1", "s2", "s3"}


def test_segments_that_are_gone_are_a_gap(log: Log, cast: Cast) -> None:
    log.write(begun(NOON, "s1", cast.mailbox.address), 1, sealed=True)
    log.record()
    log.write(begun(later(9), "s2", cast.mailbox.address), 4)
    log.record()
    gap = LogGap.objects.get()
    assert (gap.cause, gap.segments, gap.began_at, gap.ended_at) == ("segments_lost", 2, NOON, later(9))
    assert Connection.objects.count() == 2


def test_the_tail_that_a_killed_process_left_is_a_gap(log: Log, cast: Cast) -> None:
    log.write(begun(NOON, "s1", cast.mailbox.address) + "2026-03-04T12:00:01", 1, sealed=True)
    log.write(begun(later(9), "s2", cast.mailbox.address), 2)
    log.record()
    assert LogGap.objects.get().cause == "log_damaged"
    assert Connection.objects.count() == 2


def test_a_killed_log_process_is_a_gap(log: Log) -> None:
    log.write(f"{at(NOON)} doveadm: Info: x\n")
    log.record()
    log.write(f"{at(later(3))} master: Error: service(log): child 5 killed with signal 9\n")
    log.record()
    gap = LogGap.objects.get()
    assert (gap.cause, gap.began_at, gap.ended_at) == ("log_killed", NOON, later(3))


def test_what_fails_in_the_database_is_stored_once_it_works(
    log: Log, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.write(refused(NOON, "s1", cast.mailbox.address) + begun(NOON, "s2", cast.mailbox.address))
    update: Callable[..., Any] = storing.update

    def fail(rows: object) -> None:
        raise DatabaseError("away")

    monkeypatch.setattr(storing, "update", fail)
    with pytest.raises(DatabaseError):
        log.record()
    assert Connection.objects.count() == 0
    monkeypatch.setattr(storing, "update", update)
    log.record()
    assert Connection.objects.count() == 2


@pytest.mark.parametrize(
    "name",
    [
        'a"b, msg=Login',
        "line\nbreak@x.test",
        "nul\x00@x.test",
        "\x1b[31mred@x.test",
        "é\u202eevil@x.test",
        "x" * 10_000,
        "%s%(a)s{0}",
        "\ud800",
    ],
)
def test_hostile_names_are_stored_harmlessly(log: Log, name: str) -> None:
    log.write(refused(NOON, "s1", name, result="user_unknown"))
    log.record()
    stored = only().address
    assert stored.isprintable()
    assert 0 < len(stored) <= 254


def test_bytes_that_are_no_text(log: Log, cast: Cast) -> None:
    log.write("\udcff\udcfe\udc80garbage\n\n\x00\n" + begun(NOON, "s1", cast.mailbox.address))
    log.record()
    assert only().session == "s1"


def test_one_recorder_at_a_time(log: Log) -> None:
    with recorder.alone(log.data), pytest.raises(recorder.AlreadyRunning), recorder.alone(log.data):
        pass


def test_a_crash_told_behind_the_words_of_its_process(log: Log, cast: Cast) -> None:
    address = cast.mailbox.address
    log.write(begun(NOON, "s1", address, pid=7))
    log.write(
        f'{at(later(1))} imap: sess=s1 user="{address}" pid=7: Fatal: master: service(imap): child 7 killed with '
        "signal 9\n"
    )
    log.record()
    assert (only().reason, only().ended_at) == ("server_stopped", later(1))


def test_a_killed_master_takes_sessions_along(log: Log, cast: Cast) -> None:
    """Their words come before the first that tells of the stop: a kick sounds the same."""
    address = cast.mailbox.address
    log.write(begun(NOON, "s1", address) + begun(NOON, "s2", address))
    log.write(ended(later(1), "s1", address, why="Server shutting down."))
    log.record()
    assert Connection.objects.get(session="s1").reason == "kicked"
    log.write(f"{at(later(1.01))} config: Warning: Killed with signal 15 (by pid=1 uid=0 code=kill)\n")
    log.record()
    log.write(ended(later(1.02), "s2", address, why="Connection closed"))
    log.write(begun(later(60), "s3", address) + ended(later(61), "s3", address, why="Connection closed"))
    log.record()
    assert dict(Connection.objects.values_list("session", "reason")) == {
        "s1": "server_stopped",
        "s2": "server_stopped",
        "s3": "connection_closed",
    }


def test_the_last_words_before_a_start(log: Log, cast: Cast) -> None:
    address = cast.mailbox.address
    log.write(begun(NOON, "s1", address) + begun(NOON, "s2", address))
    log.write(ended(later(1), "s1", address, why="Server shutting down."))
    log.write(ended(later(9), "s2", address, why="Server shutting down."))
    log.record()
    log.write(started(later(12)))
    log.record()
    assert dict(Connection.objects.values_list("session", "reason")) == {
        "s1": "kicked",
        "s2": "server_stopped",
    }


def test_a_refusal_that_is_written_after_the_end_of_its_connection(log: Log, cast: Cast) -> None:
    address = cast.mailbox.address
    log.write(
        aborted(NOON, "s1", address, "Disconnected: Connection closed (disconnected while authenticating)")
    )
    log.record()
    assert only().reason == "gave_up"
    log.write(refused(later(0.1), "s1", address))
    log.record()
    assert only().reason == "wrong_password"
    log.write(refused(later(0.2), "s1", address))
    log.record()
    assert list(Connection.objects.order_by("attempt").values_list("attempt", flat=True)) == [1, 2]
    assert LogPosition.objects.get().pending["attempts"] == {}


def test_what_is_there_already_does_not_hold_up_the_rest(log: Log, cast: Cast) -> None:
    address = cast.mailbox.address
    log.write(begun(NOON, "s1", address))
    log.record()
    LogPosition.objects.all().delete()
    log.write(begun(later(1), "s2", address) + ended(later(2), "s1", address))
    log.record()
    assert {row.session: row.reason for row in Connection.objects.all()} == {"s1": "logged_out", "s2": ""}
    assert HourlyCount.objects.get().connections == 2


def test_a_segment_given_up_while_it_was_read_is_a_gap(log: Log, cast: Cast) -> None:
    log.write(begun(NOON, "s1", cast.mailbox.address))
    log.record()
    (log.data.events / "00000001.log").unlink()
    log.write(begun(later(9), "s2", cast.mailbox.address), 2)
    log.record()
    assert (LogGap.objects.get().cause, LogGap.objects.get().segments) == ("segments_lost", 1)


@pytest.mark.parametrize(("told", "missing"), [("", 2), ("1", 1), ("2", 0)])
def test_what_went_before_the_first_look_is_a_gap(log: Log, cast: Cast, told: str, missing: int) -> None:
    """Unless it is known to be stored: in another database."""
    log.data.events_stored.write_text(told)
    log.write(begun(NOON, "s1", cast.mailbox.address), 3)
    log.record()
    assert [gap.segments for gap in LogGap.objects.all()] == ([missing] if missing else [])
    assert only().session == "s1"


def test_two_recorders_store_each_line_once(log: Log, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second, which no lock kept out, finds that the place has moved, and reads from there."""
    log.write(begun(NOON, "s1", cast.mailbox.address))
    read = recorder._next_piece
    others = iter([True])

    def read_while_another_stores(*arguments: Any) -> Any:
        piece = read(*arguments)
        if next(others, False):
            log.record()
        return piece

    monkeypatch.setattr(recorder, "_next_piece", read_while_another_stores)
    with pytest.raises(recorder.Moved):
        log.record()
    log.record()
    assert only().session == "s1"
    assert HourlyCount.objects.get().connections == 1


def test_an_address_is_not_unknown_while_the_database_is_away(log: Log, cast: Cast) -> None:
    address = cast.mailbox.address
    words = "Disconnected: Connection closed (auth service reported temporary failure)"
    log.write(refused(NOON, "s1", address, result="user_unknown"))
    log.record()
    log.write(aborted(later(1), "s1", address, words))
    log.record()
    assert only().reason == "temporary_failure"


def test_a_stop_while_somebody_waits_to_sign_in(log: Log, cast: Cast) -> None:
    address = cast.mailbox.address
    words = "Disconnected: Shutting down (disconnected while authenticating, waited 1 secs)"
    log.write(
        aborted(NOON, "s1", address, words)
        + refused(NOON, "s2", address)
        + aborted(NOON, "s2", address, words)
    )
    log.record()
    reasons = Connection.objects.order_by("session").values_list("session", "reason")
    assert list(reasons) == [("s1", "temporary_failure"), ("s2", "wrong_password")]
