"""The rendered configuration: what it says, and that Dovecot takes it."""

from __future__ import annotations

import sqlite3
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from psycopg import conninfo

from mailbackend.config import MailConfig, Ports, PostgresDatabase, SqliteDatabase
from mailbackend.dovecot.queries import TOKENS_2_3, build_queries
from mailbackend.dovecot.render import Identity, UnsupportedVersion, choose_family, render
from mailbackend.paths import DataDir
from mailbackend.supervisor.process import find_programs
from tests.mailbackend.dovecot_stand import PEOPLE, SCHEMA, service_account, write_certificate

DATA = DataDir.at("/srv/restante")
FOLDER = DATA.configurations / "7"
AS_ROOT = Identity("restante", "restante", as_root=True)
AS_USER = Identity("ann", "staff", as_root=False)
CONFIG = MailConfig(
    mail_host="mail.example.test",
    listen=("127.0.0.1", "::1"),
    ports=Ports(),
    database=SqliteDatabase("/srv/restante/database/restante.sqlite3"),
    certificate="/srv/restante/tls/mail.pem",
    private_key="/srv/restante/tls/mail.key",
    api_key="k" * 43,
    instance="restante-0a1b2c3d",
    mail_root_id="0" * 32,
)
AWKWARD = "p  w#x #y =é;&?/:@[]<>`|~ z"


def rendered(config: MailConfig = CONFIG, identity: Identity = AS_ROOT) -> dict[str, str]:
    return render(config, DATA, "2.3.19.1", identity, FOLDER)


def settings(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


def test_says_what_must_never_change() -> None:
    lines = settings(rendered()["dovecot.conf"])
    for wanted in (
        "base_dir = /srv/restante/dovecot/run",
        "instance_name = restante-0a1b2c3d",
        "listen = 127.0.0.1, ::1",
        "ssl = required",
        "ssl_min_protocol = TLSv1.2",
        "ssl_cert = </srv/restante/dovecot/conf/7/certificate.pem",
        "ssl_key = </srv/restante/dovecot/conf/7/key.pem",
        "disable_plaintext_auth = yes",
        "auth_cache_size = 0",
        "pop3_uidl_format = %g",
        "pop3_no_flag_updates = yes",
        "mail_always_cache_fields = date.save",
        "mailbox_list_index_include_inbox = yes",
        "doveadm_allowed_commands = who,kick,quota get",
    ):
        assert wanted in lines, wanted


def test_doveadm_is_never_root() -> None:
    text = rendered()["dovecot.conf"]
    service = text[text.index("service doveadm {") :]
    assert "user = restante" in service[: service.index("unix_listener")]


def test_as_root_dovecot_keeps_its_own_users_and_chroots() -> None:
    lines = settings(rendered(identity=AS_ROOT)["dovecot.conf"])
    assert "chroot =" not in lines
    assert not [line for line in lines if line.startswith("default_")]


def test_as_a_user_everything_is_that_user() -> None:
    lines = settings(rendered(identity=AS_USER)["dovecot.conf"])
    assert lines.count("chroot =") == 5
    assert {
        "default_internal_user = ann",
        "default_internal_group = staff",
        "default_login_user = ann",
    } <= set(lines)


@pytest.mark.parametrize(
    ("ports", "protocols"),
    [
        (Ports(), "imap pop3 lmtp"),
        (Ports(imap=0, imaps=1993), "imap pop3 lmtp"),
        (Ports(pop3=0, pop3s=0), "imap lmtp"),
        (Ports(imap=0, imaps=0), "pop3 lmtp"),
        (Ports(0, 0, 0, 0), "lmtp"),
    ],
)
def test_a_protocol_without_a_port_is_off(ports: Ports, protocols: str) -> None:
    lines = settings(rendered(replace(CONFIG, ports=ports))["dovecot.conf"])
    assert f"protocols = {protocols}" in lines


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("2.2.36", r"2\.2\.36 is too old: install 2\.3\.13 .*dovecot-core"),
        ("2.3.12", r"2\.3\.12 is too old"),
        ("2.3.4.1 (abc)", "too old"),
        ("2.5.0", r"not supported: install version 2\.3"),
        ("3.0", "not supported"),
        ("Dovecot!", "says nothing"),
        ("", "says nothing"),
    ],
)
def test_other_versions_are_refused_with_a_sentence(version: str, message: str) -> None:
    with pytest.raises(UnsupportedVersion, match=message):
        choose_family(version)


