"""The main job, by commands and mail clients: create, deliver, read, change, shut out, delete."""

from __future__ import annotations

import imaplib
import poplib
import socket
import ssl

import pytest

from tests.stand import PATIENCE, Stand, wait_for

pytestmark = pytest.mark.live


def test_message_is_read_over_imap_and_pop(stand: Stand) -> None:
    box = stand.new_mailbox("--quota", "1G")
    box.deliver("First")
    assert box.subjects() == ["Welcome to your mailbox", "First"]
    with box.pop() as client:
        assert client.stat()[0] == 2
        names = {line.split()[1] for line in client.uidl()[1]}
        assert len(names) == 2
        text = b"\n".join(client.retr(2)[1]).decode()
        assert "Subject: First" in text
    shown = stand.must("showmailbox", box.address)
    assert (shown["state"], shown["messages"], shown["quota_bytes"]) == ("active", 2, 1024**3)
    assert shown["protocols"] == ["imap", "pop3"]
    assert shown["home"] == str(box.home)
    assert shown["used_bytes"] > 0


def test_flags_survive_a_reconnect(stand: Stand) -> None:
    box = stand.new_mailbox()
    with box.imap() as client:
        client.select("INBOX")
        client.store("1", "+FLAGS", r"(\Seen \Flagged Work)")
    with box.imap() as client:
        client.select("INBOX", readonly=True)
        _status, (flags,) = client.fetch("1", "(FLAGS)")
        assert isinstance(flags, bytes)
        assert {rb"\Seen", rb"\Flagged", b"Work"} <= set(imaplib.ParseFlags(flags))


def test_special_folders_have_roles_and_are_subscribed(stand: Stand) -> None:
    box = stand.new_mailbox()
    with box.imap() as client:
        _status, rows = client.list()
        listed = {row.decode() for row in rows if isinstance(row, bytes)}
        for name in ("Sent", "Drafts", "Junk", "Trash", "Archive"):
            assert any(f"\\{name}" in row and row.endswith(name) for row in listed), (name, listed)
        _status, rows = client.lsub()
        subscribed = {row.decode().rsplit(" ", 1)[1] for row in rows if isinstance(row, bytes)}
        assert subscribed >= {"Sent", "Drafts", "Junk", "Trash", "Archive"}


def test_password_change_shuts_the_old_one_out_at_once(stand: Stand) -> None:
    box = stand.new_mailbox()
    with box.imap() as open_session:
        stand.must("setmailbox", box.address, "--suspend")
        wait_for(lambda: is_closed(open_session), "the open session to end")
    with pytest.raises(imaplib.IMAP4.error, match="suspended"), box.imap():
        pass
    with pytest.raises(poplib.error_proto, match="suspended"), box.pop():
        pass
    box.deliver("While suspended")
    assert stand.must("setmailbox", box.address, "--resume")["state"] == "active"
    assert box.subjects()[-1] == "While suspended"


def is_closed(client: imaplib.IMAP4) -> bool:
    """Whether the server ended a session."""
    try:
        return client.noop()[0] != "OK"
    except (imaplib.IMAP4.abort, OSError):
        return True


def test_protocol_that_is_off_is_refused_and_said(stand: Stand) -> None:
    box = stand.new_mailbox()
    assert stand.must("setmailbox", box.address, "--protocols", "imap")["protocols"] == ["imap"]
    with pytest.raises(poplib.error_proto, match="POP is switched off"), box.pop():
        pass
    assert box.subjects()


def test_wrong_password_is_refused(stand: Stand) -> None:
    box = stand.new_mailbox()
    with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"), box.imap("wrong-passw0rd"):
        pass


def test_deleted_mailbox_answers_550_and_its_successor_sees_nothing(stand: Stand) -> None:
    box = stand.new_mailbox()
    box.deliver("For the first owner")
    answer = stand.must("deletemailbox", box.address)
    assert answer["address"] == box.address
    with pytest.raises(imaplib.IMAP4.error), box.imap():
        pass
    refused = stand.command("deliver", box.address, stdin="Subject: x\n\nx\n")
    assert refused.code == 1
    assert refused.json["refused"][box.address].startswith("550")
    created = stand.must("createmailbox", box.address, stdin="a-new-passw0rd\n")
    assert created["home"] != str(box.home)
    box.password = "a-new-passw0rd"
    assert box.subjects() == ["Welcome to your mailbox"]


def test_full_mailbox_answers_552_and_says_so(stand: Stand) -> None:
    box = stand.new_mailbox("--quota", "100K")
    big = f"Subject: big\n\n{'x' * 90_000}\n"
    assert stand.command("deliver", box.address, stdin=big).code == 0
    answer = stand.command("deliver", box.address, stdin=big)
    assert answer.code == 1
    assert "5.2.2" in answer.json["refused"][box.address]
    assert stand.must("setmailbox", box.address, "--quota", "1M")["quota_bytes"] == 1024**2
    assert stand.command("deliver", box.address, stdin=big).code == 0


