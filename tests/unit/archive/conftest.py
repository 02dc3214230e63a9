from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.archive.decided import build_archive


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with an archive of the golden log; a test that changes it works on a copy."""
    home = tmp_path_factory.mktemp("home")
    build_archive(home)
    return home
