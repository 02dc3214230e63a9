"""What the model declines is let through for a share of the keys of each day, by the published text alone."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.payments import FEATURE_NAMES
from tests.unit.inference.bundles import AMOUNT, BURST
from tests.unit.inference.test_api import NOW_MS as API_NOW_MS
from tests.unit.inference.test_api import World
from tests.unit.inference.test_shadow import NOW_MS, _build_batch, _Current, _decide, _load
from weir.archive.whatif.again import Deciding, decide_again
from weir.archive.whatif.past import Joined
from weir.inference.core.calibration import Calibration
from weir.inference.core.decisions import DECLINE, OUTCOMES, Judgement, judge
from weir.inference.core.lists import Lists, parse_lists
from weir.inference.core.reasons import build_groups
from weir.inference.core.rules import RuleSet
from weir.inference.core.thresholds import Cut, ThresholdTable, read_thresholds
from weir.inference.metering import _meter_let_through
from weir.inference.published.content import Standing
from weir.inference.rule_sets import read_rules
from weir.monitoring.metrics import LET_THROUGH, LET_THROUGH_MINOR
from weir.schemas.durations import DAY_MS
from weir.schemas.errors import Refused
from weir.schemas.streams.payments import payments

SEED = "0123456789abcdef"
BOUND = 5_000
ROWS = 4_000
TEXT = {"share": 0.1, "seed": SEED, "at_most_minor": BOUND, "outcome": "APPROVE"}
NAMES = (BURST, AMOUNT)


def _table(**changes: Any) -> ThresholdTable:
    return read_thresholds({"review": 0.5, "decline": 0.9, "let_through": TEXT | changes}, payments, "abc")


def _rows(cards: int = ROWS) -> tuple[np.ndarray, pa.RecordBatch]:
    rng = np.random.default_rng(3)
    features = np.stack([rng.choice([0.0, 4.0, 9.0], ROWS), rng.uniform(0, 2 * BOUND, ROWS)], 1).astype(np.float32)
    append = NOW_MS + rng.integers(0, 3 * DAY_MS, ROWS)
    fields = {"card_id": [f"card-{n}" for n in rng.integers(0, cards, ROWS)], "ingest_time_ms": append}
    return features, pa.record_batch(fields)


class _Model:
    """Declines a burst of nine, reviews one of four."""

    names: tuple[str, ...] = (BURST,)
    groups = build_groups((BURST,), payments)
    lacking: tuple[str, ...] = ()
    calibration: Calibration | None = None
    review_threshold, decline_threshold = 0.5, 0.9
    reference = np.zeros(1, np.float32)

    def score(self, features: np.ndarray) -> np.ndarray:
        return np.where(features[:, 0] > 8, 0.95, np.where(features[:, 0] > 3, 0.6, 0.1)).astype(np.float32)


def _judge(
    table: ThresholdTable | None, *, lists: Lists | None = None, rules: RuleSet | None = None, cards: int = ROWS
) -> Judgement:
    features, fields = _rows(cards)
    ids = {"card": fields.column("card_id").to_pylist()}
    return judge(features, NAMES, ids, _Model(), lists or Lists(), rules or RuleSet(), fields, table)


def _expect(share: float, features: np.ndarray, fields: pa.RecordBatch) -> list[bool]:
    """Say what is let through, written a second time from the description."""
    found = []
    for (burst, amount), row in zip(features.tolist(), fields.to_pylist(), strict=True):
        day = row["ingest_time_ms"] // (24 * 60 * 60 * 1000)
        text = f"{day}/{row['card_id']}".encode()
        number = int(hashlib.blake2b(text, digest_size=8, key=SEED.encode()).hexdigest(), 16)
        found.append(burst == 9.0 and abs(amount) <= BOUND and number / 2**64 < share)
    return found


def test_it_is_off_by_default() -> None:
    plain = _judge(read_thresholds({"review": 0.5, "decline": 0.9}, payments))
    assert plain.propensity is None
    assert "let_through" not in plain.decided_by


@pytest.mark.parametrize("outcome", ["APPROVE", "REVIEW"])
def test_a_share_of_what_the_model_declines_gets_the_outcome_that_is_published(outcome: str) -> None:
    plain, found = _judge(None), _judge(_table(outcome=outcome))
    features, fields = _rows()
    expected = np.array(_expect(0.1, features, fields))
    assert 40 < expected.sum() < 100
    is_let = np.array([by == "let_through" for by in found.decided_by])
    assert (is_let == expected).all()
    assert {OUTCOMES[each] for each in found.outcomes[is_let]} == {outcome}
    assert (found.outcomes[~is_let] == plain.outcomes[~is_let]).all()
    # the reasons are those for which it would have been declined
    assert [list(each) for each in found.reasons] == [list(each) for each in plain.reasons]


def test_the_propensity_is_on_all_that_might_have_been_let_through_and_nowhere_else() -> None:
    found = _judge(_table())
    features, _ = _rows()
    is_eligible = (features[:, 0] == 9.0) & (features[:, 1] <= BOUND)
    assert found.propensity is not None
    assert (~np.isnan(found.propensity) == is_eligible).all()
    assert set(found.propensity[is_eligible].tolist()) == {0.1}


def test_what_a_list_or_a_rule_declines_is_never_let_through() -> None:
    features, fields = _rows(40)
    entries = [f"card-{n}" for n in range(20)]
    lists = parse_lists({"block": {"card": entries}}, tuple(payments.id_field_of))
    rules = read_rules(f"rules: [{{name: large, why: large, when: {AMOUNT} > 4000, then: DECLINE}}]", payments, "rules")
    found = _judge(_table(share=0.2), lists=lists, rules=rules, cards=40)
    is_let = np.array([by == "let_through" for by in found.decided_by])
    assert is_let.sum() > 20
    listed = np.isin(fields.column("card_id").to_pylist(), entries)
    assert not (is_let & (listed | (features[:, 1] > 4000))).any()
    assert (found.outcomes[listed] == DECLINE).all()
    assert np.isnan(found.propensity[listed]).all()  # type: ignore[index]


def test_a_key_is_let_through_for_a_day_and_each_of_its_events_of_that_day() -> None:
    _, fields = _rows(60)
    found = _judge(_table(share=0.2), cards=60)
    days: dict[tuple[str, int], set[bool]] = {}
    for place, row in enumerate(fields.to_pylist()):
        if not math.isnan(found.propensity[place]):  # type: ignore[index]
            of = days.setdefault((row["card_id"], row["ingest_time_ms"] // DAY_MS), set())
            of.add(found.decided_by[place] == "let_through")
    assert {len(each) for each in days.values()} == {1}
    let = {key for key, each in days.items() if each == {True}}
    assert len({card for card, _ in let}) > 60 * 0.2  # other cards on other days


def test_without_key_time_or_stake_nothing_is_let_through() -> None:
    features, fields = _rows()
    for names, batch in [
        ((BURST, "other"), fields),
        (NAMES, fields.select(["card_id"])),
        (NAMES, fields.select(["ingest_time_ms"])),
        (NAMES, fields.set_column(0, "card_id", pa.nulls(ROWS, pa.string()))),
    ]:
        found = judge(features, names, {}, _Model(), Lists(), RuleSet(), batch, _table(share=0.2))
        assert "let_through" not in found.decided_by
        assert np.isnan(found.propensity).all()  # type: ignore[arg-type]
    missing = np.stack([features[:, 0], np.full(ROWS, np.nan, np.float32)], 1)
    assert "let_through" not in judge(
        missing, NAMES, {}, _Model(), Lists(), RuleSet(), fields, _table(share=0.2)
    ).decided_by  # fmt: skip


def test_the_past_is_decided_again_as_it_was() -> None:
    features, fields = _rows()
    found, table = _judge(_table()), _table()
    decisions = pa.table({"score": found.scores.astype(np.float64)})
    encoded = pa.record_batch({"card_id": fields.column(0).dictionary_encode(), "ingest_time_ms": fields.column(1)})
    rows = Joined(decisions, features, NAMES, encoded, 0)
    deciding = Deciding(RuleSet(), Lists(), table)
    again = decide_again(rows, found.scores, deciding, payments, has_model=True)
    assert (again.outcomes == found.outcomes).all()
    assert [again.decider(int(each)).name for each in again.by] == found.decided_by
    np.testing.assert_array_equal(again.propensity, found.propensity)
    assert table.columns == {"card_id", AMOUNT}


def test_what_is_let_through_is_counted_with_its_money() -> None:
    found = _judge(_table())
    features, fields = _rows()
    expected = np.array(_expect(0.1, features, fields))
    before = [each.labels(decision="APPROVE")._value.get() for each in (LET_THROUGH, LET_THROUGH_MINOR)]
    _meter_let_through(found)
    count, money = (each.labels(decision="APPROVE")._value.get() for each in (LET_THROUGH, LET_THROUGH_MINOR))
    assert count - before[0] == expected.sum()
    assert money - before[1] == pytest.approx(features[expected, 1].astype(np.float64).sum())


@pytest.mark.parametrize(
    "changes",
    [{"share": 0}, {"share": 0.3}, {"seed": "short"}, {"at_most_minor": 0}, {"at_most_minor": 1.5},
     {"outcome": "DECLINE"}, {"more": 1}, {"share": True}],
    ids=str,
)  # fmt: skip
def test_a_text_of_another_shape_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="let_through: expected share above 0"):
        _table(**changes)


def test_a_stream_without_money_lets_nothing_through() -> None:
    stream = replace(payments, values=())
    with pytest.raises(Refused, match="expected a stream whose values have a measure of money"):
        read_thresholds({"review": 0.5, "decline": 0.9, "let_through": TEXT}, stream)


def test_the_records_of_the_stream_carry_it(tmp_path: Path) -> None:
    current = _Current(_load(tmp_path / "champion"))
    table = replace(_table(share=0.2, at_most_minor=4), others=Cut(0.0, 0.0))
    current.thresholds = table  # type: ignore[assignment]  # the twin has none as a rule
    rows = _decide(current)
    amounts = _build_batch().features[:, FEATURE_NAMES.index(AMOUNT)]
    assert [row["propensity"] for row in rows] == [0.2 if amount <= 4 else None for amount in amounts.tolist()]
    assert {row["decision"] for row in rows if row["decided_by"] == "model"} == {"DECLINE"}
    assert {row["rules_version"].split("+")[-1] for row in rows} == {"thresholds-abc"}


def test_the_api_scores_an_event_as_the_stream_decides_it(tmp_path: Path) -> None:
    world = World(tmp_path / "home")
    table = replace(_table(share=0.2, at_most_minor=100_000_000), others=Cut(0.0, 0.0))
    world.champion._standing = Standing(thresholds=table)
    cards = [f"card-{n}" for n in range(60)]
    found = [world.score(card_id=card, transaction_id=f"of-{card}").json() for card in cards]
    world.guard.close()
    chosen = table.let_through.choose(  # type: ignore[union-attr]
        np.arange(60), pa.record_batch({"card_id": cards, "ingest_time_ms": [API_NOW_MS] * 60})
    )
    assert 3 < chosen.sum() < 30
    assert [each["decided_by"] == "let_through" for each in found] == chosen.tolist()
    assert [each["decision"] for each in found] == ["APPROVE" if each else "DECLINE" for each in chosen.tolist()]
