"""What the launcher's tests share."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailbackend.config import Ports
from mailbackend.paths import DataDir
from panel.branding import Brand
from panel.environment import Environment


@pytest.fixture
def short_path() -> Iterator[Path]:
    """Return a folder whose path is short enough for sockets, which pytest's own is not always."""
    folder = Path(tempfile.mkdtemp(prefix="r", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def data_dir(short_path: Path) -> DataDir:
    """Return the layout of a DATA_DIR that does not exist yet."""
    return DataDir.at(str(short_path / "data"))


@pytest.fixture
def settings(data_dir: DataDir) -> Environment:
    """Return settings as they are by default."""
    return Environment(
        data_dir=data_dir,
        database_url="",
        redis_url="",
        secret_key="not to be shown",
        panel_host="127.0.0.1",
        panel_port=8000,
        panel_url="http://localhost:8000",
        trusted_proxies=(),
        mail_host="localhost",
        mail_listen=("127.0.0.1",),
        mail_ports=Ports(),
        mx_hosts=("localhost",),
        smtp_host="",
        smtp_port=465,
        tls_certificate="",
        tls_key="",
        dovecot_bin="",
        dns_servers=(),
        time_zone="UTC",
        email_url="",
        email_from="restante@localhost",
        brand=Brand(),
        debug=False,
    )
