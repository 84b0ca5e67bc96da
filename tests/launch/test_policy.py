"""policy-rc.d is denied while packages are installed, and is afterwards what it was."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from launch import policy


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "policy-rc.d"


def _write(file: Path, text: str, mode: int) -> os.stat_result:
    file.write_text(text)
    file.chmod(mode)
    return file.stat()


def test_starting_is_forbidden_inside(file: Path) -> None:
    with policy.deny(file):
        assert subprocess.run([str(file), "dovecot", "start"], check=False).returncode == 101
        assert policy.is_left_over(file)


def test_nothing_is_left_where_nothing_was(file: Path) -> None:
    with policy.deny(file):
        assert file.exists()
    assert list(file.parent.iterdir()) == []


def test_an_existing_policy_comes_back_as_the_same_file(file: Path) -> None:
    before = _write(file, "#!/bin/sh\nexit 104\n", 0o750)
    with policy.deny(file):
        assert "exit 104" not in file.read_text()
    after = file.stat()
    assert (after.st_ino, after.st_mode, after.st_mtime_ns) == (
        before.st_ino,
        before.st_mode,
        before.st_mtime_ns,
    )
    assert list(file.parent.iterdir()) == [file]


def test_a_link_comes_back_as_a_link(file: Path) -> None:
    file.symlink_to("/etc/alternatives/policy-rc.d")  # as Debian's policyrcd-script-zg2 makes it
    with policy.deny(file):
        assert not file.is_symlink()
    assert file.readlink() == Path("/etc/alternatives/policy-rc.d")


@pytest.mark.parametrize("problem", [RuntimeError, KeyboardInterrupt])
def test_it_comes_back_after_a_failure(file: Path, problem: type[BaseException]) -> None:
    _write(file, "#!/bin/sh\nexit 0\n", 0o755)
    with pytest.raises(problem), policy.deny(file):
        raise problem
    assert file.read_text() == "#!/bin/sh\nexit 0\n"


def _leave_behind(file: Path) -> None:
    """Do as a start that is killed inside the `with`: enter it and never leave."""
    denial = policy.deny(file)
    denial.__enter__()
    state = {entry.name: (entry.read_text(), entry.stat().st_mode) for entry in file.parent.iterdir()}
    denial.__exit__(None, None, None)
    for entry in list(file.parent.iterdir()):
        entry.unlink()
    for name, (text, mode) in state.items():
        _write(file.with_name(name), text, mode & 0o7777)


def test_what_a_killed_start_left_is_restored(file: Path) -> None:
    _write(file, "#!/bin/sh\nexit 104\n", 0o750)
    _leave_behind(file)
    assert policy.is_left_over(file)
    policy.restore(file)
    assert file.read_text() == "#!/bin/sh\nexit 104\n"
    assert file.stat().st_mode & 0o7777 == 0o750
    assert not policy.is_left_over(file)


def test_what_a_killed_start_left_is_removed_where_nothing_was(file: Path) -> None:
    _leave_behind(file)
    assert policy.is_left_over(file)
    policy.restore(file)
    assert list(file.parent.iterdir()) == []


def test_killed_between_the_two_renames(file: Path) -> None:
    file.with_name("policy-rc.d.kept-by-restante").write_text("the administrator's")
    policy.restore(file)
    assert file.read_text() == "the administrator's"


def test_somebody_elses_policy_is_not_touched(file: Path) -> None:
    _write(file, "#!/bin/sh\nexit 0\n", 0o755)
    assert not policy.is_left_over(file)
    policy.restore(file)
    assert file.read_text() == "#!/bin/sh\nexit 0\n"
