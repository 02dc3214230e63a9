"""The release before: its commit is in ``RELEASE``, its tree is taken out of the history once and kept in ``build/``.

Its code runs in child processes alone, with its tree as their folder and first on their path; the packages are this
environment's. The kernel that it compiles stays with its tree.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).parents[2]
RELEASE, *MODULES = (Path(__file__).parent / "RELEASE").read_text().split()
"""The commit, and modules of that code, whose names may be others in this one."""
ARCHIVED = "d9f4eb95e91abeb439df5cc0719de6ea3529970f"
"""The newest commit whose archives were on disks before this code: the release before has no archive."""
_WHERE = "import importlib, sys; print(*[importlib.import_module(name).__file__ for name in sys.argv[1:]])"


def find_release(commit: str = RELEASE) -> Path:
    """Return the tree of the release before, or of another commit.

    Raises:
        unittest.SkipTest: this copy of the code has no such history, which no release before it can be taken out of.
    """
    tree = ROOT / "build" / "releases" / commit
    if not tree.is_dir():
        _export(tree, commit)
    return tree


def _export(tree: Path, commit: str) -> None:
    done = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=False)
    if done.returncode != 0:
        reason = f"expected commit {commit[:12]} in the history, found none; `git fetch --unshallow` brings it"
        raise unittest.SkipTest(reason)
    tree.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=tree.parent))
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(fresh, filter="data")
    try:
        fresh.rename(tree)
    except OSError:  # another process was faster
        shutil.rmtree(fresh)


def environment_of_tree(tree: Path) -> dict[str, str]:
    """Return what lets a child import a tree's code before any other."""
    return {"PYTHONPATH": str(tree)} if tree != ROOT else {}


def imported_from(tree: Path, environment: dict[str, str]) -> list[Path]:
    """Return where a child of the release before takes its code from."""
    done = subprocess.run(
        [sys.executable, "-c", _WHERE, *MODULES], cwd=tree, env=environment, capture_output=True, text=True, check=True
    )
    return [Path(path) for path in done.stdout.split()]
