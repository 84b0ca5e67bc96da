"""A real Dovecot on PostgreSQL, with names and a password that its configuration must not take apart."""

from __future__ import annotations

import imaplib
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from mailbackend.config import PostgresDatabase
from tests.mailbackend.dovecot_stand import ADDRESS, DEVICES, PASSWORD, PEOPLE, SCHEMA, make_stand, supervised
from tests.postgres import Cluster

pytestmark = pytest.mark.live

ROLE, DATABASE, SECRET = "role #1", "my db=#2", "p  w#x #y =é;&?/:@[]<>`|~ z"


@pytest.fixture
def database() -> Iterator[PostgresDatabase]:
    """A database whose role must give its password."""
    cluster = Cluster.start()
    try:
        with psycopg.connect(cluster.url, autocommit=True) as admin:
            role = sql.Identifier(ROLE)
            admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, SECRET))
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
            rules = cluster.folder / "data" / "pg_hba.conf"
            rules.write_text(f'host all "{ROLE}" 127.0.0.1/32 scram-sha-256\n{rules.read_text()}')
            admin.execute("SELECT pg_reload_conf()")
        with psycopg.connect(cluster.url, dbname=DATABASE) as admin:
            admin.execute(SCHEMA.encode())
            for person in PEOPLE:
                admin.execute("INSERT INTO mail_login VALUES (%s, %s, %s, %s, %s)", person.login_row)
                admin.execute("INSERT INTO mail_user VALUES (%s, %s, %s, %s)", person.user_row)
            for device in DEVICES:
                admin.execute("INSERT INTO mail_device VALUES (%s, %s, %s, %s, %s, %s, %s)", device.row)
            admin.execute(
                sql.SQL("GRANT SELECT ON mail_login, mail_device, mail_user TO {}").format(
                    sql.Identifier(ROLE)
                )
            )
        yield PostgresDatabase("127.0.0.1", cluster.port, DATABASE, ROLE, SECRET)
    finally:
        cluster.stop()


def test_login_with_an_awkward_database_password(database: PostgresDatabase) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(host=database.host, port=database.port, dbname=DATABASE, user=ROLE, password="x")
    with make_stand() as stand:
        stand.write_config(database=database)
        with supervised(stand) as supervisor:
            supervisor.wait_until("RUNNING")
            ports, context = stand.config.ports, stand.trust()
            client = imaplib.IMAP4_SSL("localhost", ports.imaps, ssl_context=context)
            client.login(ADDRESS, PASSWORD)
            assert client.select("INBOX") == ("OK", [b"0"])
            client.logout()
            device = imaplib.IMAP4_SSL("localhost", ports.imaps, ssl_context=context)
            device.login(ADDRESS, DEVICES[0].password)
            device.logout()
            refused = imaplib.IMAP4_SSL("localhost", ports.imaps, ssl_context=context)
            with pytest.raises(imaplib.IMAP4.error, match="suspended"):
                refused.login("off@example.test", PASSWORD)
            refused.shutdown()
            # As a program of an older day sends an accent: in Latin-1, which is no UTF-8.
            wrong = imaplib.IMAP4_SSL("localhost", ports.imaps, ssl_context=context)
            with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
                wrong.authenticate("PLAIN", lambda _challenge: b"\0%s\0\xe9t\xe9" % ADDRESS.encode())
            wrong.shutdown()
