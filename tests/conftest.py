"""Fixtures that live and browser tests share: one stand for each xdist worker."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from launch.catalogues import compile_catalogues
from tests.environment import CLUSTER
from tests.stand import Stand
from tests.translations.extraction import CHECKOUT


def pytest_configure() -> None:
    """Have the languages as their catalogues say now, also where the tests are started without `make`."""
    compile_catalogues(CHECKOUT / "locale")


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Have SQLite's test database in a file, as the service has it: one in memory locks whole tables."""
    from django.conf import settings

    database = settings.DATABASES["default"]
    if database["ENGINE"].endswith("sqlite3"):
        database["TEST"]["NAME"] = str(settings.DATA_DIR.root / "database" / "test.sqlite3")


StandMaker = Callable[..., Stand]


def _stands(config: pytest.Config) -> Iterator[StandMaker]:
    """Yield what makes stands, with settings of their own; all are removed at the end."""
    made: list[Stand] = []

    def make(**settings: str) -> Stand:
        stand = Stand(
            privileges=config.getoption("--privileges"),
            cluster_url=os.environ.get(CLUSTER, ""),
            settings=settings,
        )
        made.append(stand)
        return stand

    yield make
    for stand in made:
        stand.begin_to_stop()
    for stand in made:
        stand.remove()


@pytest.fixture(scope="module")
def make_stand(request: pytest.FixtureRequest) -> Iterator[StandMaker]:
    """Make further stands. They go with the module: each takes hundreds of MB, and is never idle."""
    yield from _stands(request.config)


@pytest.fixture(scope="session")
def stand(request: pytest.FixtureRequest) -> Iterator[Stand]:
    """This worker's stand, running."""
    stands = _stands(request.config)
    running = next(stands)()
    running.start()
    yield running
    next(stands, None)
