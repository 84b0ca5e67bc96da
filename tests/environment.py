"""What tests run in: their own DATA_DIR, and a database of their own, chosen before Django reads its settings.

Loaded by `-p tests.environment`, so that it is there before pytest-django.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

from mailbackend.paths import DataDir
from tests.postgres import Cluster

#: Where the tests' PostgreSQL cluster answers; xdist's workers inherit it from the process that started it.
CLUSTER = "RESTANTE_TEST_CLUSTER"

_cluster: Cluster | None = None


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the two choices that a run has."""
    group = parser.getgroup("restante")
    group.addoption("--database", choices=["sqlite", "postgres"], default="sqlite")
    group.addoption("--screenshot", help="where the story leaves the README's picture")
    group.addoption("--write-access-table", action="store_true", help="write docs/access.md as it is seen")
    group.addoption(
        "--privileges",
        choices=["ordinary", "root"],
        default="ordinary",
        help="who starts the stand of live and browser tests; root needs root",
    )


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None]:
    """Prepare before pytest-django, which reads the settings in this same hook."""
    global _cluster
    options = early_config.known_args_namespace
    if options.privileges == "root" and os.geteuid() != 0:
        raise pytest.UsageError("--privileges root needs root.")
    if options.database == "postgres":
        if CLUSTER not in os.environ:
            _cluster = Cluster.start()
            os.environ[CLUSTER] = _cluster.url
        os.environ["DATABASE_URL"] = os.environ[CLUSTER]
    else:
        os.environ.pop("DATABASE_URL", None)
    data_dir = DataDir(Path(tempfile.mkdtemp(prefix="rt-")))
    for name in DataDir.ACCOUNT_OWNED:
        (data_dir.root / name).mkdir()
    os.environ["DATA_DIR"] = str(data_dir.root)
    os.environ["SECRET_KEY"] = "of the tests"
    os.environ["DJANGO_SETTINGS_MODULE"] = "panel.settings"
    for name in ("REDIS_URL", "PANEL_URL", "PANEL_BIND", "MAIL_HOST", "MAIL_LISTEN"):
        os.environ.pop(name, None)
    yield


def pytest_unconfigure() -> None:
    """Stop the cluster that this process started."""
    if _cluster is not None:
        _cluster.stop()
