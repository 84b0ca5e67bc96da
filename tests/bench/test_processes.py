"""Clearing up is not interrupted, and a session's processes are found."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import FrameType

from bench.processes import end, launch, session_cpu, session_pids, session_pss, uninterrupted


def test_an_interruption_waits_until_clearing_up_is_done() -> None:
    seen: list[str] = []

    def note(_number: int, _frame: FrameType | None) -> None:
        seen.append("interrupted")

    before = signal.signal(signal.SIGTERM, note)
    try:
        with uninterrupted():
            os.kill(os.getpid(), signal.SIGTERM)
            seen.append("cleared up")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == ["cleared up", "interrupted"]


def test_a_session_is_found_measured_and_ended_whole(tmp_path: Path) -> None:
    # The child ignores SIGTERM, and its parent does not wait for it.
    child = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    parent = (
        f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(600)"
    )
    tmp_path.chmod(0o755)
    process = launch(
        ["/usr/bin/python3", "-c", parent.replace("sys.executable", "'/usr/bin/python3'")], tmp_path / "log"
    )
    try:
        while "up" not in (tmp_path / "log").read_text():
            assert process.poll() is None
        assert len(session_pids(process.pid)) == 2
        assert session_pss(process.pid) > 0
        assert session_cpu(process.pid) >= 0
    finally:
        end(process)
    assert session_pids(process.pid) == []
