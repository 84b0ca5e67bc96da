"""Secrets are made once, whole, and for nobody else's eyes."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

from panel.core.keys import read, read_or_make


def test_secret_is_made_once(tmp_path: Path) -> None:
    first = read_or_make(tmp_path / "key")
    assert len(first) >= 43
    assert read_or_make(tmp_path / "key") == first
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_reading_makes_nothing(tmp_path: Path) -> None:
    assert read(tmp_path / "keys" / "key") == ""
    assert list(tmp_path.iterdir()) == []


def test_many_at_once_agree(tmp_path: Path) -> None:
    read: list[str] = []
    threads = [
        threading.Thread(target=lambda: read.append(read_or_make(tmp_path / "key"))) for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read) == 16
    assert len(set(read)) == 1
