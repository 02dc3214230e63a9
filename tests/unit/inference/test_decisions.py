from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from tests.payments import DECLARATIONS_HASH, FEATURE_NAMES
from weir.inference.core.calibration import Calibration
from weir.inference.core.decisions import OUTCOMES, Judgement, judge
from weir.inference.core.lists import Lists
from weir.inference.core.reasons import EXPLAINED_ROWS_MAX, REASONS_MAX, Reason, build_groups, explain
from weir.inference.core.records import ModelLabel, build_decisions, read_ids
from weir.inference.core.rules import RuleSet, build_rule_set
from weir.inference.core.vector import DECLARATIONS_DIFFER, NO_MODEL, build_degraded, select_columns
from weir.inference.rule_sets import rules_of
from weir.schemas.avro.codec import BatchCodec, WriterSchema
from weir.schemas.checks.expression_types import NUMBER, Column
from weir.schemas.contracts import schema_json
from weir.schemas.errors import Refused
from weir.schemas.expression import Expression, col
from weir.schemas.rules import Rule
from weir.schemas.streams.payments import payments
from weir.schemas.streams.transfers import transfers

NAMES = ("card_event_count_5m", "card_device_new_30d", "transaction_amount", "transaction_hour")
GROUPS = build_groups(NAMES, payments)
LIST_ENTITIES = tuple(payments.id_field_of)
COLUMNS = dict.fromkeys((*payments.feature_names, "score"), Column(NUMBER, nullable=True))


class _Model:
    """Says the sum of its first two features; NaN where the third says so."""

    names: tuple[str, ...] = NAMES
    review_threshold = 0.5
    decline_threshold = 0.9
    reference = np.zeros(len(NAMES), dtype=np.float32)
    groups = GROUPS
    calibration: Calibration | None = None
    lacking: tuple[str, ...] = ()

    def score(self, features: np.ndarray) -> np.ndarray:
        said = np.nan_to_num(features[:, 0]) + np.nan_to_num(features[:, 1])
        return np.where(features[:, 2] == -1, np.nan, said).astype(np.float32)


def _rows(*rows: Sequence[float]) -> np.ndarray:
    return np.array([[*row, *[0.0] * (len(NAMES) - len(row))] for row in rows], dtype=np.float32)


def _judge(rows: np.ndarray, lists: Lists | None = None, rules: Sequence[Rule] = (), **ids: list) -> Judgement:
    return judge(rows, NAMES, ids, _Model(), lists or Lists(), build_rule_set(rules, COLUMNS))


def _decisions(judgement: Judgement) -> list[str]:
    return [OUTCOMES[outcome] for outcome in judgement.outcomes]


def test_scores_at_or_over_a_threshold_are_over_it() -> None:
    judged = _judge(_rows([0.1], [0.49], [0.5], [0.89], [0.9], [1.0]))
    assert _decisions(judged) == ["APPROVE", "APPROVE", "REVIEW", "REVIEW", "DECLINE", "DECLINE"]
    assert set(judged.decided_by) == {"model"}


def test_what_the_model_approves_has_no_reasons() -> None:
    assert _judge(_rows([0.1])).reasons == [()]


@pytest.mark.parametrize("row", [[0, 0, -1], [1.5], [-0.5]])
def test_a_failed_score_is_a_recorded_fallback_and_never_a_number(row: list[float]) -> None:
    judged = _judge(_rows(row, [0.1]))
    assert _decisions(judged) == ["REVIEW", "APPROVE"]
    assert np.isnan(judged.scores[0])
    assert judged.decided_by[0] == "fallback"
    assert judged.reasons[0][0].code == "SCORE_UNAVAILABLE"


class _NoModel(_Model):
    lacking: tuple[str, ...] = (NO_MODEL,)

    def score(self, features: np.ndarray) -> np.ndarray:
        return np.full(len(features), np.nan, np.float32)


