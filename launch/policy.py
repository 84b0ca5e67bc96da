"""policy-rc.d: keep Debian's packages from starting their services while they are installed.

invoke-rc.d asks /usr/sbin/policy-rc.d before it starts anything; exit 101 means "action forbidden by
policy" (BACKGROUND in invoke-rc.d(8), /usr/share/doc/init-system-helpers/README.policy-rc.d.gz).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

POLICY = Path("/usr/sbin/policy-rc.d")

#: By this line a file left behind by a killed start is known as ours.
_MARK = "# Restante: nothing is started while it installs packages. Removed afterwards."
_DENY = f"#!/bin/sh\n{_MARK}\nexit 101\n"


def _kept(policy: Path) -> Path:
    return policy.with_name(policy.name + ".kept-by-restante")


def _is_ours(policy: Path) -> bool:
    try:
        return _MARK in policy.read_text("utf-8", "replace")
    except FileNotFoundError:
        return False


def is_left_over(policy: Path = POLICY) -> bool:
    """Say whether a start that was killed has left its denial behind."""
    return _is_ours(policy) or os.path.lexists(_kept(policy))


def restore(policy: Path = POLICY) -> None:
    """Put back what was there before `deny`, also after a start that was killed half way.

    Does nothing when nothing is left over. A policy that somebody else wrote in the meantime is the newer
    will: it stays, and so does the one that was kept aside.

    Raises:
        OSError: if the folder cannot be written.
    """
    kept = _kept(policy)
    if os.path.lexists(policy) and not _is_ours(policy):
        return
    if os.path.lexists(kept):
        kept.replace(policy)
    else:
        policy.unlink(missing_ok=True)


@contextmanager
def deny(policy: Path = POLICY) -> Iterator[None]:
    """Forbid starting services inside the `with`; afterwards everything is as it was, bytes, mode and owner.

    An existing policy is renamed aside, not copied, so that nothing about it can change.

    Args:
        policy: the file that invoke-rc.d runs.

    Raises:
        OSError: if the folder cannot be written.
    """
    restore(policy)
    ours = policy.with_name(policy.name + ".restante-new")
    ours.write_text(_DENY, "utf-8")
    ours.chmod(0o755)
    try:
        if os.path.lexists(policy):
            policy.rename(_kept(policy))
        ours.rename(policy)
        yield
    finally:
        ours.unlink(missing_ok=True)
        restore(policy)
