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
_WHERE = "import importlib, sys; print(*[importlib.import_module(name).__file__ for name in sys.argv[1:]])"


def find_release() -> Path:
    """Return the tree of the release before.

    Raises:
        unittest.SkipTest: this copy of the code has no such history, which no release before it can be taken out of.
    """
    tree = ROOT / "build" / "releases" / RELEASE
    if not tree.is_dir():
        _export(tree)
    return tree


def _export(tree: Path) -> None:
    done = subprocess.run(["git", "archive", RELEASE], cwd=ROOT, capture_output=True, check=False)
    if done.returncode != 0:
        reason = f"expected commit {RELEASE[:12]} in the history, found none; `git fetch --unshallow` brings it"
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