def test_without_a_model_lists_and_rules_decide_alone_and_the_rest_is_approved() -> None:
    rules = (
        Rule("burst", "REVIEW", col(NAMES[0]) >= 5, ""),
        Rule("large", "DECLINE", col(NAMES[2]) > 100, ""),
    )
    lists = Lists("v", allow={"card": frozenset({"a"})}, block={"card": frozenset({"b"})})
    rows = _rows([9.0, 0.0, 500.0], [1.0], [6.0], [6.0, 0.0, 101.0], [np.nan, 0.0, 100.0])
    judged = judge(rows, NAMES, {"card": ["a", "b", "c", "d", "e"]}, _NoModel(), lists, build_rule_set(rules, COLUMNS))
    assert _decisions(judged) == ["APPROVE", "DECLINE", "REVIEW", "DECLINE", "APPROVE"]
    assert judged.decided_by == ["allow_list_card", "block_list_card", "burst", "large", "rules"]
    assert [[reason.code for reason in reasons] for reasons in judged.reasons] == [
        ["ALLOW_LIST"], ["BLOCK_LIST"], ["BURST"], ["LARGE"], [],
    ]  # fmt: skip
    assert np.isnan(judged.scores).all()
    assert judged.failed == 0


def test_a_rule_holds_over_a_feature_that_the_model_does_not_take() -> None:
    rule = Rule("travel", "DECLINE", col("card_position_speed_30d") >= 1_000, "")
    names = ("card_position_speed_30d", *reversed(NAMES))
    rows = np.array([[2_000, 0, 0, 0, 0.1], [10, 0, 0, 0, 0.6]], np.float32)
    judged = judge(rows, names, {}, _Model(), Lists(), build_rule_set([rule], COLUMNS))
    assert judged.decided_by == ["travel", "model"]
    assert judged.scores.tolist() == pytest.approx([0.1, 0.6])


def test_the_allow_list_goes_before_the_block_list_and_the_model() -> None:
    lists = Lists("v", allow={"card": frozenset({"a"})}, block={"merchant": frozenset({"m"})})
    judged = _judge(_rows([1.0], [0.0], [1.0]), lists, card=["a", "b", "c"], merchant=["m", "m", None])
    assert _decisions(judged) == ["APPROVE", "DECLINE", "DECLINE"]
    assert judged.decided_by == ["allow_list_card", "block_list_merchant", "model"]


def test_a_listed_id_never_appears_in_a_reason() -> None:
    lists = Lists("v", block={kind: frozenset({"secret"}) for kind in LIST_ENTITIES})
    judged = _judge(_rows([0.1]), lists, (), **{kind: ["secret"] for kind in LIST_ENTITIES})
    assert "secret" not in str(judged.reasons)


def test_lists_decide_even_where_the_score_failed() -> None:
    lists = Lists("v", allow={"card": frozenset({"a"})}, block={"card": frozenset({"b"})})
    judged = _judge(_rows([0, 0, -1], [0, 0, -1]), lists, card=["a", "b"])
    assert _decisions(judged) == ["APPROVE", "DECLINE"]


REVIEW_NEW = Rule("new_device", "REVIEW", col("card_device_new_30d") >= 0.3, "because", "NEW")
DECLINE_BURST = Rule("burst", "DECLINE", col("card_event_count_5m") >= 0.6, "because")


def test_a_rule_raises_an_outcome_and_never_lowers_it() -> None:
    judged = _judge(_rows([0, 0.3], [0.55, 0.4], [0, 0]), rules=[REVIEW_NEW])
    assert _decisions(judged) == ["REVIEW", "DECLINE", "APPROVE"]
    assert judged.decided_by == ["new_device", "model", "model"]


def test_a_declining_rule_goes_before_a_reviewing_one_whatever_their_order() -> None:
    for rules in ([REVIEW_NEW, DECLINE_BURST], [DECLINE_BURST, REVIEW_NEW]):
        judged = _judge(_rows([0.6, 0.3]), rules=rules)
        assert judged.decided_by == ["burst"]
        assert judged.reasons[0][0].code == "BURST"


def test_a_rule_decides_a_row_whose_score_failed() -> None:
    judged = _judge(_rows([0, 0.3, -1]), rules=[REVIEW_NEW])
    assert judged.decided_by == ["new_device"]


def test_a_missing_feature_satisfies_no_condition() -> None:
    burst = col("card_event_count_5m")
    for when in (burst >= 0, burst <= 0, ~(burst >= 0), ~(burst == 1)):
        assert _judge(_rows([np.nan]), rules=[Rule("r", "REVIEW", when, "because")]).decided_by == ["model"]