def test_detail_after_a_plus_arrives(stand: Stand) -> None:
    box = stand.new_mailbox()
    local_part, _at, domain = box.address.partition("@")
    answer = stand.must("deliver", f"{local_part}+shop@{domain}", stdin="Subject: To a detail\n\nx\n")
    assert answer["delivered"] == [f"{local_part}+shop@{domain}"]
    assert box.subjects()[-1] == "To a detail"


def test_delivery_names_who_got_it_and_who_did_not(stand: Stand) -> None:
    box = stand.new_mailbox()
    nobody = box.address.replace("anna@", "nobody@")
    answer = stand.command(
        "deliver", box.address, nobody, "not an address", stdin=".leading dot\r\nSubject: x\n\n.\n"
    )
    assert answer.code == 1
    assert answer.json["delivered"] == [box.address]
    assert set(answer.json["refused"]) == {nobody, "not an address"}
    assert answer.stderr.count("\n") == 1


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
def test_no_password_in_clear_from_another_machine(stand: Stand, protocol: str) -> None:
    """A connection between two equal addresses counts as safe to Dovecot, so this one comes from 127.0.0.2."""
    box = stand.new_mailbox()
    with socket.create_connection(
        ("127.0.0.1", stand.ports[protocol]), timeout=PATIENCE, source_address=("127.0.0.2", 0)
    ) as connection:
        stream = connection.makefile("rwb")
        greeting = stream.readline()
        commands = {
            "imap": [f"a LOGIN {box.address} {box.password}\r\n"],
            "pop3": [f"USER {box.address}\r\n"],
        }[protocol]
        for command in commands:
            stream.write(command.encode())
            stream.flush()
            answer = stream.readline().decode()
    assert b"LOGINDISABLED" in greeting or protocol == "pop3"
    assert "OK" not in answer.split()[:2]
    assert "TLS" in answer or "PRIVACYREQUIRED" in answer


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")  # that they are old is the point
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_tls_is_refused(stand: Stand, version: ssl.TLSVersion) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection(("127.0.0.1", stand.ports["imaps"]), timeout=PATIENCE) as plain,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        context.wrap_socket(plain)


def test_starttls_on_both_plain_ports(stand: Stand) -> None:
    box = stand.new_mailbox()
    with imaplib.IMAP4("localhost", stand.ports["imap"], timeout=PATIENCE) as imap:
        imap.starttls(stand.authority)
        imap.login(box.address, box.password)
    pop = poplib.POP3("localhost", stand.ports["pop3"], timeout=PATIENCE)
    pop.stls(stand.authority)
    pop.user(box.address)
    pop.pass_(box.password)
    pop.quit()


def test_pop_keeps_what_it_deletes_where_the_mailbox_says_so(stand: Stand) -> None:
    box = stand.new_mailbox()
    with box.pop() as client:
        client.dele(1)
    with box.pop() as client:
        assert client.stat()[0] == 0
    assert box.subjects() == ["Welcome to your mailbox"]
    # What was hidden until then is offered to POP again.
    stand.must("setmailbox", box.address, "--pop-deletes", "delete")
    box.deliver("Second")
    with box.pop() as client:
        assert client.stat()[0] == 2
        client.dele(2)
    assert box.subjects() == ["Welcome to your mailbox"]


def test_doveadms_api_does_what_the_panel_calls_and_no_more(stand: Stand) -> None:
    answer = stand.must("servicectl", "status")
    assert answer["state"] == "RUNNING"
    assert answer["version"].startswith("2.")
    assert stand.must("servicectl", "reload")["pid"] == answer["pid"]


def test_checkmail_finds_nothing_wrong(stand: Stand) -> None:
    stand.new_mailbox()
    report = stand.must("checkmail")
    assert report["failures"] == []
    assert report["mailboxes"] >= 1


def test_a_new_python_does_the_same(stand: Stand) -> None:
    """Most tests run commands in a process that has imported the panel already (tests.warm_commands)."""
    box = stand.new_mailbox()
    for command, json_answer in (
        (("showmailbox", box.address), True),
        (("setmailbox", box.address, "--quota", "much"), False),
        (("connections", "--help"), False),
    ):
        warm = stand.command(*command, json_answer=json_answer)
        assert warm == stand.command(*command, json_answer=json_answer, anew=True)
    answer = stand.command("deliver", box.address, stdin=b"Subject: Odd\n\n\xff\n", anew=True)
    assert answer.json["delivered"] == [box.address]
    assert "Odd" in box.subjects()
