"""Lines that Dovecot 2.3 and 2.4 wrote, and what is read in them."""

from __future__ import annotations

import pytest

from mailbackend.dovecot import events
from mailbackend.dovecot.events import read_event

AT = "2026-11-28T12:38:53.723891+0000"
LOGIN = (
    'sess=InKed/AAAB, user="ann@example.test", orig="ANN@example.test", method="PLAIN", rip=127.0.0.1, rport=52882, '
    'lport=42439, mpid=8688, sec="TLS", tls="TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)", '
    'cred="main", refused="", sni="localhost", msg='
)
FAILED = (
    'sess=InKed/AAAB, user="off@example.test", orig="off@example.test", method="PLAIN", rip=127.0.0.1, rport=60004, '
    'lport=42439, sec="TLS: Connection closed", tls="TLSv1.3 with cipher X (256/256 bits)", '
)


def read(text: str) -> events.Event | None:
    return read_event(f"{AT} {text}")


@pytest.mark.parametrize("message", ["Login", "Logged in"])
def test_a_session_begins(message: str) -> None:
    assert read(f"imap-login: Info: {LOGIN}{message}") == events.Begun(
        at=AT,
        session="InKed/AAAB",
        protocol="imap",
        address="ann@example.test",
        credential="main",
        device=None,
        remote_ip="127.0.0.1",
        remote_port=52882,
        tls="TLSv1.3",
        cipher="TLS_AES_256_GCM_SHA384",
        mechanism="PLAIN",
        pid=8688,
    )


@pytest.mark.parametrize(
    ("cred", "expected"),
    [
        ("device:12", ("device", 12)),
        ("device:", ("device:", None)),
        ("device:9999999999999999999", ("device:9999999999999999999", None)),
        ("xdevice:12", ("xdevice:12", None)),
    ],
)
def test_a_device_password_is_told(cred: str, expected: tuple[str, int | None]) -> None:
    begun = read(f"imap-login: Info: {LOGIN}Login".replace('cred="main"', f'cred="{cred}"'))
    assert isinstance(begun, events.Begun)
    assert (begun.credential, begun.device) == expected
    aborted = read(
        f'pop3-login: Info: {FAILED}cred="{cred}", refused="device_revoked", sni="localhost", msg=Disconnected: '
        "Connection closed (internal failure, 1 successful auths)"
    )
    assert isinstance(aborted, events.Aborted)
    assert (aborted.credential, aborted.device, aborted.reason) == (*expected, "device_revoked")


def test_an_imap_session_ends() -> None:
    line = (
        'imap: sess=oP6Ce/AAAB user="ann@example.test" pid=24023: Info: Disconnected: Logged out in=148 out=1198 '
        "deleted=1 expunged=2 trashed=0 appended=1 autoexpunged=0 hdr=0/0 body=3/17 rip=127.0.0.1"
    )
    expected = events.Ended(AT, "oP6Ce/AAAB", "imap", "ann@example.test", "logged_out", 148, 1198, 3, 1, 2)
    assert read(line) == expected


@pytest.mark.parametrize(
    ("numbers", "retrieved"),
    [
        # fetchmail: all that there is, or all that it deletes then. What it keeps of others cannot be told.
        ("top=3/1460 retr=0/0 del=0/0 msgs=3 size=1444", 3),
        ("top=1/600 retr=0/0 del=1/600 msgs=3 size=1444", 1),
        ("top=1/600 retr=0/0 del=0/0 msgs=3 size=1444", 0),
        # mutt: the heads of all.
        ("top=3/945 retr=0/0 del=3/1444 msgs=3 size=1444", 0),
        ("top=3/945 retr=1/842 del=1/842 msgs=3 size=1444", 1),
        ("top=3/1460 retr=2/900 del=3/1444 msgs=3 size=1444", 2),
        ("top=0/0 retr=0/0 del=0/0 msgs=0 size=0", 0),
    ],
)
def test_what_a_pop_session_downloaded_by_top_counts(numbers: str, retrieved: int) -> None:
    line = 'pop3: sess=uB6re/AAAB user="a@example.test" pid=2: Info: Disconnected: Logged out in=1 out=2 '
    ended = read(f"{line}{numbers} rip=127.0.0.1")
    assert isinstance(ended, events.Ended)
    assert ended.retrieved == retrieved


