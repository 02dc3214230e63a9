import json
from dataclasses import replace

import pytest

from weir.cases.case import Conflict, Verdict
from weir.cases.labels import LabelPlan, needs_label
from weir.schemas.project import load_shipped
from weir.schemas.streams.payments import payments

EVENT = {"transaction_id": "t1", "card_id": "c1", "merchant_id": "m1", "device_id": "d1", "event_time_ms": 5, "mcc": 7}
PICKED = {name: EVENT[name] for name in EVENT if name != "mcc"}


@pytest.fixture
def plan():
    return LabelPlan(payments)


def changed(tmp_path, change):
    """Return a plan by other labels than the shipped ones."""
    schema = json.loads(LabelPlan(payments).schema)
    change(schema["fields"])
    (tmp_path / "labels.avsc").write_text(json.dumps(schema))
    there = replace(payments, where=payments.where._replace(file=str(tmp_path / "stream.py")))
    return LabelPlan(there)


def find(fields, name):
    return next(field for field in fields if field["name"] == name)


def test_a_verdict_becomes_a_label_of_the_streams_own_fields(plan):
    assert plan.pick(EVENT) == PICKED
    label = plan.build(PICKED, Verdict.FRAUD, at_ms=9)
    assert label == PICKED | {"label_time_ms": 9, "is_fraud": True, "source": "analyst"}
    assert plan.build(PICKED, Verdict.LEGITIMATE, at_ms=9)["is_fraud"] is False
    assert plan.build(PICKED, Verdict.UNSURE, at_ms=9)["is_fraud"] is None


def test_what_may_be_null_may_be_missing_and_nothing_else(plan):
    assert plan.pick({**EVENT, "device_id": None}) == PICKED | {"device_id": None}
    assert plan.pick({name: value for name, value in EVENT.items() if name != "device_id"})["device_id"] is None
    assert plan.pick({**EVENT, "merchant_id": None}) is None


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("string", "analyst"),
        (["null", "string"], "analyst"),
        ({"type": "enum", "name": "Source", "symbols": ["analyst", "bank"]}, "analyst"),
        (["null", {"type": "enum", "name": "Source", "symbols": ["bank"]}], None),
    ],
)
def test_the_source_is_said_where_the_schema_has_a_word_for_it(tmp_path, kind, said):
    plan = changed(tmp_path, lambda fields: find(fields, "source").update(type=kind))
    assert plan.build(plan.pick(EVENT), Verdict.FRAUD, at_ms=9)["source"] == said


def test_a_schema_without_a_source_has_none(tmp_path):
    plan = changed(tmp_path, lambda fields: fields.remove(find(fields, "source")))
    assert plan.build(plan.pick(EVENT), Verdict.FRAUD, at_ms=9) == PICKED | {"label_time_ms": 9, "is_fraud": True}


def test_a_label_that_cannot_be_withdrawn_is_said_to_stay(tmp_path):
    def never_null(fields):
        fields[fields.index(find(fields, "is_fraud"))] = {"name": "is_fraud", "type": "boolean"}

    plan = changed(tmp_path, never_null)
    assert plan.build(PICKED, Verdict.FRAUD, at_ms=9)["is_fraud"] is True
    with pytest.raises(Conflict, match="cannot be withdrawn"):
        plan.build(PICKED, Verdict.UNSURE, at_ms=9)


def test_only_what_is_new_makes_a_label():
    wanted = {(Verdict.UNSURE, None): False, (Verdict.UNSURE, Verdict.UNSURE): False, (Verdict.FRAUD, None): True}
    wanted |= {(Verdict.UNSURE, Verdict.FRAUD): True, (Verdict.FRAUD, Verdict.LEGITIMATE): True}
    assert {pair: needs_label(*pair) for pair in wanted} == wanted


def test_a_stream_of_another_shape_has_labels_too():
    sessions = load_shipped("sessions").stream
    assert LabelPlan(sessions).schema
