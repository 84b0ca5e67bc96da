"""The SQL that Dovecot runs on the panel's views, written once for every Dovecot version.

The views are the contract with the panel:

- `mail_login(address, password, protocols, active, reason)`: who may log in by the main password. `password` has its
  scheme in front, `protocols` looks like `|imap|pop3|`, `active` is 1 or 0, `reason` is NULL or a code such as
  `suspended`.
- `mail_device(address, secret_hash, id, slot, protocols, active, reason)`: who may log in by a device password, which
  `secret_hash` is of (`passwords.hash_device_password`). `slot` is the number of its own POP mark `$Pop1` to `$Pop7`,
  or 0 for the mark of the main password. One that was revoked or has expired stays, with its reason.
- `mail_user(address, home, quota_bytes, pop3_delete_type)`: who has a mailbox. `home` is relative to the mail
  root, `quota_bytes` is NULL for no limit.

Both hold addresses in lower-case ASCII. The text is plain SQL that SQLite and PostgreSQL both take. In a row
for Dovecot NULL means "no such field", and an empty text means "yes": hence NULL, never ''.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mailbackend.maildir import POP_KEYWORDS

#: What a refused person is told, by the code in `reason`.
INACTIVE_REASONS = {
    "suspended": "This mailbox is suspended. Please contact your provider.",
    "device_required": "This mailbox takes device passwords only. Make one for this device in the panel.",
    "device_revoked": "This device password was revoked. Make a new one for this device in the panel.",
    "device_expired": "This device password has expired. Make a new one for this device in the panel.",
}
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
        digest: the hash of pepper and password, in hexadecimal, with `PEPPER` where the pepper belongs.
        slot: what the password's row said of its POP mark; empty in a lookup that no password went before.
        percent: one literal percent sign.
        quota_field: the userdb field that limits a mailbox.
        quota_before, quota_after: what stands around the number of bytes in that field.
    """

    user: str
    protocol: str
    digest: str
    slot: str
    percent: str
    quota_field: str
    quota_before: str
    quota_after: str


#: The tokens of Dovecot 2.3.
TOKENS_2_3 = Tokens(
    user="%Lu",
    protocol="%Ls",
    digest="%{sha256;salt=PEPPER:password}",
    slot="%{passdb:slot}",
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
    digest="%{password | sha256(salt='PEPPER') | hexlify}",
    slot="%{passdb:slot | default('')}",
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


def build_queries(tokens: Tokens, mail_root: Path, pepper: str) -> Queries:
    """Return the queries in the words of one Dovecot version.

    Args:
        tokens: the version's words.
        mail_root: the folder that `mail_user.home` is relative to; a path of plain characters (`check_path`).
        pepper: of device passwords; letters, digits, - and _ only.
    """
    return Queries(
        password=_password_query(tokens, pepper),
        user=_user_query(tokens, mail_root),
        iterate="SELECT address AS user FROM mail_user",
    )


def _password_query(tokens: Tokens, pepper: str) -> str:
    """The row of the device password that this is, else that of the main password.

    One query and no second passdb before: each login asks once, and a wrong password is refused once. A device
    password is found by mailbox and hash, so that its row is the proof, and no other password is asked for.
    """
    percent = tokens.percent
    digest = tokens.digest.replace("PEPPER", pepper)
    allowed = f"protocols LIKE '{percent}|{tokens.protocol}|{percent}'"
    inactive = _choose("reason", INACTIVE_REASONS, INACTIVE_OTHERWISE)
    switched_off = _choose(f"'{tokens.protocol}'", PROTOCOL_OFF, PROTOCOL_OFF_OTHERWISE)
    device = _select(
        "1 AS turn, address, NULL AS password, 'Y' AS nopassword, 'device:' || id AS cred, "
        "NULLIF(slot, 0) AS slot, protocols, active, reason",
        "mail_device",
        tokens,
    )
    main = _select(
        "2 AS turn, address, password, NULL AS nopassword, 'main' AS cred, NULL AS slot, protocols, active, reason",
        "mail_login",
        tokens,
    )
    columns = (
        "address AS user, password, nopassword, cred, slot, "
        f"CASE WHEN active = 1 AND {allowed} THEN NULL ELSE 'Y' END AS nologin, "
        f"CASE WHEN active <> 1 THEN COALESCE(reason, 'suspended') WHEN {allowed} THEN NULL "
        "ELSE 'protocol_off' END AS refused, "
        f"CASE WHEN active <> 1 THEN {inactive} WHEN {allowed} THEN NULL ELSE {switched_off} END AS reason"
    )
    # All parts are ours; Dovecot makes the hash, which is hexadecimal.
    found = f"{device} AND secret_hash = '{digest}' UNION ALL {main}"
    return f"SELECT {columns} FROM ({found}) AS found ORDER BY turn LIMIT 1"  # noqa: S608


def _user_query(tokens: Tokens, mail_root: Path) -> str:
    quota = f"'{tokens.quota_before}' || quota_bytes || '{tokens.quota_after}'"
    slots = ", ".join(f"'{slot}'" for slot in range(1, len(POP_KEYWORDS)))
    columns = (
        f"'{mail_root}/' || home AS home, "
        f"CASE WHEN quota_bytes IS NULL THEN NULL ELSE {quota} END AS {tokens.quota_field}, "
        "pop3_delete_type, "
        f"CASE WHEN '{tokens.slot}' IN ({slots}) THEN '$Pop{tokens.slot}' ELSE NULL END AS pop3_deleted_flag"
    )
    return _select(columns, "mail_user", tokens)


def _select(columns: str, view: str, tokens: Tokens) -> str:
    # Not an injection: all parts are ours; Dovecot puts the name in at the token, and escapes it.
    return f"SELECT {columns} FROM {view} WHERE address = '{tokens.user}'"  # noqa: S608


def _choose(subject: str, table: dict[str, str], otherwise: str) -> str:
    """Return a CASE that turns `subject` into a text. The texts hold no quote and no percent sign."""
    cases = " ".join(f"WHEN '{code}' THEN '{text}'" for code, text in table.items())
    return f"CASE {subject} {cases} ELSE '{otherwise}' END"
