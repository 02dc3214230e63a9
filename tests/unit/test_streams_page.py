"""``docs/streams.md``: its tutorial is followed, and its tables are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import weir
from tests.house.source import ROOT
from tests.unit.tutorial import follow, read_steps
from weir.schemas.checks import declaration as bounds
from weir.schemas.checks.features import SUBJECTS_OF
from weir.schemas.expression import Expression

PAGE = ROOT / "docs" / "streams.md"
TEXT = PAGE.read_text()
SUBJECTS = {
    "event": "event", "measure": "a measure", "flag": "a flag", "reversal": "the reversal", "position": "position",
    "attribute": "what the entity tells apart", "label": "label",
}  # fmt: skip


def test_each_step_but_the_replay_and_the_demo_does_what_the_page_says(tmp_path: Path) -> None:
    assert follow(PAGE, tmp_path, leave_out=("pytest", "weir demo")) > 8


def test_every_block_is_a_file_or_commands() -> None:
    steps = list(read_steps(TEXT))
    named = len(re.findall(r"^```\w+$", TEXT, re.MULTILINE))
    assert TEXT.count("```") == 2 * (named + 1)  # tests/integration/test_sessions_live.py runs the one without a name
    assert [step.text for step in steps if not step.file and not step.command] == []
    assert sum(bool(step.command) for step in steps) == len(re.findall(r"^\$ ", TEXT, re.MULTILINE))


def test_every_aggregate_is_said_to_be_of_what_it_can_be_of() -> None:
    table = TEXT.partition("| aggregate | of |")[2].partition("\n\n")[0]
    said = {}
    for names, subjects in re.findall(r"^\| (.*?) \| (.*?) \|$", table, re.MULTILINE):
        for name in re.findall(r"`(\w+)`", names):
            said[name] = subjects.replace("`", "").split(", ")[: len(SUBJECTS_OF[name])]
    assert said == {name: [SUBJECTS[kind] for kind in kinds] for name, kinds in SUBJECTS_OF.items()}


def test_every_method_of_an_expression_is_named() -> None:
    methods = {name for name in vars(Expression) if not name.startswith("_")} - {"op", "parts", "value"}
    said = TEXT.partition("with these methods:")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", said)) == methods


@pytest.mark.parametrize(
    ("what", "most"),
    [
        ("entities", bounds.ENTITIES_MAX),
        ("measures", bounds.MEASURES_MAX),
        ("flags", bounds.FLAGS_MAX),
        ("fields that an entity tells apart", bounds.ATTRIBUTES_MAX),
    ],
)
def test_the_bounds_are_those_that_are_checked(what: str, most: int) -> None:
    assert f"| {what} | {most} |" in TEXT


def test_every_part_is_in_the_table() -> None:
    parts = TEXT.partition("| part | holds |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)\(", parts, re.MULTILINE)) == {*weir.__all__} - {"Stream", "col"}
