"""What the PyFlink run takes for a result."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from tests.bench.pyflink_run import compare, rate
from weir.schemas.errors import WeirError

_HOUR_MS = 3_600_000
PAYMENTS = pa.RecordBatch.from_pydict(
    {
        "card_id": ["a", "b", "a", "a"],
        "transaction_id": ["1", "2", "3", "4"],
        "event_time_ms": [0, 1, _HOUR_MS - 1, _HOUR_MS],
        "amount_minor": [5, 7, 11, 13],
    }
)


def _output(card: str, transaction: str, hour: tuple[int, int], day: tuple[int, int]) -> bytes:
    named = {"1h": hour, "24h": day, "7d": day}
    numbers = {f"{what}_{name}": pair[at] for name, pair in named.items() for at, what in enumerate(("count", "sum"))}
    return json.dumps({"card_id": card, "transaction_id": transaction, **numbers}).encode()


#        00:00          00:59:59.999   01:00
#  a     1 (5)          3 (11)         4 (13)
#  b     2 (7)
RIGHT = [
    _output("a", "1", (1, 5), (1, 5)),
    _output("b", "2", (1, 7), (1, 7)),
    _output("a", "3", (2, 16), (2, 16)),
    _output("a", "4", (1, 13), (3, 29)),
]


def test_one_right_output_for_each_payment_passes_in_any_order() -> None:
    compare(RIGHT[::-1], PAYMENTS)


@pytest.mark.parametrize(
    "outputs",
    [[], RIGHT[1:], [*RIGHT, RIGHT[0]], [*RIGHT[:3], _output("a", "4", (2, 29), (3, 29))]],
    ids=["none", "one missing", "one twice", "a window that did not end"],
)
def test_anything_else_is_no_result(outputs: list[bytes]) -> None:
    with pytest.raises(WeirError, match="expected 4 outputs"):
        compare(outputs, PAYMENTS)


def test_the_rate_leaves_out_what_came_at_the_first_moment() -> None:
    assert rate([1_000, 1_000, 1_500, 2_000, 3_000]) == 1.5


def test_outputs_at_one_moment_have_no_rate() -> None:
    with pytest.raises(WeirError, match="over some time"):
        rate([1_000, 1_000])