def test_postgresql_values_arrive_whole() -> None:
    database = PostgresDatabase(host="/run/a b", port=5433, name="my db=#2", user="role #1", password=AWKWARD)
    text = rendered(replace(CONFIG, database=database))["sql.conf.ext"]
    connect = next(line for line in text.splitlines() if line.startswith("connect = ")).partition(" = ")[2]
    assert " " not in connect
    assert "#" not in connect
    assert conninfo.conninfo_to_dict(connect) == {
        "host": "/run/a b",
        "port": "5433",
        "dbname": "my db=#2",
        "user": "role #1",
        "password": AWKWARD,
    }


def ask_database(query: str, user: str, protocol: str = "imap") -> dict[str, object]:
    """Put the values in as Dovecot does, and return the row without its absent fields."""
    text = query.replace("%Lu", user.replace("'", "''")).replace("%Ls", protocol).replace("%%", "%")
    database = sqlite3.connect(":memory:")
    database.row_factory = sqlite3.Row
    database.executescript(SCHEMA)
    database.executemany("INSERT INTO mail_login VALUES (?, ?, ?, ?, ?)", [p.login_row for p in PEOPLE])
    database.executemany("INSERT INTO mail_user VALUES (?, ?, ?, ?)", [p.user_row for p in PEOPLE])
    row = database.execute(text).fetchone()
    return {} if row is None else {key: row[key] for key in row.keys() if row[key] is not None}  # noqa: SIM118


QUERIES = build_queries(TOKENS_2_3, Path("/srv/mail"))


@pytest.mark.parametrize(
    ("user", "protocol", "reason"),
    [
        ("ann@example.test", "imap", None),
        ("ann@example.test", "pop3", None),
        ("nopop@example.test", "imap", None),
        ("nopop@example.test", "pop3", "POP is switched off for this mailbox."),
        ("nopop@example.test", "lmtp", "This way of access is switched off for this mailbox."),
        ("off@example.test", "imap", "This mailbox is suspended. Please contact your provider."),
        ("off@example.test", "pop3", "This mailbox is suspended. Please contact your provider."),
    ],
)
def test_who_may_log_in(user: str, protocol: str, reason: str | None) -> None:
    row = ask_database(QUERIES.password, user, protocol)
    assert row["user"] == user
    assert row["cred"] == "main"
    assert row.get("reason") == reason
    assert row.get("nologin") == ("Y" if reason else None)


@pytest.mark.parametrize("user", ["nobody@example.test", "' OR 1=1 --", "%", "ann@example.test' --"])
def test_nobody_else_is_found(user: str) -> None:
    assert ask_database(QUERIES.password, user) == {}
    assert ask_database(QUERIES.user, user) == {}


def test_the_limit_is_absent_when_there_is_none() -> None:
    assert ask_database(QUERIES.user, "ann@example.test") == {
        "home": "/srv/mail/example.test/ann-1",
        "pop3_delete_type": "flag",
    }
    assert ask_database(QUERIES.user, "ben@example.test")["quota_rule"] == "*:bytes=100000"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_certificate(tmp_path / "certificate.pem", tmp_path / "key.pem")
    return tmp_path


@pytest.mark.live
@pytest.mark.parametrize("as_root", [True, False])
@pytest.mark.parametrize("ports", [Ports(), Ports(pop3=0, pop3s=0), Ports(imap=0, imaps=0)])
@pytest.mark.parametrize(
    "database",
    [SqliteDatabase("/srv/db.sqlite3"), PostgresDatabase("db.test", 5432, "my db", "role #1", AWKWARD)],
)
def test_dovecot_takes_it(
    folder: Path, as_root: bool, ports: Ports, database: SqliteDatabase | PostgresDatabase
) -> None:
    programs = find_programs("", as_root=False)
    identity = Identity(service_account(), service_account(), as_root=as_root)
    config = replace(CONFIG, ports=ports, database=database)
    for name, text in render(config, DATA, programs.version, identity, folder).items():
        (folder / name).write_text(text)
    command = [str(programs.doveconf), "-nx", "-c", str(folder / "dovecot.conf")]
    run = subprocess.run(command, capture_output=True, check=False, text=True)
    assert run.returncode == 0, run.stderr
