"""The rendered configuration: what it says, and that Dovecot takes it."""

from __future__ import annotations

import re
import sqlite3
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from psycopg import conninfo

from mailbackend.config import MailConfig, Ports, PostgresDatabase, SqliteDatabase
from mailbackend.dovecot.queries import build_queries
from mailbackend.dovecot.render import FAMILIES, Identity, UnsupportedVersion, choose_family, render
from mailbackend.passwords import hash_device_password
from mailbackend.paths import DataDir
from mailbackend.supervisor.process import find_programs
from tests.mailbackend.dovecot_stand import (
    DEVICES,
    PEOPLE,
    PEPPER,
    SCHEMA,
    service_account,
    write_certificate,
)

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
    pepper=PEPPER,
    instance="restante-0a1b2c3d",
    mail_root_id="0" * 32,
)
AWKWARD = "p  w#x #y =é;&?/:@[]<>`|~ z"

#: What Debian 12 and Debian 13 have, as `dovecot --version` prints it.
V2_3, V2_4 = "2.3.19.1", "2.4.1-4"
EACH_VERSION = pytest.mark.parametrize("version", [V2_3, V2_4])

#: What both versions say in the same words.
EVER = [
    "base_dir = /srv/restante/dovecot/run",
    "instance_name = restante-0a1b2c3d",
    "listen = 127.0.0.1, ::1",
    "first_valid_uid = 1",
    "ssl = required",
    "ssl_min_protocol = TLSv1.2",
    "auth_cache_size = 0",
    "auth_failure_delay = 2 secs",
    "mail_max_userip_connections = 50",
    "pop3_no_flag_updates = yes",
    "pop3_delete_type = flag",
    'pop3_deleted_flag = "$PopMain"',
    "mail_always_cache_fields = date.save",
    "mailbox_list_index_include_inbox = yes",
    "recipient_delimiter = +",
    "prefix = .EXPUNGED/",
    "lazy_expunge_only_last_instance = yes",
    "mail_log_fields = uid box",
    "maildir_copy_with_hardlinks = no",
]
#: What each says in its own.
OWN = {
    V2_3: [
        "ssl_cert = </srv/restante/dovecot/conf/7/certificate.pem",
        "ssl_key = </srv/restante/dovecot/conf/7/key.pem",
        "disable_plaintext_auth = yes",
        "pop3_uidl_format = %g",
        "doveadm_allowed_commands = who,kick,quota get,force-resync,mailbox status,mailbox list,mailbox create,"
        "fetch,flags add,flags remove,move,expunge",
        "quota_rule = .EXPUNGED/*:ignore",
        "lazy_expunge = .EXPUNGED/all",
        "acl = vfile:/srv/restante/dovecot/acl",
        "service_count = 0",
        "mail_location = maildir:~/Maildir",
        "quota_grace = 0%%",
    ],
    V2_4: [
        "ssl_server_cert_file = /srv/restante/dovecot/conf/7/certificate.pem",
        "ssl_server_key_file = /srv/restante/dovecot/conf/7/key.pem",
        "auth_allow_cleartext = no",
        "pop3_uidl_format = %{guid}",
        '"quota get" = yes',
        "force-resync = yes",
        '"mailbox status" = yes',
        "fetch = yes",
        "expunge = yes",
        "lazy_expunge_mailbox = .EXPUNGED/all",
        "quota_ignore = yes",
        "restart_request_count = unlimited",
        "mail_driver = maildir",
        "mail_path = ~/Maildir",
        "mailbox_list_layout = maildir++",
        "storage_grace = 0",
        "lmtp_user_concurrency_limit = unlimited",
        "sqlite_path = /srv/restante/database/restante.sqlite3",
    ],
}


def rendered(
    config: MailConfig = CONFIG, identity: Identity = AS_ROOT, version: str = V2_3
) -> dict[str, str]:
    return render(config, DATA, version, identity, FOLDER)


