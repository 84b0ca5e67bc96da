"""Another address for a mailbox: its mail is there, and the old address is unknown."""

from __future__ import annotations

import imaplib
import re
import secrets

import pytest

from tests.panel_client import PanelClient
from tests.stand import Box, Stand, wait_for

pytestmark = pytest.mark.live


def is_over(client: imaplib.IMAP4) -> bool:
    """Whether a session was ended by the server."""
    try:
        client.noop()
    except (client.abort, OSError):
        return True
    return False


def rename(panel: PanelClient, box: Box, local_part: str) -> Box:
    """Give a mailbox another address in the panel."""
    found = re.search(r'href="/mailboxes/(\d+)/"', panel.get(f"/mailboxes/?q={box.address}"))
    assert found
    page = panel.get(f"/mailboxes/{found[1]}/rename/")
    domain = re.search(r'<option value="(\d+)" selected>', page)
    assert domain
    answer = panel.send(f"/mailboxes/{found[1]}/rename/", local_part=local_part, domain=domain[1])
    assert "with all its mail" in answer
    address = f"{local_part}@{box.address.partition('@')[2]}"
    return Box(box.stand, address, box.password, box.home)


def test_mail_is_there_and_the_old_address_is_unknown(stand: Stand) -> None:
    panel = PanelClient(stand)
    box = stand.new_mailbox()
    box.deliver("Before")
    with box.imap() as client:
        client.select("INBOX")
        client.store("2", "+FLAGS", r"\Flagged")
        renamed = rename(panel, box, f"n{secrets.token_hex(4)}")
        wait_for(lambda: is_over(client), "the session by the old address to end")

    renamed.deliver("After")
    assert renamed.subjects() == ["Welcome to your mailbox", "Before", "After"]
    with renamed.imap() as client:
        client.select("INBOX", readonly=True)
        assert client.search(None, "FLAGGED") == ("OK", [b"2"])
    with renamed.pop() as pop:
        assert pop.stat()[0] == 3
    shown = stand.must("showmailbox", renamed.address)
    assert shown["home"] == str(box.home)

    with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"), box.imap():
        pass
    refused = stand.command("deliver", box.address, stdin=b"Subject: Late\n\nToo late.\n")
    assert refused.code == 1
    assert list(refused.json["refused"]) == [box.address]

    # Whoever is given the old address finds none of that mail.
    created = stand.must("createmailbox", box.address, stdin="another-passw0rd\n")
    assert created["home"] != str(box.home)
    next_owner = Box(stand, box.address, "another-passw0rd", box.home)
    assert next_owner.subjects() == ["Welcome to your mailbox"]
    assert renamed.subjects()[-1] == "After"
