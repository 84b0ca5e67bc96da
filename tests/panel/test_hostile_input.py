"""What an attacker sends: every address gets odd text in every field and parameter, and never fails by it."""

from __future__ import annotations

from urllib.parse import quote_plus

import pytest
from django.db import transaction
from django.test import Client

from tests.panel.test_access_table import Stage, addresses, as_asked, stage, url_of

__all__ = ["stage"]  # a fixture

#: As bytes in percent-encoding, for not all of them are text.
ODD = {
    "NUL": "a%00b",
    "not UTF-8": "%ff%fe",
    "newlines": "a%0d%0aSet-Cookie:+x=1%0d%0a%0d%0a",
    "long": "x" * 6_000,
    "superscript": quote_plus("²"),
    "enormous": "9" * 30,
    "as large as a column": str(2**63 - 1),
    "markup": quote_plus("<script>alert(1)</script>\"'>"),
    "deep JSON": quote_plus("[" * 5_000),
    "the last day": "9999-12-31",
}
#: What databases and parsers stumble over; the rest is for make test-all.
WORST = ("NUL", "not UTF-8", "enormous", "markup")
#: Fields and parameters of all parts. Each request has all of them.
# fmt: off
NAMES = [
    "q", "sort", "state", "domain", "page", "since", "was",
    "until", "before", "action", "person", "target", "kind", "id",
    "token", "key", "next", "sent", "version", "name", "customer",
    "default_quota_0", "default_quota_1", "default_quota_preset", "default_quota_other", "quota_0", "quota_1",
    "quota_preset",
    "quota_other", "local_part", "display_name", "password", "imap", "pop3", "reason",
    "confirm", "max_domains", "max_mailboxes", "max_storage_bytes", "owner_email", "how", "owner_password",
    "email", "role", "language", "code", "credential", "username", "old_password",
    "new_password1", "new_password2", "remember", "select", "pk", "ids", "_method",
    "show", "start", "only", "text_en", "text_fr", "level", "audience", "starts_at", "ends_at", "pop_deletes", "days",
    "address", "ip", "protocol", "outcome", "device", "open", "connection_days", "recovery_days",
    "emailaddress", "Email", "Protocol",
    "job", "offer_to_pop", "folder", "other", "ends", "mailboxes", "messages", "bytes",
]
# fmt: on


def ask(client: Client, method: str, url: str, text: str) -> int:
    """Send `text` in every name, and let it not have happened."""
    everything = "&".join(f"{name}={text}" for name in NAMES)
    with transaction.atomic():
        answer = client.generic(
            method,
            f"{url}?{everything}" if method == "GET" else url,
            "" if method == "GET" else everything,
            content_type="application/x-www-form-urlencoded",
        )
        b"".join(answer)  # a stream is read to its end
        transaction.set_rollback(True)
    return answer.status_code


@pytest.mark.parametrize("who", ["admin", "anonymous"])
@pytest.mark.parametrize(
    "what", [what if what in WORST else pytest.param(what, marks=pytest.mark.long) for what in ODD]
)
def test_odd_text_is_never_a_mistake_of_ours(stage: Stage, who: str, what: str) -> None:
    client = as_asked(who, stage)
    failed = []
    for pattern, name, _entry in addresses():
        # healthz is 503 beside these tests, and asks nothing; signing out ends what comes after.
        if name in ("healthz", "account_logout"):
            continue
        for method in ("GET", "POST"):
            if ask(client, method, url_of(pattern, name, stage), ODD[what]) >= 500:
                failed.append((method, pattern))
    assert not failed
