"""The filter of a long list denies nobody who is on it, and nearly everybody who is not."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.inference.core.id_filter import IdFilter

TEXTS = st.lists(st.text(max_size=12))


@given(TEXTS, TEXTS)
def test_nobody_who_is_there_is_denied(there: list[str], asked: list[str]) -> None:
    found = IdFilter(set(there)).find(pa.array([*asked, *there, None], pa.string())).tolist()
    assert found == sorted(found)
    assert set(found) >= set(range(len(asked), len(asked) + len(there)))
    assert set(found) >= {row for row, text in enumerate(asked) if text in set(there)}


@pytest.mark.parametrize("count", [10_000, 16_383, 16_384])
def test_few_who_are_not_there_are_let_by(count: int) -> None:
    there = IdFilter([f"card-{number:08d}" for number in range(count)])
    asked = pa.array([f"card-{number:08d}" for number in range(count, count + 50_000)])
    assert len(there.find(pa.array([f"card-{number:08d}" for number in range(count)]))) == count
    assert len(there.find(asked)) < 0.03 * len(asked)


def test_of_no_ids_all_are_denied() -> None:
    assert IdFilter([]).find(pa.array(["a", "", None])).tolist() == []
    assert IdFilter(["a"]).find(pa.array([], pa.string())).tolist() == []
