"""DATA_DIR is made once, with owners and modes, and refuses what is not its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from launch.account import Account, own_account
from launch.folders import layout, make_folders
from launch.problem import LaunchProblem
from mailbackend.paths import DataDir

ROOT = Account("root", 0, 0)
#: Debian's lowest unprivileged account: exists everywhere.
DAEMON = Account("daemon", 1, 1)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="changes owners: root only")


def _state(data_dir: DataDir) -> dict[str, tuple[int, int]]:
    entries = {entry.name: entry.stat() for entry in data_dir.root.iterdir()}
    return {name: (found.st_uid, found.st_mode & 0o7777) for name, found in entries.items()}


def test_an_ordinary_users(data_dir: DataDir) -> None:
    me = own_account()
    make_folders(data_dir, me, me)
    state = _state(data_dir)
    assert set(state) == {*data_dir.ROOT_OWNED, *data_dir.ACCOUNT_OWNED}
    assert {uid for uid, _ in state.values()} == {me.uid}
    assert {name for name, (_, mode) in state.items() if mode != 0o700} == {
        "events",
        "logs",
        "dovecot",
        "static",
    }
    assert state["events"][1] == 0o750


def test_again_changes_nothing_but_wrong_modes(data_dir: DataDir) -> None:
    me = own_account()
    make_folders(data_dir, me, me)
    before = _state(data_dir)
    (data_dir.keys / "secret-key").write_text("x")
    data_dir.keys.chmod(0o755)
    make_folders(data_dir, me, me)
    assert _state(data_dir) == before
    assert (data_dir.keys / "secret-key").read_text() == "x"


def test_links_are_refused_and_not_followed(data_dir: DataDir, tmp_path: Path) -> None:
    me = own_account()
    data_dir.root.mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o755)
    data_dir.mail.symlink_to(elsewhere)
    with pytest.raises(LaunchProblem, match="mail is a link"):
        make_folders(data_dir, me, me)
    assert elsewhere.stat().st_mode & 0o7777 == 0o755


def test_a_file_in_the_way(data_dir: DataDir) -> None:
    me = own_account()
    data_dir.root.write_text("")
    with pytest.raises(LaunchProblem, match="is not a folder"):
        make_folders(data_dir, me, me)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_not_writable(data_dir: DataDir) -> None:
    me = own_account()
    data_dir.root.mkdir(mode=0o500)
    with pytest.raises(LaunchProblem, match="cannot be written"):
        make_folders(data_dir, me, me)


def test_who_owns_what_when_root_starts(data_dir: DataDir) -> None:
    owners = {
        folder.path.name: (folder.uid, folder.gid, folder.mode) for folder in layout(data_dir, ROOT, DAEMON)
    }
    assert owners["events"] == (0, 1, 0o750)
    assert owners["processes"] == (0, 0, 0o700)
    assert owners["keys"] == (1, 1, 0o700)
    assert owners["static"] == (1, 1, 0o755)


@needs_root
def test_roots(data_dir: DataDir) -> None:
    make_folders(data_dir, ROOT, DAEMON)
    make_folders(data_dir, ROOT, DAEMON)
    state = _state(data_dir)
    assert {name for name, (uid, _) in state.items() if uid == 0} == set(data_dir.ROOT_OWNED)
    assert {name for name, (uid, _) in state.items() if uid == 1} == set(data_dir.ACCOUNT_OWNED)


@needs_root
def test_somebody_elses_folder_is_refused(data_dir: DataDir) -> None:
    make_folders(data_dir, ROOT, DAEMON)
    os.chown(data_dir.mail, 2, 2)
    with pytest.raises(LaunchProblem, match=r"mail belongs to .*, not to daemon\. .*chown -R -h daemon: "):
        make_folders(data_dir, ROOT, DAEMON)
    assert data_dir.mail.stat().st_uid == 2


@needs_root
def test_root_refuses_a_data_dir_that_others_can_write(data_dir: DataDir) -> None:
    data_dir.root.mkdir()
    os.chown(data_dir.root, 1, 1)
    with pytest.raises(LaunchProblem, match="must be root's alone"):
        make_folders(data_dir, ROOT, DAEMON)
