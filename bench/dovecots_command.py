"""`doveadm` as an administrator types it, with the configuration that Dovecot runs with."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from bench.processes import BenchProblem, become
from bench.product import Product


def doveadm(product: Product, *arguments: str) -> tuple[float, bytes]:
    """Run `doveadm` as the account.

    Args:
        product: whose configuration, which must be running.
        arguments: as they are typed.

    Returns:
        the seconds that it took, and what it printed.

    Raises:
        BenchProblem: if it failed.
    """
    kept = product.stand.data_dir.configurations
    newest = max((each for each in kept.iterdir() if each.name.isdigit()), key=_number)
    command = [*become(), "doveadm", "-c", str(newest / "dovecot.conf"), *arguments]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise BenchProblem(f"doveadm {arguments[0]} failed: {done.stderr[:500]!r}")
    return seconds, done.stdout


def _number(folder: Path) -> int:
    return int(folder.name)
