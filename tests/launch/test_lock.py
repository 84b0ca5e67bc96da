"""Two starts on one DATA_DIR, and what a killed one leaves behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from launch.account import own_account
from launch.folders import make_folders
from launch.leftovers import end_leftovers, find_leftovers, is_our_dovecot
from launch.lock import take_lock
from launch.problem import LaunchProblem
from mailbackend.paths import DataDir
from tests.stand import wait_for


def test_the_second_start_is_told_who_runs(tmp_path: Path) -> None:
    held = take_lock(tmp_path)
    with pytest.raises(LaunchProblem, match=rf"already running on .* \(PID {os.getpid()}\)"):
        take_lock(tmp_path)
    os.close(held)
    os.close(take_lock(tmp_path))


def test_the_lock_passes_to_the_program_that_the_process_becomes(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from launch.lock import keep_over_exec, take_lock; "
        "keep_over_exec(take_lock(Path(sys.argv[1]))); os.execv('/bin/sh', ['sh', '-c', 'echo ready; cat'])"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    checkout = Path(__file__).resolve().parents[2]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=checkout) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        with pytest.raises(LaunchProblem, match=f"PID {process.pid}"):
            take_lock(tmp_path)
        process.communicate()
    os.close(take_lock(tmp_path))


def _sleeper(data_dir: DataDir, **more: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "60"], env={**os.environ, "DATA_DIR": str(data_dir.root), **more})


def test_leftovers_are_known_by_both_marks_and_ended(
    data_dir: DataDir, capfd: pytest.CaptureFixture[str]
) -> None:
    other = DataDir.at(f"{data_dir.root}-other")
    processes = [
        _sleeper(data_dir, RESTANTE_PROGRAM="web"),
        _sleeper(data_dir),
        _sleeper(other, RESTANTE_PROGRAM="web"),
    ]
    try:
        assert [(left.pid, left.program) for left in find_leftovers(data_dir)] == [(processes[0].pid, "web")]
        end_leftovers(data_dir, patience=0.3)
        assert processes[0].wait(5) == -9
        assert processes[1].poll() is None
        assert processes[2].poll() is None
        assert find_leftovers(data_dir) == []
        assert f"Killing web (PID {processes[0].pid})" in capfd.readouterr().out
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_a_dovecot_is_known_by_its_instance(data_dir: DataDir) -> None:
    me = own_account()
    make_folders(data_dir, me, me)
    with subprocess.Popen(["restante-0123abcd/imap-login", "60"], executable="/bin/sleep") as process:
        try:
            # Popen returns when the old program's files are closed; the new one's command line is there a moment later.
            wait_for(lambda: Path(f"/proc/{process.pid}/cmdline").read_bytes() != b"", "a command line")
            assert not is_our_dovecot(process.pid, data_dir)
            data_dir.mail_config.write_text(json.dumps({"instance": "restante-0123abcd"}))
            assert is_our_dovecot(process.pid, data_dir)
            data_dir.mail_config.write_text(json.dumps({"instance": "restante-99999999"}))
            assert not is_our_dovecot(process.pid, data_dir)
            data_dir.mail_config.write_text(json.dumps({"instance": ""}))
            assert not is_our_dovecot(process.pid, data_dir)
            data_dir.mail_config.write_text("not JSON")
            assert not is_our_dovecot(process.pid, data_dir)
        finally:
            process.kill()
