"""supervisord's configuration, as text (http://supervisord.org/configuration.html)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from launch.account import Account
from launch.problem import LaunchProblem
from launch.programs import Program
from mailbackend.paths import DataDir

#: supervisord closes all lower numbers in every child it starts, one by one.
_FILES = 1024
#: `;` and `#` begin a comment, quotes would have to be escaped twice.
_UNUSABLE = re.compile(r"[\x00-\x1f\x7f;#\"'`\\]")


def supervisord_conf(
    data_dir: DataDir, checkout: Path, programs: Sequence[Program], account: Account | None
) -> str:
    """Return the configuration that keeps `programs` running; it holds no secret.

    Args:
        data_dir: where logs and the pid go.
        checkout: the folder that the programs are run in.
        programs: in the order in which they start.
        account: what root hands the work to; None when started by an ordinary user.

    Raises:
        LaunchProblem: if the checkout's path cannot be written into it.
    """
    if _UNUSABLE.search(str(checkout)):
        raise LaunchProblem(
            f"{checkout}: quotes, backslash, ; and # in the checkout's path do not work. Move it."
        )
    main = {
        "nodaemon": "true",
        # Without it supervisord warns, as root, that it does not change its account.
        **({"user": "root"} if account else {}),
        "logfile": str(data_dir.logs / "supervisord.log"),
        **_rotation("logfile"),
        "loglevel": "info",
        "pidfile": str(data_dir.processes / "supervisord.pid"),
        "childlogdir": str(data_dir.logs),
        "directory": str(checkout),
        "identifier": "restante",
        "minfds": str(_FILES),
        "umask": "077",
        "nocleanup": "true",
        "strip_ansi": "true",
    }
    sections = [_section("supervisord", main)]
    for place, program in enumerate(programs, start=1):
        sections.append(_section(f"program:{program.name}", _program(data_dir, program, account, place * 10)))
    return "\n".join(sections)


def _program(data_dir: DataDir, program: Program, account: Account | None, priority: int) -> dict[str, str]:
    # By the marker a later start knows what an earlier one has left running.
    environment = {"RESTANTE_PROGRAM": program.name}
    if account and not program.as_root:
        environment |= account_environment(data_dir, account)
    return {
        "command": " ".join(shlex.quote(part) for part in program.supervised(account)),
        "priority": str(priority),
        "autostart": "true",
        "autorestart": "true",
        "startsecs": "1",
        "startretries": "1000000",
        "stopsignal": "TERM",
        "stopwaitsecs": str(program.stop_seconds),
        # SIGTERM goes to the process alone, which ends its children in its own order.
        "stopasgroup": "false",
        "killasgroup": "true" if program.kill_group else "false",
        "umask": "077",
        "environment": ",".join(f'{name}="{value}"' for name, value in environment.items()),
        "redirect_stderr": "true",
        "stdout_logfile": str(data_dir.logs / f"{program.name}.log"),
        **_rotation("stdout_logfile"),
    }


def account_environment(data_dir: DataDir, account: Account) -> Mapping[str, str]:
    """Return the variables that differ for `account`; it has no home: the folder of small state."""
    return {"HOME": str(data_dir.run), "USER": account.name, "LOGNAME": account.name}


def _rotation(log: str) -> dict[str, str]:
    return {f"{log}_maxbytes": "10MB", f"{log}_backups": "3"}


def _section(name: str, values: Mapping[str, str]) -> str:
    # A % begins an expansion, as in %(ENV_HOME)s.
    lines = [f"{key} = {value.replace('%', '%%')}" for key, value in values.items()]
    return "\n".join([f"[{name}]", *lines, ""])
