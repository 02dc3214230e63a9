"""Pages name the faults and tests that show what they say; every one of them must exist."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from tests.faults.catalogue import CATALOGUE
from tests.faults.runs import load_catalogue
from tests.house.source import ROOT

GUARANTEES = "docs/guarantees.md"
FIELD = "docs/results/field.md"
PAGES = (GUARANTEES, FIELD)
RESULTS = {"fixed", "refused", "documented", "open"}


def _read(page: str) -> str:
    return (ROOT / page).read_text()


def _rows(page: str) -> list[list[str]]:
    """Return the cells of each row, without headers and the lines under them."""
    rows = re.findall(r"^\| (?!promise|case|---)(.*) \|$", _read(page), flags=re.MULTILINE)
    return [[cell.strip() for cell in row.split("|")] for row in rows]


@cache
def _tests_of(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


NAMED = sorted({(page, *found) for page in PAGES for found in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", _read(page))})


@pytest.mark.parametrize(("page", "path", "name"), NAMED, ids=[f"{page}-{name}" for page, _, name in NAMED])
def test_a_test_that_a_page_names_exists(page: str, path: str, name: str) -> None:
    assert name in _tests_of(path), page


@pytest.mark.parametrize("page", PAGES)
def test_every_file_of_tests_that_a_page_names_exists(page: str) -> None:
    files = re.findall(r"`(tests/[\w/]+\.py)`", _read(page))
    assert [path for path in files if not (ROOT / path).is_file()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_fault_that_a_page_names_exists(page: str) -> None:
    load_catalogue()
    # in code style and with a dash, outside of paths, commands and settings: a fault
    shown = " ".join(row[-2] for row in _rows(page)) if page == FIELD else _read(page)
    faults = set(re.findall(r"`([a-z]+(?:-[a-z0-9]+)+|flushall)`", shown))
    assert len(faults) >= (8 if page == FIELD else 30)
    assert faults <= set(CATALOGUE)


def test_every_guarantee_is_shown_by_something() -> None:
    rows = _rows(GUARANTEES)
    assert len(rows) > 20
    for row in rows:
        assert "`" in row[-1], row


def test_every_case_has_a_result_and_what_is_fixed_or_refused_is_shown_by_something() -> None:
    rows = _rows(FIELD)
    assert len(rows) > 80
    for row in rows:
        assert len(row) == 5, row
        shown, result = row[-2:]
        assert result in RESULTS, row
        if result in {"fixed", "refused"}:
            assert "`" in shown, row