def settings(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


@EACH_VERSION
def test_says_what_must_never_change(version: str) -> None:
    lines = settings(rendered(version=version)["dovecot.conf"])
    for wanted in EVER + OWN[version]:
        assert wanted in lines, wanted


def test_2_4_begins_with_its_version() -> None:
    lines = settings(rendered(version=V2_4)["dovecot.conf"])
    assert lines[:2] == ["dovecot_config_version = 2.4.0", "dovecot_storage_version = 2.4.0"]


@EACH_VERSION
def test_doveadm_is_never_root(version: str) -> None:
    text = rendered(version=version)["dovecot.conf"]
    service = text[text.index("service doveadm {") :]
    assert "user = restante" in service[: service.index("unix_listener")]


@EACH_VERSION
def test_as_root_dovecot_keeps_its_own_users_and_chroots(version: str) -> None:
    lines = settings(rendered(identity=AS_ROOT, version=version)["dovecot.conf"])
    assert "chroot =" not in lines
    assert not [line for line in lines if line.startswith("default_")]


@pytest.mark.parametrize(("version", "chroots"), [(V2_3, 5), (V2_4, 2)])
def test_as_a_user_everything_is_that_user(version: str, chroots: int) -> None:
    lines = settings(rendered(identity=AS_USER, version=version)["dovecot.conf"])
    assert lines.count("chroot =") == chroots
    assert {
        "default_internal_user = ann",
        "default_internal_group = staff",
        "default_login_user = ann",
    } <= set(lines)


def field_names(line: str) -> list[str]:
    """Return the names in a line of the log's formats, in their order."""
    return re.findall(r"(\w+)=(?=[\"%\\])", line)


@pytest.mark.parametrize(
    "setting", ["login_log_format_elements", "mail_log_prefix", "imap_logout_format", "pop3_logout_format"]
)
def test_both_versions_log_the_same_fields_in_the_same_order(setting: str) -> None:
    old, new = (
        next(line for line in settings(rendered(version=version)["dovecot.conf"]) if line.startswith(setting))
        for version in (V2_3, V2_4)
    )
    assert field_names(old) == field_names(new)
    assert len(field_names(old)) >= 3


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
@EACH_VERSION
def test_a_protocol_without_a_port_is_off(version: str, ports: Ports, protocols: str) -> None:
    lines = settings(rendered(replace(CONFIG, ports=ports), version=version)["dovecot.conf"])
    assert f"protocols = {protocols}" in lines


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("2.2.36", r"2\.2\.36 is too old: install 2\.3\.13 .*dovecot-core"),
        ("2.3.12", r"2\.3\.12 is too old"),
        ("2.3.4.1 (abc)", "too old"),
        ("2.4.0", r"2\.4\.0 is too old: install 2\.3\.13 or a later 2\.3, or 2\.4\.1 or a later 2\.4"),
        (
            "2.5.0",
            r"not supported: install 2\.3\.13 or a later 2\.3, or 2\.4\.1 or a later 2\.4 \(dovecot-core",
        ),
        ("3.0", "not supported"),
        ("Dovecot!", "says nothing"),
        ("", "says nothing"),
    ],
)
def test_other_versions_are_refused_with_a_sentence(version: str, message: str) -> None:
    with pytest.raises(UnsupportedVersion, match=message):
        choose_family(version)


@pytest.mark.parametrize(
    ("version", "folder"),
    [
        ("2.3.13", "conf-2.3"),
        ("2.3.21.1 (d492236fa0)", "conf-2.3"),
        ("2.4.1", "conf-2.4"),
        ("2.4.1-4 (7d8c0e5759)", "conf-2.4"),
        ("2.4.12", "conf-2.4"),
    ],
)
def test_the_version_chooses_the_templates(version: str, folder: str) -> None:
    assert choose_family(version).folder == folder


AWKWARD_DATABASE = PostgresDatabase("/run/a b", 5433, "my db=#2", "role #1", AWKWARD)


def test_postgresql_values_arrive_whole_in_2_4() -> None:
    lines = settings(rendered(replace(CONFIG, database=AWKWARD_DATABASE), version=V2_4)["dovecot.conf"])
    start = lines.index('pgsql "/run/a b" {')
    assert lines[start + 1 : start + 6] == [
        "parameters {",
        "port = 5433",
        'dbname = "my db=#2"',
        'user = "role #1"',
        f'password = "{AWKWARD}"',
    ]


def test_postgresql_values_arrive_whole_in_2_3() -> None:
    text = rendered(replace(CONFIG, database=AWKWARD_DATABASE))["sql.conf.ext"]
    connect = next(line for line in text.splitlines() if line.startswith("connect = ")).partition(" = ")[2]
    assert " " not in connect
    assert "#" not in connect
    assert conninfo.conninfo_to_dict(connect) == {
        "host": "/run/a b",
        "port": "5433",
        "dbname": "my db=#2",
        "user": "role #1",
        "password": AWKWARD,
        "client_encoding": "LATIN1",
    }