def test_a_pop_session_ends() -> None:
    line = (
        'pop3: sess=uB6re/AAAB user="ends@example.test" pid=24025: Info: Disconnected: Connection closed in=22 '
        "out=114 top=0/0 retr=14/3200 del=12/1700 msgs=14 size=1700 rip=127.0.0.1"
    )
    expected = events.Ended(
        AT, "uB6re/AAAB", "pop3", "ends@example.test", "connection_closed", 22, 114, 14, 12, None
    )
    assert read(line) == expected


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("Connection closed (IDLE running for 0.001 + waiting input for 0.3 secs)", "connection_closed"),
        ("Inactivity (no input for 1800 secs)", "idle"),
        ("Disconnected for inactivity", "idle"),
        ("User kicked", "kicked"),
        ("Server shutting down.", "shut_down"),
        ("Server shutting down", "server_stopped"),
        ("Too many invalid IMAP commands.", "connection_closed"),
    ],
)
def test_why_a_session_ended(words: str, reason: str) -> None:
    line = (
        f'imap: sess=a/AAAB user="ann@example.test" pid=1: Info: Disconnected: {words} in=0 out=1 deleted=0 '
        "expunged=0 trashed=0 appended=0 autoexpunged=0 hdr=0/0 body=0/0 rip=::1"
    )
    found = read(line)
    assert isinstance(found, events.Ended)
    assert found.reason == reason


@pytest.mark.parametrize(
    ("line", "reason", "attempts"),
    [
        (
            FAILED + 'cred="main", refused="suspended", sni="localhost", msg=Disconnected: Connection closed '
            "(internal failure, 1 successful auths)",
            "suspended",
            0,
        ),
        (
            FAILED
            + 'cred="main", refused="protocol_off", sni="localhost", msg=Login aborted: Connection closed '
            "(login disabled, 1/1 successful auths in 0 secs) (login_disabled)",
            "protocol_off",
            0,
        ),
        (
            FAILED
            + 'cred="", refused="", msg=Disconnected: Connection closed (auth failed, 3 attempts in 9 secs)',
            "",
            3,
        ),
        (
            FAILED + "msg=Login aborted: Connection closed (auth failed, 1 attempts in 2 secs) (auth_failed)",
            "",
            1,
        ),
        (
            FAILED + 'cred="", msg=Disconnected: Connection closed (auth service reported temporary failure)',
            "temporary_failure",
            0,
        ),
        (
            FAILED + 'cred="main", msg=Disconnected: Maximum number of connections from user+IP exceeded '
            "(mail_max_userip_connections=50)",
            "too_many_connections",
            0,
        ),
        (
            'sess=a/AAAB, user="", rip=127.0.0.1, rport=1, lport=2, sec="TLS handshaking: SSL_accept() failed: '
            'error:0A00010B:SSL routines::wrong version number", , msg=Login aborted: Connection closed: '
            "SSL_accept() failed: error:0A00010B (disconnected during TLS handshake) (tls_handshake_not_finished)",
            "tls_failed",
            0,
        ),
        (
            'sess=a/AAAB, user="", rip=127.0.0.1, rport=1, lport=2, sec="TLS handshaking: Connection closed", '
            'cred="", msg=Disconnected: Connection closed (no auth attempts in 0 secs)',
            "gave_up",
            0,
        ),
        (
            'sess=a/AAAB, user="", rip=2001:db8::1, rport=1, lport=2, , msg=Login aborted: Connection closed '
            "(no auth attempts in 0 secs) (no_auth_attempts)",
            "gave_up",
            0,
        ),
    ],
)
def test_a_connection_without_a_session(line: str, reason: str, attempts: int) -> None:
    found = read(f"pop3-login: Info: {line}")
    assert isinstance(found, events.Aborted)
    assert (found.protocol, found.reason, found.attempts) == ("pop3", reason, attempts)


