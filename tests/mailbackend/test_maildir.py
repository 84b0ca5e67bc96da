"""Maildirs: built whole or not at all, never another's, checked, mended, measured."""

from __future__ import annotations

import mailbox
import os
import stat
import threading
from pathlib import Path, PurePosixPath

import pytest

from mailbackend import maildir

HOME = PurePosixPath("example.com/anna-1")
TOKEN = "a" * 32
WELCOME = b"Subject: Welcome\n\nHello.\n"


def test_home_is_built_whole(tmp_path: Path) -> None:
    maildir.provision(tmp_path, HOME, TOKEN, [WELCOME])
    place = tmp_path / HOME
    folders = [path for path in place.rglob("*") if path.is_dir()]
    assert len(folders) == 1 + 3 + 4 * len(maildir.SPECIAL_FOLDERS)
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in [place, *folders]} == {0o700}
    assert (place / "Maildir/subscriptions").read_text().split() == list(maildir.SPECIAL_FOLDERS)
    assert (place / "Maildir/dovecot-keywords").read_text().splitlines()[:2] == ["0 $PopMain", "1 $Pop1"]
    box = mailbox.Maildir(place / "Maildir", create=False)
    assert [message["Subject"] for message in box] == ["Welcome"]
    assert sorted(box.list_folders()) == sorted(maildir.SPECIAL_FOLDERS)


def test_doing_it_again_changes_nothing(tmp_path: Path) -> None:
    maildir.provision(tmp_path, HOME, TOKEN, [WELCOME])
    before = sorted(tmp_path.rglob("*"))
    maildir.provision(tmp_path, HOME, TOKEN, [WELCOME])
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("left", ["folder", "file", "link", "other"])
def test_what_is_there_already_is_never_adopted(tmp_path: Path, left: str) -> None:
    place = tmp_path / HOME
    place.parent.mkdir()
    secret = tmp_path / "secret"
    secret.mkdir()
    if left == "folder":
        (place / "Maildir/new").mkdir(parents=True)
        (place / "Maildir/new/1.old").write_text("somebody else's")
    elif left == "file":
        place.write_text("x")
    elif left == "link":
        place.symlink_to(secret)
    else:
        maildir.provision(tmp_path, HOME, "b" * 32)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(maildir.HomeTaken):
        maildir.provision(tmp_path, HOME, TOKEN, [WELCOME])
    assert sorted(tmp_path.rglob("*")) == before


def test_nothing_is_left_when_the_disk_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        maildir.provision(tmp_path, HOME, TOKEN, [WELCOME])
    assert list(tmp_path.rglob("*")) == [tmp_path / "example.com"]


