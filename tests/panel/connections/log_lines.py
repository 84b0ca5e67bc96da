"""Lines as Dovecot 2.3 writes them, of connections that tests make up."""

from __future__ import annotations

import json
from datetime import datetime


def at(moment: datetime) -> str:
    """A line's time."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f+0000")


def fields(session: str, address: str, *, ip: str = "192.0.2.7", port: int = 50_000) -> str:
    """What a login process says of a connection, up to what is only known later."""
    return f'sess={session}, user="{address}", orig="{address}", method="PLAIN", rip={ip}, rport={port}, lport=993, '


_TLS = 'tls="TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)"'


def begun(
    when: datetime,
    session: str,
    address: str,
    *,
    protocol: str = "imap",
    pid: int = 77,
    cred: str = "main",
    **of: object,
) -> str:
    """Somebody signed in."""
    known = fields(session, address, **of)  # type: ignore[arg-type]
    return (
        f'{at(when)} {protocol}-login: Info: {known}mpid={pid}, sec="TLS", {_TLS}, cred="{cred}", refused="", '
        'sni="localhost", msg=Login\n'
    )


def ended(
    when: datetime, session: str, address: str, *, why: str = "Logged out", protocol: str = "imap"
) -> str:
    """A session ended: 3 messages read, 2 deleted, and over IMAP 1 expunged."""
    counts = (
        "in=148 out=1198 deleted=2 expunged=1 trashed=0 appended=0 autoexpunged=0 hdr=0/0 body=3/900 rip=192.0.2.7"
        if protocol == "imap"
        else "in=148 out=1198 top=0/0 retr=3/900 del=2/600 msgs=9 size=2000 rip=192.0.2.7"
    )
    return (
        f'{at(when)} {protocol}: sess={session} user="{address}" pid=77: Info: Disconnected: {why} {counts}\n'
    )


def refused(
    when: datetime, session: str, address: str, *, result: str = "password_mismatch", protocol: str = "imap"
) -> str:
    """A password was refused."""
    told = {
        "event": "auth_passdb_request_finished",
        "fields": {
            "result": result,
            "mechanism": "PLAIN",
            "service": protocol,
            "session": session,
            "remote_ip": "192.0.2.7",
            "remote_port": 50_000,
            "original_user": address,
        },
    }
    return f"{at(when)} stats: Info: {json.dumps(told)}\n"


def aborted(
    when: datetime, session: str, address: str, words: str, *, code: str = "", cred: str = "", **of: object
) -> str:
    """A connection ended before anybody had signed in."""
    known = fields(session, address, **of)  # type: ignore[arg-type]
    return f'{at(when)} imap-login: Info: {known}sec="TLS", {_TLS}, cred="{cred}", refused="{code}", msg={words}\n'


def started(when: datetime) -> str:
    """Dovecot starts."""
    return f"{at(when)} master: Info: Dovecot v2.3.19.1 (9b53102964) starting up for imap, pop3, lmtp\n"
