"""A shadow is scored on the same rows, noted in the decision, and changes nothing: not when it fails either."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.payments import DECLARATIONS_HASH, FEATURE_NAMES
from tests.unit.inference.bundles import AMOUNT, BURST, write_bundle
from weir.inference.bundle import Bundle, load_bundle
from weir.inference.core.lists import Lists
from weir.inference.core.rules import RuleSet
from weir.inference.decide import Decider, DecisionWriter
from weir.inference.metering import meter_decisions
from weir.inference.rule_sets import rules_of
from weir.inference.shadow import ShadowScorer
from weir.monitoring.metrics import SHADOW_SCORED
from weir.schemas.avro.codec import BatchCodec, WriterSchema
from weir.schemas.contracts import decisions_schema
from weir.schemas.streams.payments import payments
from weir.streaming.feature_rows import FeatureBatch

ROWS = 20
NOW_MS = 1_760_000_000_000


@dataclass
class _Current:
    bundle: Bundle
    shadow: Bundle | None = None
    lists: Lists = field(default_factory=Lists)
    rules: RuleSet = field(default_factory=lambda: rules_of(payments))
    thresholds: None = None


def _load(folder: Path, **changes: Any) -> Bundle:
    return load_bundle(write_bundle(folder, **changes), stream=payments)


@pytest.fixture
def current(tmp_path: Path) -> _Current:
    return _Current(_load(tmp_path / "champion"))


def _build_batch(count: int = ROWS) -> FeatureBatch:
    features = np.random.default_rng(7).uniform(0, 9, (count, len(FEATURE_NAMES))).astype(np.float32)
    schema = BatchCodec("features").arrow_schema

    def fill(column: pa.Field) -> list[Any]:
        if column.name in {"source_offset", "ingest_time_ms"}:
            return list(range(count))
        if column.name == "declarations_hash":
            return [DECLARATIONS_HASH] * count
        kinds = {pa.types.is_list: [], pa.types.is_boolean: False, pa.types.is_string: "x"}
        value = None if column.nullable else next((v for is_of, v in kinds.items() if is_of(column.type)), 1)
        return [value] * count

    rows = pa.RecordBatch.from_pydict({column.name: fill(column) for column in schema}, schema=schema)
    return FeatureBatch(rows, features, FEATURE_NAMES, [b"x"] * count)


def _decide(current: _Current, count: int = ROWS) -> list[dict[str, Any]]:
    decided = Decider(current, payments, ShadowScorer(current)).decide(_build_batch(count))
    meter_decisions(decided, now_ms=NOW_MS)
    writer = DecisionWriter(payments, source_topic="transactions", topic="decisions", schema_id=3)
    values = list(writer.to_avro(decided, decision_time_ms=NOW_MS).values)
    written = WriterSchema(3, subject_ok=True, schema=decisions_schema(payments))
    found: list[dict[str, Any]] = BatchCodec("decisions").decode(values, lambda _: written).batch.to_pylist()
    return found


@pytest.mark.parametrize("count", [0, 1, 1_023, 1_024, 1_025, 2_050])
def test_every_row_of_a_batch_of_any_size_says_which_models_scored_it(
    count: int, current: _Current, tmp_path: Path
) -> None:
    """A batch after one of another size, by other models: texts that were the same for all of that one are kept."""
    for version in ("s1", "s2"):
        current.shadow = _load(tmp_path / version, version=version)
        for rows in (count, 7, count):
            found = _decide(current, rows)
            assert len(found) == rows
            assert {row["shadow_model_version"] for row in found} <= {version}
            assert {row["model_version"] for row in found} <= {current.bundle.manifest.version}


def _without_shadow(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: row[name] for name in row if not name.startswith(("shadow_score", "shadow_model"))} for row in rows]


def _count(result: str) -> float:
    return float(SHADOW_SCORED.labels(result=result)._value.get())


def test_without_a_shadow_its_fields_are_null(current: _Current) -> None:
    assert {(row["shadow_score"], row["shadow_model_version"]) for row in _decide(current)} == {(None, None)}


def test_a_shadow_is_noted_row_by_row_and_changes_nothing_else(current: _Current, tmp_path: Path) -> None:
    before = _decide(current)
    current.shadow = _load(tmp_path / "shadow", names=(AMOUNT, BURST), weights={AMOUNT: 0.5}, reference=[0.0, 0.0],
                           version="2", name="other")  # fmt: skip
    scored, rows = _count("scored"), _decide(current)
    assert _without_shadow(rows) == _without_shadow(before)
    assert {(row["shadow_model_name"], row["shadow_model_version"]) for row in rows} == {("other", "2")}
    amounts = _build_batch().features[:, FEATURE_NAMES.index(AMOUNT)].astype(np.float64)
    expected = 1 / (1 + np.exp(4 - 0.5 * amounts))
    np.testing.assert_allclose([row["shadow_score"] for row in rows], expected, atol=1e-6)
    assert _count("scored") - scored == ROWS


class _Broken:
    def run(self, _: object) -> None:
        raise RuntimeError("a fault of the runtime")


class _NoProbability:
    def run(self, features: np.ndarray) -> np.ndarray:
        return np.full(len(features), 7, dtype=np.float32)


@pytest.mark.parametrize("graph", [_Broken(), _NoProbability()])
def test_a_shadow_that_fails_changes_nothing_and_is_counted(current: _Current, tmp_path: Path, graph: Any) -> None:
    before = _decide(current)
    current.shadow = _load(tmp_path / "shadow", version="2")
    current.shadow.graph = graph
    failed, rows = _count("failed"), _decide(current)
    assert _without_shadow(rows) == _without_shadow(before)
    assert {(row["shadow_score"], row["shadow_model_version"]) for row in rows} == {(None, "2")}
    assert _count("failed") - failed == ROWS
