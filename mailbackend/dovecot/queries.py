"""The SQL that Dovecot runs on the panel's views, written once for every Dovecot version.

The views are the contract with the panel:

- `mail_login(address, password, protocols, active, reason)`: who may log in. `password` has its scheme in
  front, `protocols` looks like `|imap|pop3|`, `active` is 1 or 0, `reason` is NULL or a code such as
  `suspended`.
- `mail_user(address, home, quota_bytes, pop3_delete_type)`: who has a mailbox. `home` is relative to the mail
  root, `quota_bytes` is NULL for no limit.

Both hold addresses in lower-case ASCII. The text is plain SQL that SQLite and PostgreSQL both take. In a row
for Dovecot NULL means "no such field", and an empty text means "yes": hence NULL, never ''.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

#: What a refused person is told, by the code in `mail_login.reason`.
INACTIVE_REASONS = {"suspended": "This mailbox is suspended. Please contact your provider."}
#: For a code that is not in the table.
INACTIVE_OTHERWISE = "This mailbox cannot be used at the moment. Please contact your provider."
#: What is told to who comes by a protocol that is switched off.
PROTOCOL_OFF = {
    "imap": "IMAP is switched off for this mailbox.",
    "pop3": "POP is switched off for this mailbox.",
}
#: For a service that is neither.
PROTOCOL_OFF_OTHERWISE = "This way of access is switched off for this mailbox."


@dataclass(frozen=True)
class Tokens:
    """How one Dovecot version writes what it puts into a query, and what it calls the fields of the answer.

    Attributes:
        user: the login name, lower case.
        protocol: the service that asks, lower case.
        percent: one literal percent sign.
        quota_field: the userdb field that limits a mailbox.
        quota_before, quota_after: what stands around the number of bytes in that field.
    """

    user: str
    protocol: str
    percent: str
    quota_field: str
    quota_before: str
    quota_after: str


#: The tokens of Dovecot 2.3.
TOKENS_2_3 = Tokens(
    user="%Lu",
    protocol="%Ls",
    percent="%%",
    # Numbered after the rule of the configuration: of these settings Dovecot reads no further than the first gap.
    quota_field="quota_rule2",
    quota_before="*:bytes=",
    quota_after="",
)

#: The tokens of Dovecot 2.4. A percent sign that no brace follows stands for itself.
TOKENS_2_4 = Tokens(
    user="%{user | lower}",
    protocol="%{protocol | lower}",
    percent="%",
    quota_field="quota_storage_size",
    quota_before="",
    quota_after="B",
)


@dataclass(frozen=True)
class Queries:
    """The three queries, each on one line."""

    password: str
    user: str
    iterate: str


def build_queries(tokens: Tokens, mail_root: Path) -> Queries:
    """Return the queries in the words of one Dovecot version.

    Args:
        tokens: the version's words.
        mail_root: the folder that `mail_user.home` is relative to; a path of plain characters (`check_path`).
    """
    return Queries(
        password=_password_query(tokens),
        user=_user_query(tokens, mail_root),
        iterate="SELECT address AS user FROM mail_user",
    )


def _password_query(tokens: Tokens) -> str:
    percent = tokens.percent
    allowed = f"protocols LIKE '{percent}|{tokens.protocol}|{percent}'"
    inactive = _choose("reason", INACTIVE_REASONS, INACTIVE_OTHERWISE)
    switched_off = _choose(f"'{tokens.protocol}'", PROTOCOL_OFF, PROTOCOL_OFF_OTHERWISE)
    columns = (
        "address AS user, password, 'main' AS cred, "
        f"CASE WHEN active = 1 AND {allowed} THEN NULL ELSE 'Y' END AS nologin, "
        f"CASE WHEN active <> 1 THEN COALESCE(reason, 'suspended') WHEN {allowed} THEN NULL "
        "ELSE 'protocol_off' END AS refused, "
        f"CASE WHEN active <> 1 THEN {inactive} WHEN {allowed} THEN NULL ELSE {switched_off} END AS reason"
    )
    return _select(columns, "mail_login", tokens)


def _user_query(tokens: Tokens, mail_root: Path) -> str:
    quota = f"'{tokens.quota_before}' || quota_bytes || '{tokens.quota_after}'"
    columns = (
        f"'{mail_root}/' || home AS home, "
        f"CASE WHEN quota_bytes IS NULL THEN NULL ELSE {quota} END AS {tokens.quota_field}, "
        "pop3_delete_type"
    )
    return _select(columns, "mail_user", tokens)


def _select(columns: str, view: str, tokens: Tokens) -> str:
    # Not an injection: all parts are ours; Dovecot puts the name in at the token, and escapes it.
    return f"SELECT {columns} FROM {view} WHERE address = '{tokens.user}'"  # noqa: S608


def _choose(subject: str, table: dict[str, str], otherwise: str) -> str:
    """Return a CASE that turns `subject` into a text. The texts hold no quote and no percent sign."""
    cases = " ".join(f"WHEN '{code}' THEN '{text}'" for code, text in table.items())
    return f"CASE {subject} {cases} ELSE '{otherwise}' END"
