"""The first stage: packages, languages, account, virtual environment. With Debian's Python; standard library only."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from launch import packages
from launch.account import as_account, ensure_account, open_the_way, verify_readable
from launch.catalogues import compile_catalogues
from launch.venv import candidates, choose_python, ensure_venv

CHECKOUT = Path(__file__).resolve().parent.parent
VENV = CHECKOUT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"


def prepare(*, for_tests: bool) -> None:
    """Bring the machine to where Restante, or its tests, can start; quick and silent when it is there.

    Args:
        for_tests: also the packages and requirements of the tests.

    Raises:
        LaunchProblem: saying what is missing and what to do.
    """
    as_root = os.geteuid() == 0
    # root's PATH, when taken over by su, can lack the folders of useradd and update-rc.d.
    os.environ["PATH"] = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    packages.ensure(packages.wanted(as_root=as_root, for_tests=for_tests))
    requirements = [CHECKOUT / "requirements.txt"]
    if for_tests:
        requirements.append(CHECKOUT / "requirements-dev.txt")
    with _alone():
        compile_catalogues(CHECKOUT / "locale")
        if not as_root:
            ensure_venv(VENV, choose_python(candidates(as_root=False)), requirements)
            return
        account = ensure_account()
        python = choose_python(candidates(as_root=True), as_account(account))
        umask = os.umask(0o022)  # the account must be able to read what root installs
        ensure_venv(VENV, python, requirements)
        os.umask(umask)
        open_the_way(CHECKOUT, account)
        verify_readable(CHECKOUT, VENV_PYTHON, account)


@contextmanager
def _alone() -> Iterator[None]:
    """Keep two starts in one checkout from building its venv at once."""
    descriptor = os.open(CHECKOUT, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
