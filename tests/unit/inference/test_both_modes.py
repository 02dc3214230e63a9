"""Rows are decided alike where they are made (``weir run``) and where they are read (``weir score``)."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.golden.decided import DECISION_TIME_MS, build_decider, build_reader
from tests.golden.log import Entry, build_log
from tests.golden.observed import PARTITIONS, take
from tests.golden.product import FEATURES_SCHEMA_ID, Run
from tests.golden.records import Given
from tests.golden.shipped import bundle_folder
from weir.inference.bundle import load_bundle
from weir.inference.canary import Canary
from weir.inference.decide import Decider
from weir.inference.decide_step import join_rows
from weir.infra.kafka.sink import Rows
from weir.schemas.streams.payments import payments
from weir.streaming.feature_rows import FeatureBatch, FeatureRowWriter
from weir.streaming.stage import Further, do_nothing


class _Both:
    """Decides each batch as it is, and once more from its bytes."""

    def __init__(self) -> None:
        self._reader = build_reader()
        self._decider, self._writer = build_decider()
        self._rows = FeatureRowWriter(payments, topic="features", schema_id=FEATURES_SCHEMA_ID)
        self.batches: list[FeatureBatch] = []
        self.again: list[FeatureBatch] = []
        self.made: list[tuple[Rows, Rows]] = []

    def __call__(self, batch: FeatureBatch) -> Further:
        published = self._rows.to_avro(batch)
        headers = published.headers or [[]] * len(published.keys)
        messages: list[Any] = [
            Given(Entry("features", 0, n, 0, key, value), held)
            for n, (key, value, held) in enumerate(zip(published.keys, published.values, headers, strict=True))
        ]
        read = self._reader.from_avro(messages, with_request_ids=True)
        assert not read.unreadable
        decisions, again = (
            self._writer.to_avro(self._decider.decide(each), decision_time_ms=DECISION_TIME_MS)
            for each in (batch, read.batch)
        )
        self.batches.append(batch)
        self.again.append(read.batch)
        self.made.append((decisions, again))
        return Further(decisions, do_nothing)


@pytest.fixture(scope="module", params=list(PARTITIONS))
def both(request: pytest.FixtureRequest) -> tuple[str, _Both, Run]:
    found = _Both()
    run = Run(PARTITIONS[request.param], then=found)
    return request.param, found, run.take(build_log(PARTITIONS[request.param]))


def test_decisions_are_the_same_bytes_under_the_same_keys_and_headers(both: tuple[str, _Both, Run]) -> None:
    _, found, _ = both
    assert sum(len(decisions.values) for decisions, _ in found.made) > 1_000
    for decisions, again in found.made:
        assert list(decisions.values) == list(again.values)
        assert list(decisions.keys) == list(again.keys)
        assert list(decisions.headers) == list(again.headers)


def test_features_come_back_from_their_bytes_bit_for_bit(both: tuple[str, _Both, Run]) -> None:
    _, found, _ = both
    for batch, again in zip(found.batches, found.again, strict=True):
        assert tuple(batch.names) == tuple(again.names)
        np.testing.assert_array_equal(np.isnan(batch.features), np.isnan(again.features))
        known = ~np.isnan(batch.features)
        assert batch.features[known].tobytes() == again.features[known].tobytes()
        assert batch.rows.equals(again.rows)


def test_a_decided_row_says_so_and_a_scorer_passes_it_by(both: tuple[str, _Both, Run]) -> None:
    _, found, _ = both
    for batch in found.again:
        assert set(batch.rows.column("decided").to_pylist()) <= {True}
        assert len(batch.undecided()) == 0


def test_what_is_decided_changes_nothing_else_of_a_run(both: tuple[str, _Both, Run]) -> None:
    name, _, run = both
    alone = take(name)
    assert run.verdicts == alone.verdicts
    assert run.state.partials == alone.state.partials


def test_rows_of_both_kinds_in_one_batch_are_told_apart() -> None:
    batches = _Both()
    Run(PARTITIONS["one"], then=batches).take(build_log(PARTITIONS["one"])[:400])
    batch = max(batches.batches, key=len)
    flags = [True if n % 3 == 0 else None for n in range(len(batch))]
    column = batch.rows.schema.get_field_index("decided")
    rows = batch.rows.set_column(column, batch.rows.schema.field(column), pa.array(flags, pa.bool_()))
    left = FeatureBatch(rows, batch.features, batch.names, batch.keys).undecided()
    kept = [n for n, flag in enumerate(flags) if flag is None]
    assert left.rows.column("source_offset").to_pylist() == [
        batch.rows.column("source_offset")[n].as_py() for n in kept
    ]
    assert left.features.tobytes() == batch.features[kept].tobytes()
    assert list(left.keys) == [batch.keys[n] for n in kept]


def test_the_id_of_a_request_is_on_the_decision_in_both_modes_and_nothing_else_is_passed_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    headers = [
        [("x-request-id", b"first"), ("x-request-id", b"order-7"), ("trace", b"t")],
        [("trace", b"t")],
        [("x-request-id", b"4111111111111111")],
        None,
    ]
    given: dict[tuple[int, int], list[Any] | None] = {}

    def ask(message: Given) -> list[Any] | None:
        place = message.partition(), message.offset()
        return (
            given.setdefault(place, headers[len(given) % len(headers)]) if message.topic() == "transactions" else None
        )

    monkeypatch.setattr(Given, "headers", ask)
    log = build_log(PARTITIONS["one"])[:400]
    batches: list[FeatureBatch] = []

    def note(batch: FeatureBatch) -> Further:
        batches.append(batch)
        return Further(Rows("decisions", [], []), do_nothing)

    Run(PARTITIONS["one"], then=note).take(log)
    monkeypatch.undo()
    both, told = _Both(), 0
    for batch in batches:
        both(batch)
        made, again = both.made[-1]
        assert list(made.headers) == list(again.headers)
        places = zip(
            *(batch.rows.column(f"source_{name}").to_pylist() for name in ("partition", "offset")), strict=True
        )
        for place, own in zip(places, made.headers, strict=True):
            wanted = [("x-request-id", b"order-7")] if given[place] == headers[0] else []
            assert own[3:] == wanted
            told += len(wanted)
    assert told > 20


def test_a_canary_decides_its_keys_alike_in_both_modes(both: tuple[str, _Both, Run], tmp_path: Path) -> None:
    manifest = json.loads((bundle_folder() / "manifest.json").read_text())
    shutil.copy(bundle_folder() / "model.onnx", tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest | {"version": "canary"}))
    canary = Canary(load_bundle(tmp_path, stream=payments), 0.3, "c" * 32)
    _, found, _ = both
    champion, writer = build_decider()
    decider = Decider(champion._current, payments, None, SimpleNamespace(canary=canary))
    versions: Counter[bool] = Counter()
    for batch, again in zip(found.batches, found.again, strict=True):
        made, once_more = (
            join_rows(
                [
                    (writer.to_avro(decided, decision_time_ms=DECISION_TIME_MS), at)
                    for decided, at in decider.decide_by_key(each)
                ]
            )
            for each in (batch, again)
        )
        assert list(made.keys) == list(once_more.keys) == list(batch.keys)
        assert list(made.values) == list(once_more.values)
        assert list(made.headers) == list(once_more.headers)
        versions.update(canary.takes(batch.keys).tolist())
    assert versions[True] > 100
    assert versions[False] > 100
