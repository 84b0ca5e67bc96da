"""The SQL views that Dovecot reads, and nothing else: the tables may change behind them.

`mail_login` and `mail_device` say who may log in, by the main password and by those of devices; `mail_user` who
receives mail and where it lies. A suspended mailbox is in the last and marked in the others; a deleted one is in none,
so that its mail is answered 550.
"""

from __future__ import annotations

from django.db import connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import ProgrammingError
from django.utils.translation import gettext as _
from psycopg import sql

from panel.core.errors import Problem

_WHERE_IT_EXISTS = """  JOIN addresses_domain d ON d.id = m.domain_id
  JOIN accounts_customer c ON c.id = d.customer_id
  WHERE m.provisioned_at IS NOT NULL AND m.deleted_at IS NULL AND d.deleted_at IS NULL
"""

_ACTIVE = "m.suspended_at IS NULL AND d.suspended_at IS NULL AND c.suspended_at IS NULL"

_DEVICE_ACTIVE = "v.revoked_at IS NULL AND (v.expires_at IS NULL OR v.expires_at > CURRENT_TIMESTAMP)"

_PROTOCOLS = (
    """'|' || CASE WHEN {imap} THEN 'imap|' ELSE '' END || CASE WHEN {pop3} THEN 'pop3|' ELSE '' END"""
)

#: What becomes of messages that POP deletes: the mailbox says, or its domain, or the customer, or the platform, or what
#: is built in (panel.addresses.inherited). One row more is read by its key, and none that was not read before.
_POP_DELETES = """COALESCE(NULLIF(m.pop_deletes, ''), NULLIF(d.pop_deletes, ''), NULLIF(c.pop_deletes, ''),
    NULLIF((SELECT i.pop_deletes FROM core_installation i WHERE i.id = 1), ''), 'keep_days')"""

#: The same text serves SQLite and PostgreSQL. NULL means "absent" to Dovecot; an empty text would mean "yes".
VIEWS = {
    "mail_login": f"""
SELECT m.address AS address, m.password AS password,
  {_PROTOCOLS.format(imap="m.imap AND d.imap", pop3="m.pop3 AND d.pop3")} AS protocols,
  CASE WHEN {_ACTIVE} AND NOT m.device_required THEN 1 ELSE 0 END AS active,
  CASE WHEN NOT ({_ACTIVE}) THEN 'suspended' WHEN m.device_required THEN 'device_required' ELSE NULL END AS reason
  FROM addresses_mailbox m
{_WHERE_IT_EXISTS}""",  # noqa: S608 - all parts are ours
    # CURRENT_TIMESTAMP is UTC in SQLite, in the form in which Django stores times.
    "mail_device": f"""
SELECT m.address AS address, v.secret_hash AS secret_hash, v.id AS id, COALESCE(v.slot, 0) AS slot,
  {_PROTOCOLS.format(imap="v.imap AND m.imap AND d.imap", pop3="v.pop3 AND m.pop3 AND d.pop3")} AS protocols,
  CASE WHEN {_ACTIVE} AND {_DEVICE_ACTIVE} THEN 1 ELSE 0 END AS active,
  CASE WHEN NOT ({_ACTIVE}) THEN 'suspended' WHEN v.revoked_at IS NOT NULL THEN 'device_revoked'
    WHEN v.expires_at <= CURRENT_TIMESTAMP THEN 'device_expired' ELSE NULL END AS reason
  FROM addresses_devicepassword v JOIN addresses_mailbox m ON m.id = v.mailbox_id
{_WHERE_IT_EXISTS}""",  # noqa: S608 - all parts are ours
    "mail_user": f"""
SELECT m.address AS address, m.home AS home, m.quota_bytes AS quota_bytes,
  CASE WHEN {_POP_DELETES} = 'delete' THEN 'expunge' ELSE 'flag' END AS pop3_delete_type
  FROM addresses_mailbox m
{_WHERE_IT_EXISTS}""",  # noqa: S608 - all parts are ours
}


def create_views() -> None:
    """Make the views again, in one transaction, and let Dovecot's role read them (PostgreSQL)."""
    with transaction.atomic(), connection.cursor() as cursor:
        for name, select in VIEWS.items():
            cursor.execute(f"DROP VIEW IF EXISTS {name}")
            cursor.execute(f"CREATE VIEW {name} AS {select}")
        if connection.vendor == "postgresql":
            _let_dovecot_read()


def drop_views() -> None:
    """Take the views away, so that the tables behind them can change: SQLite fails "error in view" otherwise."""
    with transaction.atomic(), connection.cursor() as cursor:
        for name in VIEWS:
            cursor.execute(f"DROP VIEW IF EXISTS {name}")


def missing_views(using: BaseDatabaseWrapper = connection) -> list[str]:
    """Return the views that are not there."""
    with using.cursor() as cursor:
        present = {table.name for table in using.introspection.get_table_list(cursor)}
    return [name for name in VIEWS if name not in present]


def create_dovecot_role(name: str, password: str) -> None:
    """Make Dovecot's own PostgreSQL role, or set its password; it may read the views and nothing else.

    Raises:
        Problem: if the panel's role may not make roles.
    """
    role, secret = sql.Identifier(name), sql.Literal(password)
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name])
        # Only a superuser may say NOSUPERUSER of a role that is there already, and a new one has no rights anyway.
        verb = sql.SQL("ALTER" if cursor.fetchone() else "CREATE")
        statement = sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(verb, role, secret)
        try:
            cursor.execute(statement.as_string(cursor.connection))
        except ProgrammingError as err:
            owner = connection.settings_dict["USER"]
            raise Problem(
                _(
                    "The database role %(owner)s may not make the role %(role)s that Dovecot reads with. "
                    'As the database\'s administrator: ALTER ROLE "%(owner)s" CREATEROLE; then start again.'
                )
                % {"owner": owner, "role": name}
            ) from err


def _let_dovecot_read() -> None:
    from panel.core.mail import dovecot_role

    name, _password = dovecot_role()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name])
        if not cursor.fetchone():
            return
        role = sql.Identifier(name)
        grants = [sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(role)]
        grants += [sql.SQL("GRANT SELECT ON {} TO {}").format(sql.Identifier(view), role) for view in VIEWS]
        for grant in grants:
            cursor.execute(grant.as_string(cursor.connection))
