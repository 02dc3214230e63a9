"""Streams of the least and of the largest size that is promised: trained, scored and decided under a fixed clock."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.unit.inference.occlusion import Oracle, Row
from tests.unit.streaming.declared import BARE, FULL, NOTHING, Sizes, declare
from weir.inference.champion import Champion
from weir.inference.decide import Decider, DecisionWriter
from weir.infra.settings import Settings
from weir.schemas.avro.codec import BatchCodec, WriterSchema
from weir.schemas.contracts import decisions_schema
from weir.schemas.durations import DAY_MS
from weir.schemas.expression import col
from weir.schemas.origin import Origin
from weir.schemas.rules import Rule
from weir.schemas.stream import Labels, Stream
from weir.streaming.feature_rows import FeatureBatch, FeatureRowWriter
from weir.training.bundle import promote
from weir.training.dataset import Examples
from weir.training.labels import build_keys
from weir.training.pipeline import Options, run_training

ROWS, DECIDED = 4_000, 400
START_MS, NOW_MS = 1_700_000_000_000, 1_760_000_000_000
RULE = Rule("many", "REVIEW", col("own_n0") > 2.5, "more than anybody has")


def _declare(folder: Path, seed: int, sizes: Sizes) -> Stream:
    """Return a stream whose schemas are in the folder, with labels and a rule."""
    found = declare(seed, sizes)
    made = replace(
        found,
        event="own",
        where=Origin(str(folder / "own.py"), 1),
        labels=Labels("labels.avsc", "verdict", time="known"),
        keep=["n0"],
        decided=["n0"],
        rules=[RULE],
    )
    texts = {name: ["null", "string"] for name in made.attribute_fields}
    ids = {entity.field: "string" if entity is made.key else ["null", "string"] for entity in made.entities}
    numbers = {f"n{number}": "long" for number in range(max(1, sizes.measures))}
    places = {name: ["null", "double"] for name in ("lat", "lon")}
    fields = {"event_id": "string", "at": "long", **ids, **texts, **numbers, **places}
    document = {"type": "record", "name": "Own", "fields": [{"name": n, "type": t} for n, t in fields.items()]}
    (folder / "own.avsc").write_text(json.dumps(document))
    return made


def _draw(stream: Stream, seed: int) -> tuple[pa.RecordBatch, np.ndarray, np.ndarray]:
    """Return who each row is about, features with gaps, and which rows are fraud: two columns at once say it."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(ROWS, len(stream.feature_names))).astype(np.float32)
    first, last = stream.feature_names.index("own_n0"), len(stream.feature_names) - 1
    fraud = (features[:, first] > 0.8) & (features[:, last] > 0.8) & (rng.random(ROWS) < 0.8)
    features[rng.random(features.shape) < 0.05] = np.nan
    ids = {stream.key.field: [f"k{n % 70}" for n in range(ROWS)], stream.id: [f"x{n}" for n in range(ROWS)]}
    return pa.RecordBatch.from_pydict(ids), features, fraud


def _train(stream: Stream, settings: Settings, seed: int) -> None:
    ids, features, fraud = _draw(stream, seed)
    times = START_MS + np.linspace(0, 90 * DAY_MS, ROWS).astype(np.int64)
    labels = pa.table({**dict(zip(ids.schema.names, ids.columns, strict=True)), "known": times, "verdict": fraud})
    declared = stream.declarations_hash
    options = Options("own", 30, "drawn", settings.models_dir, NOW_MS, DAY_MS, declared, stream)
    promote(run_training(Examples(features, times, build_keys(ids, stream)), labels, options, lambda _: None).bundle)


def _build_batch(stream: Stream, features: np.ndarray) -> FeatureBatch:
    plain = FeatureRowWriter(stream, topic="own.features", schema_id=1).plain
    fixed: Row = {"declarations_hash": stream.declarations_hash, "late": False, "degraded": [], "source_partition": 3}
    rows: list[Row] = [
        {field.name: None for field in plain}
        | fixed
        | {stream.id: f"x{n}", stream.key.field: f"k{n}", "n0": n, "at": n, "ingest_time_ms": n, "source_offset": n}
        for n in range(len(features))
    ]
    keys = [row[stream.key.field].encode() for row in rows]
    return FeatureBatch(pa.RecordBatch.from_pylist(rows, plain), features, stream.feature_names, keys)


@pytest.mark.parametrize(
    ("sizes", "seed"), [(FULL, 1), (FULL, 2), (BARE, 3), (NOTHING, 4)], ids=["full", "full again", "bare", "nothing"]
)
def test_a_stream_of_any_size_is_trained_and_decided_as_its_model_says(tmp_path: Path, sizes: Sizes, seed: int) -> None:
    stream = _declare(tmp_path, seed, sizes)
    settings = Settings(home=tmp_path).of_stream(stream)
    _train(stream, settings, seed)
    _, features, _ = _draw(stream, seed + 100)
    features = features[:DECIDED]
    writer = DecisionWriter(stream, source_topic="own", topic="own.decisions", schema_id=2)
    champion = Champion(settings)
    decided = Decider(champion, stream).decide(_build_batch(stream, features))
    records = writer.to_avro(decided, decision_time_ms=NOW_MS)
    codec = BatchCodec(schema=decisions_schema(stream))
    written = WriterSchema(2, subject_ok=True, schema=decisions_schema(stream))
    found = codec.decode(list(records.values), lambda _: written).batch.to_pylist()
    oracle = Oracle(settings.models_dir / "champion", stream)
    expected = [_expect(stream, oracle, number, vector) for number, vector in enumerate(features)]
    assert [{name: row[name] for name in row if name != "rules_version"} for row in found] == expected
    assert {row["decision"] for row in found} > {"APPROVE"}
    assert {row["decided_by"] for row in found} == {"model", "many"}
    assert {row["rules_version"] for row in found} == {champion.rules.version}


def _expect(stream: Stream, oracle: Oracle, number: int, vector: np.ndarray) -> Row:
    row = dict(zip(stream.feature_names, [None if np.isnan(v) else v for v in vector.tolist()], strict=True))
    said = oracle.decide(row)
    if said["decision"] == "APPROVE" and row["own_n0"] is not None and row["own_n0"] > 2.5:
        reason = {"code": "MANY", "detail": "more than anybody has: own_n0 > 2.5"}
        said |= {"decision": "REVIEW", "decided_by": "many", "reasons": [reason]}
    fixed = {"declarations_hash": stream.declarations_hash, "degraded": False, "degraded_by": [], "late": False}
    fixed |= {"tags": [], "shadow_rules": []}
    fixed |= dict.fromkeys(("shadow_score", "shadow_model_name", "shadow_model_version", "propensity"))
    own = {stream.id: f"x{number}", stream.key.field: f"k{number}", "n0": number, "at": number}
    where = {"ingest_time_ms": number, "source_partition": 3, "source_offset": number}
    return own | said | fixed | where | {"decision_time_ms": NOW_MS}
