"""``docs/rules.md``: its file is written, checked and tested as it says, and its tables are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.house.source import ROOT
from tests.unit.tutorial import follow
from weir.schemas.checks.rules import RULES_MAX
from weir.schemas.expression import CALENDAR, LISTS
from weir.schemas.expression_parser import _METHODS, DEPTH_MAX, PARTS_MAX, TEXT_MAX
from weir.schemas.rules import MODES, OUTCOMES
from weir.schemas.rules_file import _REQUIRED, _RULE_KEYS

PAGE = ROOT / "docs" / "rules.md"
TEXT = PAGE.read_text()
GRAMMAR = TEXT.partition("```text\n")[2].partition("```")[0]


def test_each_step_does_what_the_page_says(tmp_path: Path) -> None:
    assert follow(PAGE, tmp_path) > 5


def test_every_key_of_a_rule_is_in_the_table_and_those_that_are_required_are_named() -> None:
    table = TEXT.partition("| key | holds |")[2].partition("\n\n")
    assert sorted(re.findall(r"^\| `(\w+)` \|", table[0], re.MULTILINE)) == sorted(_RULE_KEYS)
    (required,) = re.findall(r"^(.*) are required\.", table[2], re.MULTILINE)
    assert re.findall(r"`(\w+)`", required) == list(_REQUIRED)
    said = dict(re.findall(r"^\| `(then|mode)` \| (.*?) \|", table[0], re.MULTILINE))
    assert re.findall(r"`(\w+)`", said["then"]) == list(OUTCOMES)
    assert re.findall(r"`(\w+)`", said["mode"]) == list(MODES)


def test_the_grammar_has_every_function_and_list() -> None:
    methods = set(re.findall(r"\"\.(\w+)\(", GRAMMAR)) | {"is_in", "is_null"}  # these are `in` and `is None`
    assert methods == set(_METHODS)
    assert methods >= CALENDAR
    assert re.findall(r"\"(\w+)\"", GRAMMAR.partition("list: ")[2].partition("\n")[0]) == list(LISTS)


@pytest.mark.parametrize(
    "bound",
    [
        f"at most {TEXT_MAX:,} characters, {PARTS_MAX:,} names and values, and {DEPTH_MAX} conditions",
        f"at most a megabyte, eight levels and {RULES_MAX:,} rules",
    ],
)
def test_the_bounds_are_those_that_are_checked(bound: str) -> None:
    assert bound in TEXT
