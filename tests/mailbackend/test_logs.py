"""Lines of Dovecot's log: what is wrong in them, and what a client writes into them to look like it."""

from __future__ import annotations

import pytest

from mailbackend.dovecot.logs import parse_line, read_trouble

AT = "2026-11-24T13:16:03.369888+0000"


def trouble(rest: str) -> tuple[str, str] | None:
    line = parse_line(f"{AT} {rest}")
    assert line is not None, rest
    found = read_trouble(line)
    return (found.code, found.service) if found else None


def test_a_line_in_its_parts() -> None:
    line = parse_line(
        f'{AT} imap: sess=1T0XgwVhoNR/AAAB user="ann@example.test" pid=8141: Info: Disconnected: in=0 out=427\n'
    )
    assert line is not None
    assert (line.at, line.service, line.level) == (AT, "imap", "Info")
    assert line.message == "Disconnected: in=0 out=427"


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ("master: Info: Dovecot v2.3.19.1 starting up for imap, pop3, lmtp", None),
        ("master: Warning: Killed with signal 15 (by pid=1 uid=0 code=kill)", None),
        (
            "imap-login: Fatal: master: service(imap-login): child 8135 killed with signal 9",
            ("killed", "imap-login"),
        ),
        ("master: Error: service(log): child 8134 killed with signal 9", ("log_killed", "master")),
        (
            "imap(ann@example.test)<8141><1T0XgwVh>: Error: x",
            None,
        ),
        (
            'imap: sess=1T0XgwVh user="ann@example.test" pid=81: Fatal: '
            "master: service(imap): child 81 killed with signal 11 (core dumps disabled)",
            ("crashed", "imap"),
        ),
        (
            'lmtp: sess= user="ann@example.test" pid=9: Error: '
            "write(/x/tmp/1.M2) failed: No space left on device",
            ("disk_full", "lmtp"),
        ),
        (
            "master: Warning: service(imap-login): process_limit (100) reached, client connections are being dropped",
            None,
        ),
        ("master: Error: service(imap): process_limit (4000) reached", ("limit_reached", "master")),
        (
            "auth-worker(8140): Error: conn unix:auth-worker: sql(ann): Query failed: no such table: mail_login",
            ("database", "auth-worker"),
        ),
        (
            "imap-login: Error: Failed to initialize SSL server context: Can't load SSL certificate",
            ("certificate", "imap-login"),
        ),
        ("imap-login: Error: accept() failed: Too many open files", ("too_many_files", "imap-login")),
        ("imap: Fatal: pool_system_malloc(1024): Out of memory", ("out_of_memory", "imap")),
        ("anvil: Error: nothing we know", ("other", "anvil")),
        ("auth: Panic: file x.c: line 3: assertion failed", ("other", "auth")),
    ],
)
def test_what_is_wrong(rest: str, expected: tuple[str, str] | None) -> None:
    if rest.startswith("imap(ann@example.test)<"):
        assert parse_line(f"{AT} {rest}") is None
    else:
        assert trouble(rest) == expected


@pytest.mark.parametrize(
    "words",
    [
        'user=": Error: No space left on device", method="PLAIN"',
        'user="x\\" pid=1: Fatal: master: service(log): child 1 killed with signal 9", rip=127.0.0.1',
        "msg=ID sent: name=master: Error: service(log): child 8134 killed with signal 9",
    ],
)
def test_a_client_cannot_make_trouble(words: str) -> None:
    assert trouble(f"imap-login: Info: sess=AbC, {words}") is None


@pytest.mark.parametrize(
    "text", ["", "half a line", f"{AT} imap-login", "\x00" * 50, f"{AT} master: Loud: x"]
)
def test_what_is_no_line(text: str) -> None:
    assert parse_line(text) is None


def test_long_words_are_cut_and_put_on_one_line() -> None:
    line = parse_line(f"{AT} imap: Error: " + "a b\t" * 1000)
    assert line is not None
    found = read_trouble(line)
    assert found is not None
    assert len(found.message) == 500
    assert "\t" not in found.message
