"""The page of guarantees names faults and tests; every one of them must exist."""

from __future__ import annotations

import ast
import re

import pytest

from tests.faults.catalogue import CATALOGUE
from tests.faults.runs import load_catalogue
from tests.house.source import ROOT

PAGE = (ROOT / "docs" / "guarantees.md").read_text()
TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))
# in code style and with a dash, outside of paths, commands and settings: a fault
FAULTS = sorted(set(re.findall(r"`([a-z]+(?:-[a-z0-9]+)+|flushall)`", PAGE)))


@pytest.mark.parametrize(("path", "name"), TESTS, ids=[name for _, name in TESTS])
def test_a_test_that_a_guarantee_names_exists(path: str, name: str) -> None:
    defined = {node.name for node in ast.parse((ROOT / path).read_text()).body if isinstance(node, ast.FunctionDef)}
    assert name in defined


def test_every_fault_that_a_guarantee_names_exists() -> None:
    load_catalogue()
    assert len(FAULTS) > 30
    assert set(FAULTS) <= set(CATALOGUE)


def test_every_guarantee_is_shown_by_something() -> None:
    rows = re.findall(r"^\| (?!promise|---)(.*) \|$", PAGE, flags=re.MULTILINE)
    assert len(rows) > 20
    for row in rows:
        assert "`" in row.split(" | ")[-1], row
