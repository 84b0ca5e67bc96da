"""The command line itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from launch.__main__ import main

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("arguments", [[], ["walk"], ["run", "more"], ["program"]])
def test_a_wrong_command_shows_the_right_ones(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert "usage: python3 -m launch" in capsys.readouterr().err


def test_an_old_python_is_told_what_is_needed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 2, "final", 0))
    assert main(["run"]) == 1
    assert "python3 is version 3.9; Restante needs Python 3.11 or newer" in capsys.readouterr().err


def test_a_setting_that_cannot_be_used_is_one_line(short_path: Path) -> None:
    command = [sys.executable, "-B", "-m", "launch", "start"]
    environment = {"PATH": "/usr/bin:/bin", "DATA_DIR": str(short_path), "IMAPS_PORT": "99999"}
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("IMAPS_PORT is '99999'")
    assert len(done.stderr.splitlines()) == 1


def test_make_alone_shows_the_targets() -> None:
    done = subprocess.run(["make"], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    for target in ("run", "test", "test-all", "check"):
        assert f"  make {target} " in done.stdout