@pytest.mark.parametrize("name", ["service", "protocol"])  # of 2.3, of 2.4
def test_a_refused_password_is_told_at_once(name: str) -> None:
    line = (
        'stats: Info: {"event":"auth_passdb_request_finished","fields":{"result":"password_mismatch",'
        f'"mechanism":"PLAIN","{name}":"pop3","session":"809wj/AAAB","remote_ip":"192.0.2.7","remote_port":58180,'
        '"original_user":"Ann\\"@example.test","user":"ann@example.test"}}'
    )
    expected = events.Refused(
        AT, "809wj/AAAB", "pop3", 'Ann"@example.test', "wrong_password", "192.0.2.7", 58180, "PLAIN"
    )
    assert read(line) == expected


def test_a_mail_program_says_its_name() -> None:
    before = f"imap-login: Info: {LOGIN}ID sent: name=Thunderbird, sess=x, version=128.2, os=Linux, x=NIL"
    assert read(before) == events.Identified("InKed/AAAB", "", None, "Thunderbird", "128.2")
    after = 'imap: sess=a/AAAB user="a@b.test" pid=1: Info: ID sent: name=After é, version=NIL'
    assert read(after) == events.Identified("a/AAAB", "", None, "After é", "")
    exported = (
        'stats: Info: {"event":"imap_id_received","fields":{"remote_ip":"127.0.0.1","remote_port":47396,'
        '"id_param_name":"Thunder\\"bird","id_param_version":"128.2"}}'
    )
    assert read(exported) == events.Identified("", "127.0.0.1", 47396, 'Thunder"bird', "128.2")


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("master: Info: Dovecot v2.3.19.1 (9b53102964) starting up for imap", events.Started),
        ("master: Warning: Killed with signal 15 (by pid=1 uid=0 code=kill)", events.Stopping),
        ("anvil: Warning: Killed with signal 15 (by pid=1 uid=0 code=kill)", events.Stopping),
        ("stats: Warning: Killed with signal 15 (by pid=1 uid=0 code=kill)", events.Stopping),
        ("master: Error: service(imap): child 24023 killed with signal 9", events.ProcessEnded),
        ("master: Error: service(log): child 12 killed with signal 9", events.LogKilled),
        (f'imap-login: Info: sess=k/AAAC, user="", rip=127.0.0.2, rport=4, lport=3, , msg={"x"}', None),
        ("imap(24017): Warning: Killed with signal 15 (by pid=24018 uid=999 code=kill)", None),
        ("doveadm: Info: Executing command 'who'", None),
    ],
)
def test_what_the_service_says_of_itself(line: str, kind: type | None) -> None:
    found = read(line)
    assert found is None if kind is None else isinstance(found, kind)


def test_a_password_in_the_clear() -> None:
    for words in ("Plaintext", "Cleartext"):
        line = (
            f'pop3-login: Info: sess=k/AAAC, user="", rip=127.0.0.2, rport=4, lport=3, , '
            f"msg=Login failed: {words} authentication disabled"
        )
        assert read(line) == events.InTheClear("k/AAAC")


@pytest.mark.parametrize(
    "name",
    [
        'x\\", msg=Login',
        'x\\", rip=192.0.2.1, cred=\\"main\\", msg=Login',
        "x, msg=Login",
        "\\\\",
        "x" * 10_000,
        "\u202e\x1b[31m",
    ],
)
def test_a_name_forges_nothing(name: str) -> None:
    line = (
        f'imap-login: Info: sess=a/AAAB, user="{name}", orig="{name}", method="PLAIN", rip=127.0.0.1, rport=5, '
        'lport=3, cred="", refused="", msg=Disconnected: Connection closed (auth failed, 1 attempts in 2 secs)'
    )
    found = read(line)
    assert isinstance(found, events.Aborted)
    assert (found.remote_ip, found.credential, found.attempts) == ("127.0.0.1", "", 1)


@pytest.mark.parametrize("line", ["", "x", AT, f"{AT} ", f"{AT} imap-login: Info: ", "\0" * 99, "é" * 40])
def test_what_is_no_line_says_nothing(line: str) -> None:
    assert read_event(line) is None
