"""A fault or a guard is asked for by its name, and a wrong one is answered with what would be right."""

from __future__ import annotations

import pytest

from tests.faults.__main__ import find_unknown, list_all
from tests.faults.runs import load_catalogue

load_catalogue()


@pytest.mark.parametrize(
    ("name", "of_guards", "told"),
    [
        ("forget", False, "expected a fault; forget is a guard: make faults-mutants FAULT=forget"),
        ("redis-kill", True, "expected a guard; redis-kill is a fault: make faults-short FAULT=redis-kill"),
        ("redis-kil", False, "expected a fault, found 'redis-kil'; did you mean 'redis-kill'?; --list shows all"),
        ("redis-kill", False, ""),
        ("forget", True, ""),
    ],
)
def test_a_name_of_the_other_list_and_one_of_none_are_told_apart(name: str, of_guards: bool, told: str) -> None:
    assert find_unknown([name], of_guards=of_guards) == told


def test_the_list_has_a_heading_for_faults_and_one_for_guards() -> None:
    faults, guards = list_all().split("\n\n")
    assert faults.startswith("faults: ")
    assert "\nredis-kill " in faults
    assert guards.startswith("guards: ")
    assert "\nforget " in guards