def test_two_at_once_build_one(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def build() -> None:
        try:
            maildir.provision(tmp_path, HOME, TOKEN, [WELCOME])
        except BaseException as err:  # noqa: BLE001 - shown below
            failures.append(err)

    threads = [threading.Thread(target=build) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [path.name for path in (tmp_path / "example.com").iterdir()] == ["anna-1"]
    assert maildir.measure(tmp_path, HOME).messages == 1


def test_missing_folders_and_modes_are_found_and_mended(tmp_path: Path) -> None:
    maildir.provision(tmp_path, HOME, TOKEN, [WELCOME])
    (tmp_path / HOME / "Maildir/.Sent/tmp").rmdir()
    (tmp_path / HOME / "Maildir/cur").chmod(0o755)
    problems = [finding.problem for finding in maildir.check_home(tmp_path, HOME)]
    assert problems == [
        "example.com/anna-1/Maildir/cur has mode 0755",
        "example.com/anna-1/Maildir/.Sent/tmp is missing",
    ]
    maildir.mend_home(tmp_path, HOME)
    assert maildir.check_home(tmp_path, HOME) == []
    assert maildir.measure(tmp_path, HOME).messages == 1


def test_mending_follows_no_link(tmp_path: Path) -> None:
    maildir.provision(tmp_path, HOME, TOKEN)
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o755)
    (tmp_path / HOME / "Maildir/.Junk/tmp").rmdir()
    (tmp_path / HOME / "Maildir/.Junk/tmp").symlink_to(outside)
    assert [finding.mendable for finding in maildir.check_home(tmp_path, HOME)] == [False]
    maildir.mend_home(tmp_path, HOME)
    assert stat.S_IMODE(outside.stat().st_mode) == 0o755


def test_measure_counts_what_the_names_say(tmp_path: Path) -> None:
    maildir.provision(tmp_path, HOME, TOKEN, [WELCOME])
    new = tmp_path / HOME / "Maildir/.Sent/new"
    (new / "1.a,S=10,W=12").write_text("x" * 10)
    (tmp_path / HOME / "Maildir/cur/2.b,S=30:2,S").write_text("x" * 30)
    (tmp_path / HOME / "Maildir/.Archive/cur/3.c:2,").write_text("x" * 5)
    welcome = len(WELCOME) + WELCOME.count(b"\n")
    # Of the two without a virtual size only that of the file is known.
    assert maildir.measure(tmp_path, HOME) == maildir.Usage(4, welcome + 12 + 30 + 5, inexact_bytes=30 + 5)


def test_marker_tells_a_missing_mount(tmp_path: Path) -> None:
    with pytest.raises(maildir.MailRootMissing, match="is its disk mounted"):
        maildir.check_mail_root(tmp_path, "1" * 32)
    maildir.create_mail_root(tmp_path, "2" * 32)
    with pytest.raises(maildir.MailRootMissing):
        maildir.check_mail_root(tmp_path, "1" * 32)
    maildir.check_mail_root(tmp_path, "2" * 32)


def test_abandoned_builds_are_found_and_nothing_else_is_removed(tmp_path: Path) -> None:
    maildir.provision(tmp_path, HOME, TOKEN)
    build = tmp_path / "example.com/.new-anna-2-abc"
    build.mkdir()
    now = build.stat().st_mtime
    assert list(maildir.abandoned_builds(tmp_path, now + 10)) == []
    assert list(maildir.abandoned_builds(tmp_path, now + 4000)) == [build]
    assert list(maildir.homes_on_disk(tmp_path)) == [HOME]
    maildir.remove_build(build)
    with pytest.raises(ValueError, match="is not a build"):
        maildir.remove_build(tmp_path / HOME)
    assert (tmp_path / HOME).is_dir()


def inbox_of(root: Path) -> list[str]:
    box = mailbox.Maildir(root / HOME / "Maildir", create=False)
    return sorted(str(message["Subject"]) for message in box)


def put(root: Path, name: str = "1790000000.Quota7", token: str = TOKEN) -> bool:
    return maildir.put_message(root, HOME, token, b"Subject: Full\r\n\r\nReally.\r\n", name=name)


def test_a_message_is_put_into_the_inbox_once(tmp_path: Path) -> None:
    maildir.provision(tmp_path, HOME, TOKEN, [WELCOME])
    before = maildir.measure(tmp_path, HOME)
    assert put(tmp_path)
    assert not put(tmp_path)
    assert inbox_of(tmp_path) == ["Full", "Welcome"]
    assert list((tmp_path / HOME / "Maildir/tmp").iterdir()) == []
    (file,) = (tmp_path / HOME / "Maildir/new").glob("*Quota7*")
    assert file.name.endswith(",S=23,W=26")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert maildir.measure(tmp_path, HOME).used_bytes == before.used_bytes + 26
    # Read, it is there too.
    file.rename(tmp_path / HOME / "Maildir/cur" / f"{file.name}:2,S")
    assert not put(tmp_path)
    assert put(tmp_path, "1790000000.Quota8")


def test_two_at_once_put_one(tmp_path: Path) -> None:
    maildir.provision(tmp_path, HOME, TOKEN)
    at_once = threading.Barrier(4)

    def work() -> None:
        at_once.wait()
        put(tmp_path)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inbox_of(tmp_path) == ["Full"]
    assert list((tmp_path / HOME / "Maildir/tmp").iterdir()) == []


def test_nothing_is_put_into_anothers_home_or_none(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        put(tmp_path)
    assert not (tmp_path / HOME).exists()
    maildir.provision(tmp_path, HOME, TOKEN)
    with pytest.raises(maildir.HomeTaken):
        put(tmp_path, token="b" * 32)
    with pytest.raises(ValueError, match="message's name"):
        put(tmp_path, "../cur/x")
    assert inbox_of(tmp_path) == []


def test_a_disk_that_refuses_leaves_no_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maildir.provision(tmp_path, HOME, TOKEN)

    def refuse(_descriptor: int) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", refuse)
        with pytest.raises(OSError, match="No space"):
            put(tmp_path)
    assert inbox_of(tmp_path) == []
    assert list((tmp_path / HOME / "Maildir/tmp").iterdir()) == []
    assert put(tmp_path)
