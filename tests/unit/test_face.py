"""What ``from weir import …`` gives: the names of a stream's file, loaded when they are asked for."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import weir
from tests.house.source import ROOT
from weir.schemas import entity, expression, rules, stream
from weir.schemas.checks.load_hints import FACE


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_stream_is_written_with_names_of_the_package_alone() -> None:
    namespace: dict[str, Any] = {}
    exec("from weir import *", namespace)
    homes = {name: importlib.import_module(str(namespace[name].__module__)) for name in weir.__all__}
    assert set(homes) == set(weir.__all__)
    assert set(homes.values()) == {entity, expression, rules, stream}
    assert set(weir.__all__) == FACE
    assert all(namespace[name] is getattr(home, name) for name, home in homes.items())


def test_a_type_checker_sees_the_names_that_there_are() -> None:
    (block,) = (node for node in ast.parse(Path(weir.__file__).read_text()).body if isinstance(node, ast.If))
    imported = [
        (alias.name, line.module) for line in block.body if isinstance(line, ast.ImportFrom) for alias in line.names
    ]
    assert sorted(name for name, _ in imported) == sorted(weir.__all__)
    assert all(getattr(weir, name) is getattr(importlib.import_module(str(home)), name) for name, home in imported)
    assert (Path(weir.__file__).parent / "py.typed").is_file()


def test_nothing_is_loaded_before_a_name_is_asked_for() -> None:
    code = "import sys, weir; print([m for m in sys.modules if m.startswith('weir.')]); weir.Entity; weir.col; print(7)"
    assert run(code) == "[]\n7\n"


def test_a_name_that_is_none_is_said_as_python_says_it() -> None:
    with pytest.raises(AttributeError, match="module 'weir' has no attribute 'Steam'"):
        _ = weir.Steam
    with pytest.raises(ImportError, match="cannot import name 'Steam'"):
        exec("from weir import Steam")
    assert set(weir.__all__) <= set(dir(weir))


def test_a_declaration_by_these_names_knows_its_line() -> None:
    card = weir.Entity("card", "card_id")
    assert card.where.file == __file__
