"""A canary decides for its share of the keys, wherever a row is decided, and the others come out as without it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.inference.bundles import BURST
from tests.unit.inference.test_api import World
from tests.unit.inference.test_shadow import NOW_MS, ROWS, _build_batch, _Current, _load
from weir.inference.canary import Canary
from weir.inference.decide import Decider, DecisionWriter
from weir.inference.decide_step import DecideStep
from weir.inference.published.canary_text import parse_canary
from weir.inference.shadow import ShadowScorer
from weir.monitoring.metrics import CANARY_DECISIONS
from weir.schemas.avro.codec import BatchCodec, WriterSchema
from weir.schemas.contracts import decisions_schema
from weir.schemas.errors import Refused
from weir.schemas.streams.payments import payments
from weir.streaming.feature_rows import FeatureBatch
from weir.streaming.stage import Committed

KEYS = [f"card-{n}".encode() for n in range(ROWS)]


class _With(_Current):
    canary: Canary | None = None


@pytest.fixture
def current(tmp_path: Path) -> _With:
    return _With(_load(tmp_path / "champion"))


@pytest.fixture
def challenger(tmp_path: Path) -> Canary:
    bundle = _load(tmp_path / "challenger", version="2", weights={BURST: -1.0})
    return Canary(bundle, 0.5, "a" * 32)


def _batch() -> FeatureBatch:
    batch = _build_batch()
    return replace(batch, keys=KEYS)


def _step(current: _With) -> list[dict[str, Any]]:
    writer = DecisionWriter(payments, source_topic="transactions", topic="decisions", schema_id=3)
    decider = Decider(current, payments, ShadowScorer(current), current)
    further = DecideStep(decider, writer, source_topic="transactions", now_ms=lambda: NOW_MS)(_batch())
    further.on_committed(Committed(0.1, 0.1, NOW_MS))
    assert list(further.rows.keys) == KEYS
    assert [dict(each)["weir.source.offset"] for each in further.rows.headers] == [b"%d" % n for n in range(ROWS)]
    written = WriterSchema(3, subject_ok=True, schema=decisions_schema(payments))
    found: list[dict[str, Any]] = (
        BatchCodec("decisions").decode(list(further.rows.values), lambda _: written).batch.to_pylist()
    )
    return found


def test_each_key_is_decided_by_its_model_and_the_decision_names_it(current: _With, challenger: Canary) -> None:
    by_champion = _step(current)
    current.bundle, champion = challenger.bundle, current.bundle
    by_challenger = _step(current)
    current.bundle, current.canary = champion, challenger
    own = challenger.takes(KEYS)
    assert 0 < own.sum() < ROWS
    expected = [by_challenger[n] if is_own else by_champion[n] for n, is_own in enumerate(own.tolist())]
    assert _step(current) == expected
    assert {each["model_version"] for each in expected} == {"1", "2"}


def test_its_decisions_and_the_champions_are_counted_apart(current: _With, challenger: Canary) -> None:
    def count() -> np.ndarray:
        outcomes = ("APPROVE", "REVIEW", "DECLINE")
        return np.array(
            [[CANARY_DECISIONS.labels(by, each)._value.get() for each in outcomes] for by in ("canary", "champion")]
        )

    before = count()
    _step(current)
    assert (count() == before).all()
    current.canary = challenger
    _step(current)
    own = int(challenger.takes(KEYS).sum())
    assert (count() - before).sum(axis=1).tolist() == [own, ROWS - own]


def test_a_shadow_scores_the_rows_of_both(current: _With, challenger: Canary, tmp_path: Path) -> None:
    current.canary, current.shadow = challenger, _load(tmp_path / "shadow", version="3")
    assert all(each["shadow_model_version"] == "3" and each["shadow_score"] is not None for each in _step(current))


def test_the_share_is_of_the_keys_and_another_canary_has_others(challenger: Canary) -> None:
    keys = [f"card-{n}".encode() for n in range(20_000)]
    small, same, other = (
        replace(challenger, share=0.05, seed=seed).takes(keys) for seed in ("a" * 32, "a" * 32, "b" * 32)
    )
    assert small.mean() == pytest.approx(0.05, abs=0.006)
    assert (small == same).all()
    assert (small & other).mean() == pytest.approx(0.0025, abs=0.0015)
    assert (small <= replace(challenger, share=0.2).takes(keys)).all()  # a larger share keeps the keys it has
    assert not challenger.takes([None]).any()


def test_the_api_scores_a_card_by_the_model_that_decides_for_its_key(tmp_path: Path, challenger: Canary) -> None:
    world = World(tmp_path / "home")
    world.champion._canary = challenger
    own = challenger.takes(KEYS).tolist()
    found = [world.score(card_id=key.decode(), transaction_id=f"of-{key.decode()}").json() for key in KEYS]
    world.guard.close()
    assert [each["model"]["version"] for each in found] == ["2" if is_own else "1" for is_own in own]


def test_a_text_that_is_no_canary_is_refused() -> None:
    for text in ("x", "{}", '{"manifest": "x", "share": 0.6, "seed": "x"}', '{"manifest": "x", "share": 0}'):
        with pytest.raises(Refused, match="canary: expected a manifest, a seed and a share above 0, up to 50%"):
            parse_canary(text)
