"""The API over twins in memory, for those tests that have none of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.inference.test_api import NOW_MS, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world that saw three payments of the card."""
    made = World(tmp_path)
    made.see(NOW_MS - 7_200_000, NOW_MS - 60_000, NOW_MS - 1_000)
    yield made
    made.guard.close()
