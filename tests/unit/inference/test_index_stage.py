"""Where the decision index begins: at what Redis needs, and never above what its group has committed."""

from __future__ import annotations

from typing import Any

import pytest

from weir.inference.index import IndexStage
from weir.infra.kafka.group_position import Standing
from weir.schemas.contracts import decisions_schema
from weir.schemas.streams.payments import payments


class _Store:
    """Positions of three buckets; entries are not kept."""

    def __init__(self, positions: list[int | None]) -> None:
        self.held = positions

    def drop_damaged(self) -> None: ...

    def positions(self, _: int) -> list[int | None]:
        return self.held

    def claim(self, _: int, offset: int) -> None:
        self.held = [offset if each is None else each for each in self.held]


def _begin(positions: list[int | None], committed: int | None, *, low: int = 0) -> int:
    store: Any = _Store(positions)
    stage = IndexStage(
        "decisions", store, lambda _: None, schema=decisions_schema(payments), id_field=payments.id,  # type: ignore[arg-type,return-value]
        rebuild_from=lambda _: 30,
    )  # fmt: skip
    return stage.begin(("decisions", 0), Standing(committed, low, 200))


@pytest.mark.parametrize(
    ("positions", "committed", "start"),
    [
        ([100, 70, 100], 100, 70),
        ([100, 100, 100], 90, 90),  # Redis took a batch whose commit was given up
        ([100, 100, 100], None, 100),
        ([None, 100, 100], 100, 30),
        ([100, 100, 100], 150, 100),
    ],
)
def test_it_begins_where_redis_or_the_group_is_behind(
    positions: list[int | None], committed: int | None, start: int
) -> None:
    assert _begin(positions, committed) == start


def test_it_begins_no_lower_than_the_log() -> None:
    assert _begin([100, 100, 100], 90, low=95) == 95
