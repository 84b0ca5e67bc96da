"""What `bench.inside` does for the measurements of the recorder: logs that are made up, and rows of them."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection

from bench.log_text import Writer
from mailbackend.paths import DataDir
from panel.connections import recorder
from panel.connections.models import Connection, HourlyCount, LogGap, LogPosition
from panel.connections.storing import COLUMNS

#: The Dovecot whose log this is said to be.
NODE = "bench"
#: Seconds to wait for a row.
_PATIENCE = 30.0
_POLL = 0.002
#: Lines of one segment of the long log.
_SEGMENT = 25_000


def write_log(addresses: Sequence[str], connections: int) -> dict[str, Any]:
    """Write the log of so many connections, and return how long it is."""
    data = _folder("recorder-log")
    lines = size = 0
    with _segment(data, 1).open("w", encoding="utf-8") as file:
        for line in Writer(addresses, seed=1).lines(connections):
            file.write(line)
            lines += 1
            size += len(line)
    return {"connections": connections, "lines": lines, "bytes": size}


def remove_log() -> dict[str, Any]:
    """Take the log and its rows away."""
    _empty()
    data = _folder("recorder-log")
    for path in sorted(data.root.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    data.root.rmdir()
    return {}


def record() -> dict[str, Any]:
    """Record the log into an empty table, and return rows/s."""
    _empty()
    started = time.perf_counter()
    recorder.store_all(_folder("recorder-log"), NODE)
    seconds = time.perf_counter() - started
    return {"rate": Connection.objects.filter(node=NODE).count() / seconds}


def create_rows() -> dict[str, Any]:
    """Create the rows that `record` left, as Django does it, and return rows/s."""
    values = list(Connection.objects.filter(node=NODE).order_by("pk").values_list(*COLUMNS))
    _empty()
    objects = [Connection(**dict(zip(COLUMNS, row, strict=True))) for row in values]
    started = time.perf_counter()
    Connection.objects.bulk_create(objects, batch_size=500)
    return {"rate": len(objects) / (time.perf_counter() - started)}


def record_many(addresses: Sequence[str], lines: int) -> dict[str, Any]:
    """Record so many lines, and return this process's resident memory in MB after a tenth of them and after all."""
    data = _folder("recorder-long")
    text = Writer(addresses, seed=2).lines(lines)  # more connections than needed
    found = {}
    _empty()
    for number in range(1, lines // _SEGMENT + 1):
        path = _segment(data, number)
        with path.open("w", encoding="utf-8") as file:
            file.writelines(itertools.islice(text, _SEGMENT))
        path.chmod(0o440)
        recorder.store_all(data, NODE)
        if number > 1:
            _segment(data, number - 1).unlink()
        if number == lines // _SEGMENT // 10:
            found["tenth"] = _resident()
    found["end"] = _resident()
    _empty()
    return found


def await_row(port: int) -> dict[str, Any]:
    """Wait for the newest session from this port, and return when it was there (time.monotonic, of the machine)."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        newest = Connection.objects.order_by("-pk").values_list("remote_port", "outcome", "ended_at")[:1]
        if list(newest) == [(port, Connection.Outcome.ACCEPTED, None)]:
            return {"at": time.monotonic()}
        time.sleep(_POLL)
    raise RuntimeError("The row of a login does not come.")


def _folder(name: str) -> DataDir:
    data = DataDir(settings.DATA_DIR.run / name)
    for folder in (data.root, data.events, data.run):
        folder.mkdir(exist_ok=True)
    return data


def _segment(data: DataDir, number: int) -> Path:
    return data.events / f"{number:08d}.log"


def _empty() -> None:
    """Leave nothing of this node: tables as they are at first."""
    HourlyCount.objects.all().delete()
    for model in (LogGap, LogPosition):
        model.objects.filter(node=NODE).delete()
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"TRUNCATE {Connection._meta.db_table}")
    else:
        Connection.objects.all().delete()


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