def test_a_rule_over_a_feature_that_the_rows_do_not_have_never_applies() -> None:
    rule = Rule("r", "REVIEW", col("ip_event_count_5m") >= -1, "because")
    assert _judge(_rows([1.0]), rules=[rule]).decided_by == ["model"]


def test_a_rule_over_an_undeclared_feature_cannot_be_built() -> None:
    with pytest.raises(Refused, match="rule r: expected a feature, a kept field or score, found 'no_such'"):
        rules_of(replace(payments, rules=[Rule("r", "REVIEW", col("no_such") >= 1, "because")]))


def test_the_rule_sets_are_the_payments_own() -> None:
    found = rules_of(payments)
    assert [rule.name for rule in found.rules] == ["card_testing_run", "device_farm", "impossible_travel"]
    assert found.version == "1"
    assert rules_of(transfers) == RuleSet("none", ())


def test_every_rule_can_decide_and_names_its_numbers() -> None:
    for rule in payments.rules:
        row = np.array([[_satisfy(rule.when, name) for name in FEATURE_NAMES]], dtype=np.float32)
        judged = judge(row, FEATURE_NAMES, {}, _NoModel(), Lists(), rules_of(payments))
        assert (judged.decided_by, judged.outcomes.tolist()) == ([rule.name], [OUTCOMES.index(rule.then)])
        assert "= " in judged.reasons[0][0].detail


def _satisfy(when: Expression, name: str) -> float:
    if when.op == "and":
        return next((found for part in when.parts if (found := _satisfy(part, name)) == found), float("nan"))
    return float(when.parts[1].value) if when.parts[0].value == name else float("nan")


def test_the_empty_batch_is_judged() -> None:
    judged = _judge(_rows().reshape(0, len(NAMES)))
    assert judged.scores.shape == (0,)
    assert judged.reasons == []


def test_the_group_without_which_the_score_falls_most_is_the_first_reason() -> None:
    judged = _judge(_rows([0.2, 0.7], [0.7, 0.2]))
    assert [[reason.code for reason in found] for found in judged.reasons] == [
        ["CARD_NEW_DEVICE", "CARD_BURST"],
        ["CARD_BURST", "CARD_NEW_DEVICE"],
    ]
    assert judged.reasons[1][0] == Reason("CARD_BURST", "card_event_count_5m = 0.7 (typical 0)")


def test_a_small_score_over_a_small_threshold_has_reasons_of_its_own_size() -> None:
    scores = np.array([0.006], np.float32)
    found = explain(_rows([0.005, 0.001]), scores, _rows([0])[0], GROUPS, _Model().score)
    assert [reason.code for reason in found[0]] == ["CARD_BURST", "CARD_NEW_DEVICE"]


def test_a_feature_that_is_missing_is_not_given_the_name_of_what_it_would_show() -> None:
    def score(features: np.ndarray) -> np.ndarray:
        return np.where(np.isnan(features[:, 0]), 0.9, 0.1).astype(np.float32)

    found = explain(_rows([np.nan]), np.array([0.9], np.float32), _rows([0])[0], GROUPS, score)
    assert found == [[Reason("CARD_NOT_KNOWN", "card_event_count_5m = missing (typical 0)")]]


def test_what_the_score_hardly_depends_on_is_no_reason() -> None:
    found = explain(_rows([0.9, 0.05]), np.array([0.95], np.float32), _rows([0])[0], GROUPS, _Model().score)
    assert [reason.code for reason in found[0]] == ["CARD_BURST"]


def test_what_is_typical_already_is_neither_tried_nor_named() -> None:
    asked = []

    def score(features: np.ndarray) -> np.ndarray:
        asked.append(len(features))
        return _Model().score(features)

    rows, reference = _rows([0.9, np.nan, 7]), np.array([0, np.nan, 7, 0], np.float32)
    found = explain(rows, np.array([0.9], np.float32), reference, GROUPS, score)
    assert [reason.code for reason in found[0]] == ["CARD_BURST"]
    assert sum(asked) == 1


def test_a_score_that_no_group_explains_alone_says_so() -> None:
    found = explain(_rows([1]), np.array([0.7], np.float32), _rows([1])[0], GROUPS, _Model().score)
    assert found == [[Reason("MODEL_SCORE", "score 0.700")]]


