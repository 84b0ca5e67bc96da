"""The Debian 13 folder of the tests: where it lies, and what of this machine's pip it needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from launch.problem import LaunchProblem
from tests import debian13


def test_the_folder_lies_in_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(debian13.PLACE, raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert debian13._place() == Path("/var/cache/restante/debian-13")
    monkeypatch.setenv("XDG_CACHE_HOME", "/home/ann/.cache")
    assert debian13._place() == Path("/home/ann/.cache/restante/debian-13")
    monkeypatch.setenv(debian13.PLACE, "/srv/trixie")
    assert debian13._place() == Path("/srv/trixie")


@pytest.mark.parametrize("place", ["trixie", str(debian13.CHECKOUT), str(debian13.CHECKOUT / "var/trixie")])
def test_a_folder_that_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setenv(debian13.PLACE, place)
    with pytest.raises(LaunchProblem, match="outside the checkout"):
        debian13._place()


def test_what_pips_settings_name_is_found(tmp_path: Path) -> None:
    (tmp_path / "index/simple").mkdir(parents=True)
    (tmp_path / "wheels").mkdir()
    (tmp_path / "constraints.txt").touch()
    settings = tmp_path / "pip.conf"
    settings.write_text(
        f"[global]\nextra-index-url =\n  file://{tmp_path}/index/simple\n  https://index.example/simple\n"
        f"find-links = {tmp_path}/wheels\nconstraint = {tmp_path}/constraints.txt\ncert = {tmp_path}/gone.pem\n"
    )
    assert set(debian13._places(debian13._values(settings))) == {
        tmp_path / "index",
        tmp_path / "wheels",
        tmp_path / "constraints.txt",
    }


def test_how_registries_are_reached_is_passed_on_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "NO_PROXY", "PIP_CERT", "SSL_CERT_FILE", "SECRET_KEY", "DATABASE_URL"):
        monkeypatch.setenv(name, "x")
    passed = debian13._environment()
    assert {"https_proxy", "NO_PROXY", "PIP_CERT", "SSL_CERT_FILE"} <= set(passed)
    assert not {"SECRET_KEY", "DATABASE_URL", "PATH"} & set(passed)
