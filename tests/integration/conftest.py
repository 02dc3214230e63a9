"""What several integration tests stand on."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.database import running_postgresql
from tests.integration.services import Services
from tests.unit.inference.bundles import link_champion, write_bundle
from weir.infra.redis.client import Client, connect
from weir.infra.settings import Settings


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """URL of a PostgreSQL server."""
    with running_postgresql() as url:
        yield url


@pytest.fixture
def space() -> str:
    """Name that keeps a test's keys apart in Redis."""
    return secrets.token_hex(6)


@pytest.fixture
def client(stack: Settings) -> Iterator[Client]:
    """A client of the embedded Redis."""
    with closing(connect(stack.redis)) as connected:
        yield connected


@pytest.fixture
def services(deployment: Settings, tmp_path: Path) -> Iterator[Services]:
    """Services of a deployment that has a small model."""
    link_champion(tmp_path, write_bundle(tmp_path / "models" / "tiny-1"))
    running = Services(deployment.model_copy(update={"home": tmp_path}), tmp_path / "logs")
    yield running
    running.stop()
