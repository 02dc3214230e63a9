from __future__ import annotations

import pytest

from tests.faults.mutants import judge_mutant
from tests.faults.table import Result

GONE = "AssertionError: no process worker is left:\n"


def _result(*problems: str, state_differences: int = 0) -> Result:
    return Result("flushall", 1, 100, 0, 0, state_differences, None, None, problems=problems)


def test_a_run_that_stays_right_says_that_the_mutant_survived() -> None:
    assert judge_mutant(_result()) == "SURVIVED"


@pytest.mark.parametrize(
    "result",
    [
        _result(state_differences=3),
        _result("12 partials that differ from an uninterrupted run"),
        _result(GONE + "    raise Refused(\nschemas.errors.Refused: redis has applied 9, above the committed 7"),
        _result(GONE + "cimpl.KafkaException: KafkaError{code=ILLEGAL_GENERATION,val=22}"),
    ],
)
def test_a_difference_or_a_refusal_of_the_products_own_catches_it(result: Result) -> None:
    assert judge_mutant(result) == "caught"


@pytest.mark.parametrize("error", ["TypeError: argument of type 'NoneType' is not iterable", "KeyError: 3"])
def test_a_worker_that_died_of_the_mutants_own_mistake_proves_nothing(error: str) -> None:
    assert judge_mutant(_result(GONE + "    counted = [r for r in records]\n" + error)) == "BROKEN"
