"""The list of processes, as supervisord itself reads it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from supervisor.options import ServerOptions

from launch.account import Account, own_account
from launch.folders import make_folders
from launch.problem import LaunchProblem
from launch.programs import manage, programs
from launch.render import supervisord_conf
from panel.environment import Environment

SERVICE = Account("restante", 990, 991)


def _read(
    settings: Environment, checkout: Path, account: Account | None
) -> tuple[ServerOptions, dict[str, Any]]:
    """Return what supervisord makes of the rendered file: its options and its programs by name."""
    make_folders(settings.data_dir, own_account(), own_account())
    conf = settings.data_dir.processes / "supervisord.conf"
    text = supervisord_conf(settings.data_dir, checkout, programs(settings, checkout, account), account)
    conf.write_text(text)
    options = ServerOptions()
    options.realize(["-c", str(conf)])
    return options, {group.name: group.process_configs[0] for group in options.process_group_configs}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "check out %s (100%)"
    folder.mkdir()
    return folder


def test_order_and_restarting(settings: Environment, checkout: Path) -> None:
    _, found = _read(settings, checkout, None)
    ordered = sorted(found.values(), key=lambda process: process.priority)
    assert [process.name for process in ordered] == ["redis", "mail", "recorder", "web", "worker", "beat"]
    for process in ordered:
        assert process.autorestart is not False
        assert process.startretries == 1_000_000
        assert process.redirect_stderr
        assert process.umask == 0o077
        assert process.stdout_logfile == str(settings.data_dir.logs / f"{process.name}.log")
    assert found["mail"].stopwaitsecs >= 15
    assert not found["mail"].killasgroup


def test_percent_signs_arrive_as_they_are(settings: Environment, checkout: Path) -> None:
    options, found = _read(settings, checkout, None)
    assert options.directory == str(checkout)
    assert f"'{checkout}/.venv/bin/gunicorn'" in found["web"].command
    assert '"%(m)s %(U)s %(H)s" %(s)s' in found["web"].command


def test_the_access_log_holds_nothing_private(settings: Environment, checkout: Path) -> None:
    _, found = _read(settings, checkout, None)
    for field in ("%(q)s", "%(r)s", "%(u)s", "%(f)s", "authorization}i"):
        assert field not in found["web"].command


def test_no_secret_is_written(settings: Environment, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", settings.secret_key)
    kept = replace(
        settings, database_url="postgres://u:hidden@db/restante", redis_url="redis://:hidden@cache/0"
    )
    text = supervisord_conf(kept.data_dir, checkout, programs(kept, checkout, None), None)
    assert "hidden" not in text
    assert settings.secret_key not in text


def test_no_private_redis_beside_another(settings: Environment, checkout: Path) -> None:
    _, found = _read(replace(settings, redis_url="redis://cache/0"), checkout, None)
    assert set(found) == {"mail", "recorder", "web", "worker", "beat"}


def test_as_root_only_the_mail_service_stays_root(settings: Environment, checkout: Path) -> None:
    kept = programs(settings, checkout, SERVICE)
    for program in kept:
        command = program.supervised(SERVICE)
        assert ("--reuid" in command) == (program.name != "mail")
        assert command[command.index("--pdeathsig") + 1] == "TERM"
    mail = next(program for program in kept if program.name == "mail")
    assert mail.command[-2:] == ("--account", "restante")
    text = supervisord_conf(settings.data_dir, checkout, kept, SERVICE)
    assert text.count(f'HOME="{settings.data_dir.run}"') == len(kept) - 1
    assert "user = root" in text


def test_as_an_ordinary_user_nobody_changes_account(settings: Environment, checkout: Path) -> None:
    for program in programs(settings, checkout, None):
        assert "--reuid" not in program.supervised(None)
        assert "--account" not in program.command
    assert "--reuid" not in manage(checkout, None, ["firstrun"])
    assert manage(checkout, SERVICE, ["firstrun"])[-1] == "firstrun"


def test_nothing_listens_for_commands(settings: Environment, checkout: Path) -> None:
    options, _ = _read(settings, checkout, None)
    assert options.server_configs == []


@pytest.mark.parametrize("name", ["a;b", 'a"b', "a'b", "a\nb", "a#b"])
def test_a_path_that_cannot_be_written_is_refused(settings: Environment, name: str) -> None:
    with pytest.raises(LaunchProblem, match="path"):
        supervisord_conf(settings.data_dir, Path("/opt") / name, [], None)


def test_the_units_run_every_process() -> None:
    folder = Path(__file__).resolve().parents[2] / "deploy" / "systemd"
    target = (folder / "restante.target").read_text()
    for name in ("redis", "mail", "recorder", "web", "worker", "beat"):
        unit = (folder / f"restante-{name}.service").read_text()
        assert f"-m launch program {name}{os.linesep}" in unit
        assert f"User={'root' if name == 'mail' else 'restante'}\n" in unit
        assert f"restante-{name}.service" in target
