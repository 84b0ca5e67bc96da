"""Which packages are missing, and which services a package brings."""

from __future__ import annotations

import os
import shutil

import pytest

from launch import packages
from launch.problem import LaunchProblem


def test_what_is_wanted() -> None:
    assert "chromium" not in packages.wanted(as_root=True, for_tests=False)
    assert {"chromium", "dovecot-core"} < set(packages.wanted(as_root=False, for_tests=True))
    assert "acl" in packages.wanted(as_root=True, for_tests=False)
    assert "acl" not in packages.wanted(as_root=False, for_tests=False)


def test_missing_keeps_order_and_leaves_out_what_is_installed() -> None:
    assert packages.missing(["zz-none", "dpkg", "aa-none"]) == ["zz-none", "aa-none"]


def test_not_a_debian_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(LaunchProblem, match="Debian 12 or newer"):
        packages.missing(["dpkg"])


def test_without_root_and_sudo_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(packages, "missing", lambda _names: ["dovecot-core", "redis-server"])
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(LaunchProblem) as caught:
        packages.ensure(["dovecot-core", "redis-server"])
    assert "apt-get install -y --no-install-recommends dovecot-core redis-server" in str(caught.value)
    assert caught.value.exit_code == 1


def test_only_our_own_packages_are_installed_as_root() -> None:
    with pytest.raises(LaunchProblem, match="openssh-server"):
        packages.install_as_root(["dovecot-core", "openssh-server"])


def test_services_of_a_package() -> None:
    files = [
        "/lib/systemd/system/redis-server.service",
        "/lib/systemd/system/redis-server@.service",
        "/usr/lib/systemd/system/dovecot.socket",
        "/usr/lib/systemd/user/pulse.service",
        "/lib/systemd/system/multi-user.target.wants/x.service",
        "/etc/init.d/redis-server",
        "/etc/default/redis-server",
    ]
    assert packages.service_names(files) == (["dovecot.socket", "redis-server.service"], ["redis-server"])