def test_explanations_are_bounded_and_leave_out_what_is_nearest_to_approval() -> None:
    count = EXPLAINED_ROWS_MAX + 10
    rows = np.zeros((count, len(NAMES)), dtype=np.float32)
    rows[:, 0] = np.linspace(0.5, 1.0, count)
    judged = _judge(rows)
    codes = [found[0].code for found in judged.reasons]
    assert codes[:10] == ["MODEL_SCORE"] * 10
    assert set(codes[10:]) == {"CARD_BURST"}


def test_no_row_has_more_reasons_than_the_bound() -> None:
    assert all(len(found) <= REASONS_MAX for found in _judge(_rows([0.5, 0.4, 3, 3])).reasons)


def test_every_declared_feature_has_a_reason_code() -> None:
    assert tuple(payments.reason_codes) == FEATURE_NAMES
    assert all(payments.reason_codes.values())


def test_a_stream_without_words_for_its_stories_has_codes_all_the_same() -> None:
    groups = build_groups(("sender_amount_sum_1d", "sender_amount_sum_7d", "receiver_event_count_1d"), transfers)
    assert groups.codes[0] == transfers.reason_codes["sender_amount_sum_1d"]
    assert groups.missing == ("SENDER_NOT_KNOWN", "SENDER_NOT_KNOWN", "RECEIVER_NOT_KNOWN")


def _feature_rows(**columns: list) -> pa.RecordBatch:
    schema = BatchCodec("features").arrow_schema
    count = len(next(iter(columns.values())))
    given = {field.name: columns.get(field.name, [_default(field)] * count) for field in schema}
    return pa.RecordBatch.from_pydict(given, schema=schema)


def _default(field: pa.Field) -> object:
    if field.nullable:
        return None
    if field.name == "declarations_hash":
        return DECLARATIONS_HASH
    if pa.types.is_list(field.type):
        return []
    return False if pa.types.is_boolean(field.type) else "x" if pa.types.is_string(field.type) else 1


def test_columns_of_other_models_are_reordered_and_absent_ones_are_missing() -> None:
    picked = select_columns(np.array([[1, 2]], np.float32), ("a", "b"), ("b", "c"))
    np.testing.assert_array_equal(picked, np.array([[2, np.nan]], np.float32))


def test_a_row_of_other_declarations_is_degraded_and_keeps_what_its_processor_noted() -> None:
    rows = _feature_rows(declarations_hash=[DECLARATIONS_HASH, "other"], degraded=[[], ["partial.t01"]])
    assert build_degraded(rows, DECLARATIONS_HASH).to_pylist() == [[], ["partial.t01", DECLARATIONS_DIFFER]]


def test_a_decision_record_survives_the_wire() -> None:
    rows = _feature_rows(card_id=["c1", "c2", "c3"], source_offset=[5, 6, 7])
    judged = _judge(_rows([0.95], [0, 0, -1], [0.1]))
    degraded_by = pa.array([[], ["partial.t00"], []], pa.list_(pa.string()))
    codec = BatchCodec("decisions")
    batch = build_decisions(
        rows, judged, degraded_by, schema=codec.arrow_schema, model=ModelLabel("tiny", "1"), decision_time_ms=99
    )
    values = codec.encode(batch, 7)

    again = codec.decode(values, lambda _: WriterSchema(7, True, schema_json("decisions"))).batch.to_pylist()
    assert [row["decision"] for row in again] == ["DECLINE", "REVIEW", "APPROVE"]
    assert [row["score"] for row in again] == [pytest.approx(0.95), None, pytest.approx(0.1)]
    assert [row["degraded_by"] for row in again] == [[], ["partial.t00"], []]
    assert [row["degraded"] for row in again] == [False, True, False]
    assert again[0]["reasons"][0]["code"] == "CARD_BURST"
    assert [row["source_offset"] for row in again] == [5, 6, 7]


def test_ids_are_read_by_the_declared_field_of_each_kind() -> None:
    assert set(read_ids(_feature_rows(card_id=["c"]), LIST_ENTITIES, payments.id_field_of)) == set(LIST_ENTITIES)
