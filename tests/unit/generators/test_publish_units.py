"""A file whose numbers are in another unit is refused, line by line, and the unit is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.infra.user_files.files import GOOD, read, write_csv, write_json

LABEL = {"transaction_id": "t", "card_id": "c", "merchant_id": "m", "is_fraud": True, "source": "analyst"}


def messages(path: Path, kind: str) -> list[tuple[int, str]]:
    found = read(path, kind)
    assert len(found.rows) == 1
    return [(line, message) for (line, _), message in zip(found.errors, found.messages, strict=True)]


@pytest.mark.parametrize(
    ("time", "day", "unit"),
    [(1_785_000_000, "2026-07-25", "seconds"), (1_785_000_000_000_000, "2026-07-25", "microseconds")],
)
def test_a_time_in_another_unit_is_refused_with_its_line_and_the_unit(
    tmp_path: Path, time: int, day: str, unit: str
) -> None:
    rows = [GOOD, GOOD | {"event_time_ms": time}]
    [(line, message)] = messages(write_csv(tmp_path / "a.csv", rows), "transactions")
    assert line == 3
    assert f"found {time} at $.event_time_ms; it would be {day} as {unit}; expected milliseconds" in message


@pytest.mark.parametrize("field", ["event_time_ms", "label_time_ms"])
def test_a_label_is_held_to_the_same(tmp_path: Path, field: str) -> None:
    label: dict[str, Any] = LABEL | {"event_time_ms": 1_784_000_000_000, "label_time_ms": 1_785_000_000_000}
    path = write_json(tmp_path / "a.jsonl", [label, label | {field: label[field] // 1_000}])
    [(line, message)] = messages(path, "labels")
    assert line == 2
    assert "as seconds; expected milliseconds" in message
