"""The panel's languages: the catalogues that gettext reads, made of what translators write. Standard library only."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from launch.problem import LaunchProblem


def compile_catalogues(locale: Path) -> None:
    """Make each `.po` below `locale` into the `.mo` beside it, where that is not made of it already.

    The `.mo` bears the time of its `.po`: another version, newer or older, is seen as one.

    Raises:
        LaunchProblem: if msgfmt is missing, or finds a mistake in a catalogue.
    """
    for source in sorted(locale.glob("*/LC_MESSAGES/*.po")):
        compiled = source.with_suffix(".mo")
        if _is_made_of(compiled, source):
            continue
        beside = compiled.with_name(f".{compiled.name}-{os.getpid()}")
        written = source.stat().st_mtime_ns
        try:
            _msgfmt(source, beside)
            beside.chmod(0o644)  # the service account reads what root has made
            os.utime(beside, ns=(written, written))
            beside.replace(compiled)
        finally:
            beside.unlink(missing_ok=True)


def _is_made_of(compiled: Path, source: Path) -> bool:
    try:
        return compiled.stat().st_mtime_ns == source.stat().st_mtime_ns
    except FileNotFoundError:
        return False


def _msgfmt(source: Path, into: Path) -> None:
    command = ["msgfmt", "--check-format", "-o", str(into), str(source)]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    except FileNotFoundError as err:
        raise LaunchProblem("msgfmt was not found. As root, run: apt-get install gettext") from err
    if done.returncode:
        raise LaunchProblem(f"{source} cannot be used: {done.stderr.strip()}")
