"""The virtual environment `.venv`: of which Python, when made again. Standard library only."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from launch.problem import LaunchProblem, say

_STAMP = "restante-stamp.json"
#: sqlite3 and ssl are missing where somebody built Python without the libraries.
_PROBE = "import ensurepip, platform, sqlite3, ssl; print(platform.python_version())"


@dataclass(frozen=True)
class Python:
    """An interpreter that can make a venv.

    Attributes:
        path: the program.
        version: such as "3.11.2".
    """

    path: str
    version: str


def candidates(*, as_root: bool) -> list[str]:
    """Return the interpreters to try, best first.

    For root Debian's comes first: others are often in a home folder that the service account must not enter.
    """
    base = getattr(sys, "_base_executable", "") or sys.executable
    debian = "/usr/bin/python3"
    ordered = [debian, os.path.realpath(base)] if as_root else [base, debian]
    return list(dict.fromkeys(ordered))


def choose_python(paths: Sequence[str], run_as: Sequence[str] = ()) -> Python:
    """Return the first of `paths` that is 3.11 or newer and has venv, ssl and sqlite3.

    Args:
        paths: interpreters.
        run_as: the beginning of a command line that runs them as the account that will use the venv.

    Raises:
        LaunchProblem: if none is.
    """
    reasons = []
    for path in paths:
        version, reason = _probe(path, run_as)
        if version and tuple(int(part) for part in version.split(".")[:2]) >= (3, 11):
            return Python(path, version)
        reasons.append(f"{path}: {f'version {version}' if version else reason}")
    raise LaunchProblem(
        "Restante needs Python 3.11 or newer with venv, ssl and sqlite3 (Debian 12 or newer: "
        f"apt-get install python3 python3-venv); found {'; '.join(reasons)}."
    )


def _probe(path: str, run_as: Sequence[str]) -> tuple[str, str]:
    """Return the version of an interpreter that can make a venv, or an empty string and why not."""
    try:
        done = subprocess.run(
            [*run_as, path, "-I", "-B", "-c", _PROBE], capture_output=True, text=True, check=False, cwd="/"
        )
    except OSError as err:
        return "", err.strerror or str(err)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return "", lines[-1] if lines else f"exit code {done.returncode}"
    return done.stdout.strip().rstrip("+"), ""


def is_current(venv: Path, python: Python, requirements: Sequence[Path]) -> bool:
    """Say whether `venv` was completely made at this place, of `python`, with these requirement files."""
    stamp = _read_stamp(venv)
    return _same_base(stamp, venv, python) and all(
        stamp["requirements"].get(file.name) == _digest(file) for file in requirements
    )


def ensure_venv(venv: Path, python: Python, requirements: Sequence[Path]) -> None:
    """Make `venv` hold the requirements; does nothing when its stamp says so.

    One that is half made, was moved here, or is of another Python is made again from nothing. pip's own
    configuration (the user's, the machine's, PIP_ variables) counts as it does anywhere.

    Args:
        venv: its folder.
        python: what it is made of.
        requirements: the files; the last names all that is needed, the ones before are what it includes.

    Raises:
        LaunchProblem: if the venv or a package cannot be made.
    """
    if is_current(venv, python, requirements):
        return
    if venv.exists() and not os.access(venv, os.W_OK):
        raise LaunchProblem(f"{venv} belongs to another account: remove it and start again.")
    if not _same_base(_read_stamp(venv), venv, python):
        say(f"Making {venv} with Python {python.version} ({python.path}).")
        _run(
            [python.path, "-I", "-m", "venv", "--clear", str(venv)],
            "The virtual environment could not be made",
        )
    stamp = venv / _STAMP
    stamp.unlink(missing_ok=True)
    say(f"Installing Python packages of {requirements[-1].name} into {venv.name}; this can take a minute.")
    pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "--no-input", "-r", str(requirements[-1])], "pip could not install the Python packages")
    _write_stamp(stamp, venv, python, requirements)


def _run(command: Sequence[str], problem: str) -> None:
    if subprocess.run(command, check=False, stdin=subprocess.DEVNULL).returncode:
        raise LaunchProblem(f"{problem}; the messages are above. When solved, start again.")


def _same_base(stamp: dict[str, dict[str, str]], venv: Path, python: Python) -> bool:
    return stamp.get("base") == {**asdict(python), "venv": str(venv)} and os.access(
        venv / "bin" / "python", os.X_OK
    )


def _read_stamp(venv: Path) -> dict[str, dict[str, str]]:
    """Return the stamp, or nothing when there is none that this version wrote."""
    try:
        stamp = json.loads((venv / _STAMP).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    is_ours = isinstance(stamp, dict) and all(
        isinstance(stamp.get(key), dict) for key in ("base", "requirements")
    )
    return stamp if is_ours else {}


def _write_stamp(stamp: Path, venv: Path, python: Python, requirements: Sequence[Path]) -> None:
    content = {
        "base": {**asdict(python), "venv": str(venv)},
        "requirements": {file.name: _digest(file) for file in requirements},
    }
    beside = stamp.with_suffix(".new")
    beside.write_text(json.dumps(content, indent=1), "utf-8")
    beside.replace(stamp)


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
