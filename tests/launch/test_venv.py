"""The virtual environment is made once, and again only when it has to be."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from launch.problem import LaunchProblem
from launch.venv import Python, candidates, choose_python, ensure_venv, is_current


@pytest.fixture(scope="module")
def python() -> Python:
    return choose_python(candidates(as_root=False))


@pytest.fixture
def requirements(tmp_path: Path) -> list[Path]:
    """Return two files that name no package: nothing is fetched."""
    files = [tmp_path / "requirements.txt", tmp_path / "requirements-dev.txt"]
    for file in files:
        file.write_text("# nothing\n")
    return files


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the place of the one venv of these tests: making one takes seconds."""
    return tmp_path_factory.mktemp("checkout") / ".venv"


@pytest.fixture
def venv(folder: Path, python: Python, requirements: list[Path]) -> Path:
    ensure_venv(folder, python, requirements)
    assert is_current(folder, python, requirements)
    return folder


def test_it_is_made_once_and_serves_fewer_requirements(
    venv: Path, python: Python, requirements: list[Path], capfd: pytest.CaptureFixture[str]
) -> None:
    subprocess.run([str(venv / "bin" / "python"), "-c", "import pip"], check=True)
    capfd.readouterr()
    ensure_venv(venv, python, requirements)
    ensure_venv(venv, python, requirements[:1])
    assert capfd.readouterr().out == ""


def test_changed_requirements_keep_what_is_installed(
    venv: Path, python: Python, requirements: list[Path]
) -> None:
    (venv / "a-file").touch()
    requirements[0].write_text("# something else\n")
    assert not is_current(venv, python, requirements)
    ensure_venv(venv, python, requirements)
    assert is_current(venv, python, requirements)
    assert (venv / "a-file").exists()


@pytest.mark.long
def test_half_made_ones_are_made_again(venv: Path, python: Python, requirements: list[Path]) -> None:
    (venv / "restante-stamp.json").unlink()
    (venv / "a-file").touch()
    ensure_venv(venv, python, requirements)
    assert is_current(venv, python, requirements)
    assert not (venv / "a-file").exists()


def test_others_are_not_taken_for_current(venv: Path, python: Python, requirements: list[Path]) -> None:
    moved = venv.rename(venv.with_name("moved"))
    assert not is_current(moved, python, requirements)
    moved.rename(venv)
    assert is_current(venv, python, requirements)
    assert not is_current(venv, replace(python, version="3.99.0"), requirements)
    (venv / "restante-stamp.json").write_text("[1]")
    assert not is_current(venv, python, requirements)


@pytest.mark.long
def test_failing_requirements_leave_no_stamp(venv: Path, python: Python, requirements: list[Path]) -> None:
    requirements[0].write_text("./there-is-no-such-package\n")
    with pytest.raises(LaunchProblem, match="pip could not install"):
        ensure_venv(venv, python, requirements[:1])
    assert not is_current(venv, python, requirements[:1])


def test_an_old_python_is_passed_over(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\necho 3.9.2\n")
    old.chmod(0o755)
    assert choose_python([str(old), sys.executable]).path == sys.executable
    with pytest.raises(LaunchProblem, match=r"version 3\.9\.2.*/nowhere/python3: No such file"):
        choose_python([str(old), "/nowhere/python3"])


def test_root_prefers_debians() -> None:
    assert candidates(as_root=True)[0] == "/usr/bin/python3"


@pytest.mark.skipif(shutil.which("/usr/bin/python3") is None, reason="without Debian's Python")
def test_the_first_stage_needs_the_standard_library_only() -> None:
    checkout = Path(__file__).resolve().parents[2]
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import launch.prepare, launch.__main__; "
        "print(sorted(n for n in sys.modules if n.split('.')[0] in ('panel', 'mailbackend', 'django')))"
    )
    command = ["/usr/bin/python3", "-I", "-S", "-B", "-c", code, str(checkout)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
