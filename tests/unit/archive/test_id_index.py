"""The index of a data file against a plain search."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.archive.id_index import build_index, find_rows

HASHES = st.one_of(st.none(), st.integers(-3, 3), st.sampled_from([-(1 << 63), (1 << 63) - 1]))


@given(st.lists(HASHES, max_size=30))
def test_an_id_is_found_in_all_its_rows_and_nowhere_else(hashes: list[int | None]) -> None:
    index = pa.py_buffer(build_index(pa.chunked_array([hashes], pa.int64())))
    for wanted in [*range(-4, 5), -(1 << 63), (1 << 63) - 1]:
        assert find_rows(index, wanted) == [row for row, each in enumerate(hashes) if each == wanted]


@pytest.mark.parametrize("damaged", [b"", b"other bytes that are no index", build_index(pa.chunked_array([[1]]))[:-1]])
def test_other_bytes_are_refused(damaged: bytes) -> None:
    with pytest.raises(ValueError, match="expected an index"):
        find_rows(pa.py_buffer(damaged), 1)
