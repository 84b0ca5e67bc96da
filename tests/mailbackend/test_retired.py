"""Retired homes: renamed away, never copied, never another's; erased below their own folder and nowhere else."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest

from mailbackend import maildir, retired
from mailbackend.maildir import HomeTaken, Usage

HOME = PurePosixPath("example.com/anna-1")
TOKEN = "a" * 32
WELCOME = b"Subject: Welcome\n\nHello.\n"


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Return a mail root with a home, and a folder for retired ones."""
    root, away = tmp_path / "mail", tmp_path / "retired"
    root.mkdir()
    away.mkdir()
    maildir.provision(root, HOME, TOKEN, [WELCOME])
    return root, away


def test_home_is_renamed_and_may_come_back(folders: tuple[Path, Path]) -> None:
    root, away = folders
    assert retired.retire(root, away, HOME, TOKEN) == away / "example.com/anna-1.1"
    assert not (root / HOME).exists()
    assert retired.retire(root, away, HOME, TOKEN) is None
    (root / HOME / "Maildir/new").mkdir(parents=True)
    (root / HOME / "Maildir/new/1.x,S=5,W=6").write_text("late\n")
    assert retired.retire(root, away, HOME, TOKEN) == away / "example.com/anna-1.2"
    welcome = len(WELCOME) + WELCOME.count(b"\n")
    assert retired.measure_retired(away, HOME) == Usage(messages=2, used_bytes=welcome + 6)
    assert retired.measure_retired(away, PurePosixPath("example.com/anna-10")) == Usage(0, 0)


def test_home_of_another_mailbox_stays(folders: tuple[Path, Path]) -> None:
    root, away = folders
    with pytest.raises(HomeTaken, match="another mailbox's token"):
        retired.retire(root, away, HOME, "b" * 32)
    assert (root / HOME).is_dir()


def test_nothing_is_copied_to_another_file_system(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == folders[0].stat().st_dev:
        pytest.skip("There is no second file system here.")
    away = other / f"rt-{os.getpid()}"
    away.mkdir()
    try:
        assert retired.folders(folders[0], away) == [folders[0] / ".retired", away]
        with pytest.raises(retired.OtherFileSystem, match="never copied"):
            retired.retire(folders[0], away, HOME, TOKEN)
    finally:
        (away / "example.com").rmdir()
        away.rmdir()
    assert maildir.measure(folders[0], HOME).messages == 1


def test_homes_retired_on_the_mail_disk_are_no_mailboxes(folders: tuple[Path, Path]) -> None:
    root, away = folders
    assert retired.folders(root, away) == [away, root / ".retired"]
    (root / ".retired").mkdir()
    assert retired.retire(root, root / ".retired", HOME, TOKEN)
    assert list(maildir.homes_on_disk(root)) == []
    (path,) = retired.retired_homes(root / ".retired")
    retired.erase(root / ".retired", path)
    assert list(retired.retired_homes(root / ".retired")) == []


def test_erasing_follows_no_link(folders: tuple[Path, Path], tmp_path: Path) -> None:
    root, away = folders
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    (root / HOME / "Maildir/link").symlink_to(outside)
    retired.retire(root, away, HOME, TOKEN)
    (away / "example.com/anna-2.1").symlink_to(outside)
    (away / "linked.com").symlink_to(outside)
    (away / "file").write_text("x")
    paths = sorted(map(str, retired.retired_homes(away)))
    assert paths == ["example.com/anna-1.1", "example.com/anna-2.1", "file", "linked.com"]
    with pytest.raises(OSError, match="Not a directory"):
        retired.erase(away, PurePosixPath("linked.com/kept"))
    for path in paths:
        retired.erase(away, PurePosixPath(path))
    retired.forget_empty_domains(away)
    assert list(away.iterdir()) == []
    assert (outside / "kept").exists()


def test_a_link_in_the_place_of_the_folder_is_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    _root, away = folders
    outside = tmp_path / "outside"
    (outside / "example.com/empty").mkdir(parents=True)
    away.rmdir()
    away.symlink_to(outside)
    for path in list(retired.retired_homes(away)):
        with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
            retired.erase(away, path)
    (outside / "example.com/empty").rmdir()
    retired.forget_empty_domains(away)
    assert (outside / "example.com").is_dir()


@pytest.mark.parametrize("path", ["/etc", "../mail", "example.com/../../mail", "a/b/c", "."])
def test_nothing_else_is_erased(folders: tuple[Path, Path], path: str) -> None:
    root, away = folders
    with pytest.raises(ValueError, match="is not a retired home"):
        retired.erase(away, PurePosixPath(path))
    assert (root / HOME).is_dir()


def test_what_is_gone_is_erased(folders: tuple[Path, Path]) -> None:
    retired.erase(folders[1], PurePosixPath("example.com/anna-1.1"))
    retired.erase(folders[1], PurePosixPath("gone"))
