"""A Feast repository next to an archive. Feast has an environment of its own: `make test-feast`."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.feast.logged import build_archive, build_rows
from tests.house.source import ROOT

# without the library the folder of this name is found, which is no file
_library = find_spec("feast")
collect_ignore_glob = [] if _library is not None and _library.origin else ["test_*.py"]


@pytest.fixture(scope="session")
def logged() -> pa.Table:
    """The feature rows of the archive."""
    return build_rows(2_000, ids=12)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory, logged: pa.Table) -> Any:
    """What `feast -c feast apply` makes of the repository as it is shipped."""
    project = tmp_path_factory.mktemp("project")
    build_archive(project / ".weir" / "archive", logged)
    return apply(project)


def apply(project: Path) -> Any:
    """Put the repository into a project's folder and apply it by Feast's own command."""
    from click.testing import CliRunner  # noqa: PLC0415 - only where Feast is
    from feast import FeatureStore  # noqa: PLC0415
    from feast.cli.cli import cli  # noqa: PLC0415

    (project / "feast").mkdir()
    for name in ("feature_store.yaml", "repository.py"):
        shutil.copy(ROOT / "feast" / name, project / "feast")
    before = Path.cwd()
    try:
        os.chdir(project)
        applied = CliRunner().invoke(cli, ["-c", "feast", "apply"])
    finally:
        os.chdir(before)
    assert applied.exit_code == 0, applied.output + repr(applied.exception)
    return FeatureStore(repo_path=str(project / "feast"))
