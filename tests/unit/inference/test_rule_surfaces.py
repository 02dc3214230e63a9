"""A rule gives one answer where rows are made, where they are read back, in a request, and in shadow mode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pytest

from tests.golden.decided import build_decider, build_reader
from tests.golden.log import Entry, build_log
from tests.golden.observed import PARTITIONS
from tests.golden.product import FEATURES_SCHEMA_ID, Run
from tests.golden.records import Given
from tests.unit.inference.twins import MemoryPartials
from weir.inference.api.what_if import Asked, WhatIf, tell_confidence
from weir.inference.core.calibration import Calibration
from weir.inference.core.decisions import Judgement
from weir.inference.core.records import build_confidence
from weir.inference.core.rules import RuleSet
from weir.inference.decide import Decider
from weir.inference.rule_sets import read_rules
from weir.infra.kafka.sink import Rows
from weir.schemas.placeholders import BUILT_IN
from weir.schemas.streams.payments import payments
from weir.streaming.feature_rows import FeatureBatch, FeatureRowWriter
from weir.streaming.kernels import shipped_kernel
from weir.streaming.stage import Further, do_nothing

CONDITIONS = (
    "card_event_count_5m >= 3 and card_small_ratio_1h > 0.3",
    "not card_country_distinct_1d <= 1",
    "card_position_speed_30d is None",
    "score >= 0.5 or score is None",
    "not score >= 0.1",
    "country == 'DE' and channel in ['ECOM', 'MOTO']",
    "not device_id.matches('device-[0-4]')",
    "device_id is None or ip is None",
    "amount_minor > 5000 and amount_minor < transaction_amount * 3",
    "event_time_ms.hour() >= 22 or event_time_ms.is_weekend()",
    "in_list('block', card_id) or in_list('allow', device_id)",
    "not in_list('block', ip)",
    "mcc not in [5411, 5812] and card_amount_sum_1h / card_event_count_1h > 100",
)
MODES = {
    "tag": "then: TAG",
    "alert": "then: ALERT",
    "shadow": "then: DECLINE, mode: shadow",
    "late": "then: TAG, valid: {from: 2100-01-01}",
}
TEXT = "rules:\n" + "".join(
    f'  - {{name: {kind}{n}, code: R{n}, why: a, {said}, when: "{when}"}}\n'
    for kind, said in MODES.items()
    for n, when in enumerate(CONDITIONS)
)


@dataclass(frozen=True)
class _Still:
    bundle: Any
    lists: Any
    rules: RuleSet
    thresholds: None = None


class _Surfaces:
    """Judges each batch as it is, as it is read from its bytes, and as it would be asked in requests."""

    def __init__(self) -> None:
        decider, _ = build_decider()
        now: Any = decider._current
        now.bundle.calibration = Calibration(1, (0.0, 0.1, 0.6, 1.0), (0.0, 0.2, 0.2, 0.9), 0.02, 0.3)
        still = _Still(now.bundle, now.lists, read_rules(TEXT, payments, "rules.yaml"))
        self._decider = Decider(still, payments)
        self._api = WhatIf(shipped_kernel(), MemoryPartials(), still, BUILT_IN)  # type: ignore[arg-type]
        self._reader = build_reader()
        self._writer = FeatureRowWriter(payments, topic="features", schema_id=FEATURES_SCHEMA_ID)
        self.judged: list[list[Judgement]] = []

    def __call__(self, batch: FeatureBatch) -> Further:
        published = self._writer.to_avro(batch)
        messages: list[Any] = [
            Given(Entry("features", 0, n, 0, key, value))
            for n, (key, value) in enumerate(zip(published.keys, published.values, strict=True))
        ]
        read = self._reader.from_avro(messages).batch
        found = [self._decider.decide(each).judgement for each in (batch, read)] if len(batch) else []
        if len(batch):
            rows = batch.rows.to_pylist()
            fields = self._api._build_fields([Asked(row, row["ingest_time_ms"]) for row in rows])
            ids = {kind: [row[name] for row in rows] for kind, name in payments.id_field_of.items()}
            found.append(self._decider.judge(batch.features, batch.names, ids, fields))
        self.judged.append(found)
        return Further(Rows("decisions", [], []), do_nothing)


@pytest.fixture(scope="module")
def surfaces() -> list[list[Judgement]]:
    found = _Surfaces()
    Run(PARTITIONS["one"], then=found).take(build_log(PARTITIONS["one"]))
    return [each for each in found.judged if each]


def test_a_rule_is_fulfilled_on_every_surface_or_on_none(surfaces: list[list[Judgement]]) -> None:
    for fused, read, asked in surfaces:
        assert fused.tags == read.tags == asked.tags
        assert fused.shadow_rules == read.shadow_rules == asked.shadow_rules
        assert fused.outcomes.tolist() == read.outcomes.tolist() == asked.outcomes.tolist()
        assert fused.decided_by == read.decided_by == asked.decided_by


def test_a_score_is_worth_the_same_on_every_surface(surfaces: list[list[Judgement]]) -> None:
    sets = set()
    for fused, read, asked in surfaces:
        columns = [pa.table(build_confidence(judged)).to_pylist() for judged in (fused, read)]
        assert columns[0] == columns[1] == [tell_confidence(asked, row) for row in range(len(asked.scores))]
        sets |= {row["prediction_set"] for row in columns[0]}
    assert sets == {"NEGATIVE", "BOTH", "POSITIVE", None}


def test_a_rule_in_shadow_mode_is_noted_where_it_would_decide(surfaces: list[list[Judgement]]) -> None:
    for judged, *_ in surfaces:
        for tags, noted in zip(judged.tags, judged.shadow_rules, strict=True):
            held = {f"R{name.removeprefix('shadow')}" for name in noted}
            assert held | {f"alert:{word}" for word in held} == set(tags)
        assert sum(judged.shadow_hits.values()) == sum(map(len, judged.shadow_rules))


def test_the_conditions_are_fulfilled_by_some_rows_and_not_by_all(surfaces: list[list[Judgement]]) -> None:
    tags = [set(each) for judged, *_ in surfaces for each in judged.tags]
    counts = {n: sum(f"R{n}" in each for each in tags) for n in range(len(CONDITIONS))}
    assert len(tags) > 1_000
    assert [n for n, count in counts.items() if not 0 < count < len(tags)] == []
