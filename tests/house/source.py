"""The project's own source, as the house tests read it."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
FACE = ROOT / "weir"
ROOMS: tuple[str, ...] = tuple(sorted(path.name for path in FACE.iterdir() if path.is_symlink()))
"""The folders that are packages of ``weir``: it holds a link to each."""
CORES = ("streaming/core", "inference/core")


def product_files() -> list[Path]:
    """Every Python file that is installed, and the Feast repository next to it."""
    own = [path for path in FACE.iterdir() if path.is_dir() and not path.is_symlink()]
    rooms = [path for room in (*(ROOT / name for name in ROOMS), *own) for path in room.rglob("*.py")]
    return sorted([*rooms, *FACE.glob("*.py"), *(ROOT / "feast").glob("*.py")])


def files_of_tests() -> list[Path]:
    """Every Python file of the tests."""
    return sorted((ROOT / "tests").rglob("*.py"))


def name_of(path: Path) -> str:
    """The path as a reader knows it."""
    return path.relative_to(ROOT).as_posix()


def find_all(paths: Iterable[Path], find: Callable[[Path], T]) -> dict[str, T]:
    """Return what is found in files, by their names, where anything is: a test for each file would take longer."""
    return {name_of(path): found for path in paths if (found := find(path))}


def is_core(path: Path) -> bool:
    """Whether the file belongs to a pure core."""
    return name_of(path).startswith(CORES)


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of a file, methods and nested ones included."""
    for node in ast.walk(_parse(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """How many lines it takes, signature and docstring included."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


@cache
def dotted_names(path: Path) -> tuple[tuple[str, int], ...]:
    """Every name as it is written in an expression (``time.time``, ``print``), with its line."""
    found = (node for node in ast.walk(_parse(path)) if isinstance(node, ast.Name | ast.Attribute))
    return tuple((ast.unparse(node), node.lineno) for node in found)


@cache
def _parse(path: Path) -> ast.Module:
    """Each rule reads each file: it is parsed once."""
    return ast.parse(path.read_text())
