"""Bad input to commands: one clear line, a code that is not 0, and nothing half-made."""

from __future__ import annotations

import re

import pytest

from tests.stand import Stand

pytestmark = pytest.mark.live

HOSTILE = [
    "../../etc/passwd",
    "quo'te",
    "new\nline",
    "\udcff",
    "a/b",
    'quo"te',
    "per%sent",
    "back\\slash",
    "😀",
    "x" * 10_000,
    "$(id)",
    "-x",
]


def refused(stand: Stand, *arguments: str, stdin: str | bytes = "a-good-passw0rd\n") -> str:
    """Run a command that must fail as the contract says, and return its line."""
    answer = stand.command(*arguments, stdin=stdin)
    assert answer.code != 0, answer.stdout
    assert answer.stdout == ""
    lines = answer.stderr.splitlines()
    assert len(lines) == 1, answer.stderr
    assert "Traceback" not in answer.stderr
    return re.sub("\x1b\\[[0-9;]*m", "", lines[0])


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_addresses(stand: Stand, name: str) -> None:
    refused(stand, "createmailbox", "--", f"{name}@example.test")
    refused(stand, "showmailbox", "--", f"{name}@example.test")
    refused(stand, "createdomain", "--customer", "My organisation", "--", f"{name}.test")
    homes = [path.name for path in stand.data_dir.mail.iterdir()]
    assert "example.test" not in homes


def test_what_is_missing_is_named(stand: Stand) -> None:
    box = stand.new_mailbox()
    assert "not hosted here" in refused(stand, "createmailbox", "a@nowhere.test")
    assert "exists already" in refused(stand, "createmailbox", box.address)
    assert "There is no mailbox" in refused(stand, "showmailbox", "nobody@nowhere.test")
    assert "no customer" in refused(stand, "createdomain", "x.test", "--customer", "Nobody")
    assert "whole address" in refused(stand, "showmailbox", "anna")
    assert "standard input" in refused(stand, "createmailbox", "b@" + box.address.split("@")[1], stdin="")
    assert "8 characters" in refused(
        stand, "createmailbox", "b@" + box.address.split("@")[1], stdin="short\n"
    )
    assert "UTF-8" in refused(
        stand, "createmailbox", "b@" + box.address.split("@")[1], stdin=b"\xff\xfe12345678\n"
    )
    assert "standard input" in refused(stand, "deliver", box.address, stdin="")
    assert "--help" in refused(stand, "setmailbox", box.address, "--suspend", "--resume")
    assert "size" in refused(stand, "setmailbox", box.address, "--quota", "lots")
    assert "keep:N" in refused(stand, "setmailbox", box.address, "--pop-deletes", "keep:x")
    assert "imap and pop3" in refused(stand, "setmailbox", box.address, "--protocols", "smtp")
    assert "--help" in refused(stand, "servicectl", "explode")
    assert stand.must("showmailbox", box.address)["pop_deletes"] == "keep:30"


def test_command_changes_all_or_nothing(stand: Stand) -> None:
    box = stand.new_mailbox("--quota", "1G")
    refused(stand, "setmailbox", box.address, "--quota", "2G", "--suspend", "--pop-deletes", "never")
    shown = stand.must("showmailbox", box.address)
    assert (shown["quota_bytes"], shown["state"]) == (1024**3, "active")


def test_commands_without_json_speak_lines(stand: Stand) -> None:
    box = stand.new_mailbox()
    answer = stand.command("showmailbox", box.address, json_answer=False)
    assert f"address: {box.address}\n" in answer.stdout


def test_customers_and_admins(stand: Stand) -> None:
    name = f"Customer of {stand.ports['panel']}"
    owner = f"owner{stand.ports['panel']}@customers.test"
    made = stand.must(
        "createcustomer", name, "--owner", owner, "--max-mailboxes", "1", stdin="a-good-passw0rd\n"
    )
    assert made == {"name": name, "owner": owner}
    domain = f"limited{stand.ports['panel']}.test"
    stand.must("createdomain", domain, "--customer", name.upper())
    stand.must("createmailbox", f"a@{domain}", stdin="a-good-passw0rd\n")
    assert "no room for more" in refused(stand, "createmailbox", f"b@{domain}")
    assert "already" in refused(stand, "createcustomer", name, "--owner", owner)
    admin = f"second{stand.ports['panel']}@host.test"
    assert stand.must("createadmin", admin, stdin="a-good-passw0rd\n") == {"email": admin}
    assert "already" in refused(stand, "createadmin", admin)