def ask_database(
    query: str, user: str, protocol: str = "imap", *, password: str = "x", slot: str = ""
) -> dict[str, object]:
    """Put the values in as Dovecot does, and return the row without its absent fields."""
    digest = hash_device_password(password, PEPPER)
    for token in (
        f"%{{sha256;salt={PEPPER}:password}}",
        f"%{{password | sha256(salt='{PEPPER}') | hexlify}}",
    ):
        query = query.replace(token, digest)
    for token in ("%{passdb:slot}", "%{passdb:slot | default('')}"):
        query = query.replace(token, slot)
    text = query.replace("%Lu", "%{user | lower}").replace("%Ls", "%{protocol | lower}").replace("%%", "%")
    text = text.replace("%{user | lower}", user.replace("'", "''")).replace("%{protocol | lower}", protocol)
    assert "%{" not in text
    database = sqlite3.connect(":memory:")
    database.row_factory = sqlite3.Row
    database.executescript(SCHEMA)
    database.executemany("INSERT INTO mail_login VALUES (?, ?, ?, ?, ?)", [p.login_row for p in PEOPLE])
    database.executemany("INSERT INTO mail_device VALUES (?, ?, ?, ?, ?, ?, ?)", [d.row for d in DEVICES])
    database.executemany("INSERT INTO mail_user VALUES (?, ?, ?, ?)", [p.user_row for p in PEOPLE])
    row = database.execute(text).fetchone()
    return {} if row is None else {key: row[key] for key in row.keys() if row[key] is not None}  # noqa: SIM118


QUERIES = {
    version: build_queries(FAMILIES[numbers].tokens, Path("/srv/mail"), PEPPER)
    for version, numbers in ((V2_3, (2, 3)), (V2_4, (2, 4)))
}


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
@EACH_VERSION
def test_who_may_log_in(version: str, user: str, protocol: str, reason: str | None) -> None:
    row = ask_database(QUERIES[version].password, user, protocol)
    assert row["user"] == user
    assert row["cred"] == "main"
    assert row.get("reason") == reason
    assert row.get("nologin") == ("Y" if reason else None)


@pytest.mark.parametrize(
    ("password", "expected"),
    [
        ("k7wqd-9xhmt-pc", {"cred": "device:11", "nopassword": "Y", "slot": 1}),
        ("k7wqd-9xhmt-shared", {"cred": "device:13", "nopassword": "Y"}),
    ],
)
@EACH_VERSION
def test_a_device_password_is_found_before_the_main_one(
    version: str, password: str, expected: dict[str, object]
) -> None:
    row = ask_database(QUERIES[version].password, "ann@example.test", password=password)
    assert row == {"user": "ann@example.test", **expected}
    other = ask_database(QUERIES[version].password, "ben@example.test", password=password)
    assert other["cred"] == "main"


@pytest.mark.parametrize(
    ("slot", "flag"), [("", None), ("0", None), ("1", "$Pop1"), ("7", "$Pop7"), ("8", None)]
)
@EACH_VERSION
def test_the_mark_is_that_of_the_slot(version: str, slot: str, flag: str | None) -> None:
    row = ask_database(QUERIES[version].user, "ann@example.test", slot=slot)
    assert row.get("pop3_deleted_flag") == flag


@pytest.mark.parametrize("user", ["nobody@example.test", "' OR 1=1 --", "%", "ann@example.test' --"])
@EACH_VERSION
def test_nobody_else_is_found(version: str, user: str) -> None:
    assert ask_database(QUERIES[version].password, user) == {}
    assert ask_database(QUERIES[version].user, user) == {}


@pytest.mark.parametrize(
    ("version", "field", "limit"),
    [(V2_3, "quota_rule2", "*:bytes=100000"), (V2_4, "quota_storage_size", "100000B")],
)
def test_the_limit_is_absent_when_there_is_none(version: str, field: str, limit: str) -> None:
    assert ask_database(QUERIES[version].user, "ann@example.test") == {
        "home": "/srv/mail/example.test/ann-1",
        "pop3_delete_type": "flag",
    }
    assert ask_database(QUERIES[version].user, "ben@example.test")[field] == limit


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
    command = [str(programs.doveconf), "-nxP", "-c", str(folder / "dovecot.conf")]
    run = subprocess.run(command, capture_output=True, check=False, text=True)
    assert run.returncode == 0, run.stderr
    # A complaint of what is old or unknown comes before the settings, as comments.
    assert "Warning" not in run.stderr
    assert "Obsolete" not in run.stderr
    if isinstance(database, PostgresDatabase) and programs.version.startswith("2.4"):
        assert f'password = "{AWKWARD}"' in run.stdout
