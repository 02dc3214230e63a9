"""From scores to probabilities and prediction sets, held against the definitions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.unit.inference.bundles import write_bundle
from tests.unit.inference.occlusion import Oracle
from tests.unit.inference.test_shadow import _Current, _decide
from weir.inference.bundle import Bundle, load_bundle
from weir.inference.core.calibration import KNOTS_MAX, SETS, Calibration
from weir.schemas.avro.codec import BatchCodec, WriterSchema
from weir.schemas.contracts import decisions_schema
from weir.schemas.errors import Refused
from weir.schemas.streams.payments import payments

FIELDS: dict[str, Any] = {
    "version": 1,
    "scores": [0.0, 0.1, 0.5, 1.0],
    "probabilities": [0.0, 0.3, 0.3, 0.9],
    "positive_from": 0.05,
    "negative_to": 0.6,
}


def _load(folder: Path, **changes: Any) -> Bundle:
    return load_bundle(write_bundle(folder, calibration=FIELDS | changes), stream=payments)


def test_a_probability_never_falls_and_is_the_same_alone_and_together() -> None:
    random = np.random.default_rng(3)
    knots = np.unique(random.random(40).astype(np.float32)).astype(float)
    made = Calibration(1, (*knots,), (*np.sort(random.random(len(knots))),), 0.2, 0.7)
    scores = np.sort(random.random(20_000)).astype(np.float32)
    together = made.compute_probabilities(scores)
    assert (np.diff(together) >= 0).all()
    assert ((together >= 0) & (together <= 1)).all()
    alone = np.array([made.compute_probabilities(scores[at : at + 1])[0] for at in range(0, len(scores), 97)])
    assert alone.tobytes() == together[::97].tobytes()


def test_an_edge_belongs_to_the_set_and_no_float_between_is_mistaken_for_it() -> None:
    edge = float(np.float32(0.3))
    made = Calibration(1, (0.0, 1.0), (0.0, 1.0), positive_from=edge, negative_to=edge)
    below, above = (np.nextafter(np.float32(edge), np.float32(to)) for to in (0, 1))
    named = [SETS[each] for each in made.compute_sets(np.array([below, edge, above, np.nan], np.float32))]
    assert named == ["NEGATIVE", "BOTH", "POSITIVE", "NEITHER"]
    apart = replace(made, positive_from=float(above), negative_to=float(below))
    assert SETS[apart.compute_sets(np.array([edge], np.float32))[0]] == "NEITHER"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"scores": [0.0, 0.5, 0.1, 1.0]}, "scores of knots that rise"),
        ({"scores": [0.0, 0.1, 0.1, 1.0]}, "scores of knots that rise"),
        ({"probabilities": [0.0, 0.3, 0.2, 0.9]}, "never fall"),
        ({"probabilities": [0.0, 0.3, 0.3, 1.1]}, "in \\[0, 1\\]"),
        ({"probabilities": [0.0, 0.3, 0.9]}, "4 scores and 3 probabilities"),
        ({"scores": [0.5], "probabilities": [0.5]}, "2 to 128 knots"),
        ({"positive_from": 2.0}, "in \\[0, 1\\]"),
        ({"version": 2}, "manifest.json at calibration.version: input should be 1"),
        ({"scores": ["a", 0.1, 0.5, 1.0]}, "calibration.scores.0"),
    ],
)
def test_a_map_that_is_none_is_refused_when_its_bundle_is_loaded(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(Refused, match=said):
        _load(tmp_path, **changes)


def test_a_map_of_too_many_knots_is_refused(tmp_path: Path) -> None:
    many = np.linspace(0, 1, KNOTS_MAX + 1).tolist()
    with pytest.raises(Refused, match=f"2 to {KNOTS_MAX} knots"):
        _load(tmp_path, scores=many, probabilities=many)


def test_a_decision_carries_what_the_map_in_the_manifest_says_and_decides_as_without_it(tmp_path: Path) -> None:
    given, plain = (_decide(_Current(_load(tmp_path / "a"))), _decide(_Current(_load_plain(tmp_path / "b"))))
    sure = ("probability", "prediction_set")
    oracle = Oracle(tmp_path / "a", payments)
    expected = [oracle.rate(row["score"]) for row in given]
    assert [{name: row[name] for name in sure} for row in given] == expected
    assert len({row["prediction_set"] for row in given}) > 1
    assert [row | dict.fromkeys(sure) for row in given] == plain


def test_without_a_score_there_is_neither_probability_nor_set(tmp_path: Path) -> None:
    bundle = _load(tmp_path)
    bundle.graph = None
    assert {(row["probability"], row["prediction_set"]) for row in _decide(_Current(bundle))} == {(None, None)}


def test_a_decision_of_the_release_before_reads_as_null() -> None:
    now = decisions_schema(payments)
    fields = [each for each in json.loads(now)["fields"] if each["name"] not in {"probability", "prediction_set"}]
    before = json.dumps(json.loads(now) | {"fields": fields})
    row = {each["name"]: _fill(each["type"]) for each in fields}
    codec = BatchCodec(schema=before)
    values = codec.encode(pa.RecordBatch.from_pylist([row], codec.arrow_schema), 1)
    read = BatchCodec(schema=now).decode([*values], lambda _: WriterSchema(1, subject_ok=True, schema=before)).batch
    assert read.to_pylist() == [row | {"probability": None, "prediction_set": None}]


def _load_plain(folder: Path) -> Bundle:
    return load_bundle(write_bundle(folder), stream=payments)


def _fill(kind: Any) -> Any:
    if isinstance(kind, list):
        return None
    if isinstance(kind, dict):
        return [] if kind["type"] == "array" else kind["symbols"][0]
    return {"string": "x", "boolean": False}.get(kind, 1)
