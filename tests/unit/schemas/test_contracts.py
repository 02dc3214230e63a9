"""What is written about a stream's events follows from its declaration."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.golden.log import EXPECTED
from tests.golden.shipped import of_the_fixtures
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.checks.declaration import find_faults
from weir.schemas.checks.fields import PROVENANCE
from weir.schemas.contracts import DECIDED, decisions_schema, event_schemas, features_schema, label_schemas
from weir.schemas.errors import Refused
from weir.schemas.expression import col
from weir.schemas.origin import Origin
from weir.schemas.project import load_file
from weir.schemas.schema_files import read_versions
from weir.schemas.stream import Stream, Value
from weir.schemas.streams.payments import payments

CLICKS = """
from weir.schemas.entity import Entity
from weir.schemas.stream import Measure, Stream
from weir.schemas.expression import col

visitor = Entity("visitor", "visitor_id", ["page"])
clicks = Stream(
    "clicks", "clicks.avsc", "click_id", "at_ms", visitor, [visitor], [visitor.dwell.sum("1h", why="how long")],
    event="click", measures=[Measure("dwell", col("dwell_ms"), bound=1_000_000)], keep=["page", "kind", "referrer"],
)
"""
FIELDS: list[dict[str, Any]] = [
    {"name": "click_id", "type": "string"},
    {"name": "visitor_id", "type": "string"},
    {"name": "at_ms", "type": "long"},
    {"name": "dwell_ms", "type": "int"},
    {"name": "page", "type": "string", "doc": "a path"},
    {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["TAP", "KEY"], "default": "TAP"}},
    {"name": "referrer", "type": ["string", "null"], "default": "none"},
]


def _write(folder: Path, name: str, schema: dict[str, Any]) -> None:
    (folder / name).write_text(json.dumps(schema, indent=2))


@pytest.fixture
def clicks(tmp_path: Path) -> Stream:
    (tmp_path / "clicks.py").write_text(CLICKS)
    _write(tmp_path, "clicks.avsc", {"type": "record", "name": "Click", "fields": FIELDS})
    loaded, findings = load_file(tmp_path / "clicks.py")
    assert findings == []
    return loaded[0].stream


def test_a_decision_of_the_payments_is_that_of_before_with_what_rules_note_next_to_it() -> None:
    found, before = json.loads(decisions_schema(payments)), json.loads((EXPECTED / "decisions.avsc").read_text())
    noted = [field for field in found["fields"] if field["name"] in {"tags", "shadow_rules"}]
    may_be_null = ("shadow_model", "shadow_score", "propensity")
    shadow = [field for field in found["fields"] if field["name"].startswith(may_be_null)]
    assert [(field["type"][0], field["default"]) for field in shadow] == [("null", None)] * 4
    assert [(field["type"], field["default"]) for field in noted] == [({"type": "array", "items": "string"}, [])] * 2
    sure = [field for field in found["fields"] if field["name"] in {"probability", "prediction_set"}]
    assert [(field["type"][0], field["default"]) for field in sure] == [("null", None)] * 2
    assert found | {"fields": [field for field in found["fields"] if field not in [*noted, *shadow, *sure]]} == before


@of_the_fixtures
def test_a_feature_row_of_the_payments_is_that_of_before_with_a_mark_that_may_be_missing() -> None:
    found, before = json.loads(features_schema(payments)), json.loads((EXPECTED / "features.avsc").read_text())
    (mark,) = (field for field in found["fields"] if field["name"] == DECIDED)
    assert (mark["type"], mark["default"]) == (["null", "boolean"], None)
    assert found | {"fields": [field for field in found["fields"] if field is not mark]} == before


def test_a_feature_row_has_where_the_event_was_what_is_kept_and_the_features(clicks: Stream) -> None:
    record = json.loads(features_schema(clicks))
    assert record["doc"] == "What the model saw for one click; null is a missing feature. Key: visitor_id."
    assert record["fields"][:6] == [
        {"name": "click_id", "type": "string"},
        {"name": "visitor_id", "type": "string"},
        {"name": "page", "type": "string"},
        {"name": "kind", "type": "string"},
        {"name": "referrer", "type": ["null", "string"], "default": None},
        {"name": "at_ms", "type": "long"},
    ]
    assert [field["name"] for field in record["fields"]][-3:] == ["degraded", "decided", "visitor_dwell_sum_1h"]


def test_a_decision_has_all_that_is_kept_where_nothing_less_is_said(clicks: Stream) -> None:
    names = [field["name"] for field in json.loads(decisions_schema(clicks))["fields"]]
    assert names[:6] == ["click_id", "visitor_id", "page", "kind", "referrer", "decision"]
    fewer = [field["name"] for field in json.loads(decisions_schema(replace(clicks, decided=["kind"])))["fields"]]
    assert fewer == [name for name in names if name not in {"page", "referrer"}]


def test_no_field_of_ours_can_be_passed_on_by_accident(clicks: Stream) -> None:
    written = {
        field["name"] for build in (features_schema, decisions_schema) for field in json.loads(build(clicks))["fields"]
    }
    assert written - {clicks.time, *clicks.kept_in_rows, *clicks.feature_names} == PROVENANCE


def test_a_field_that_is_kept_twice_is_written_once(clicks: Stream) -> None:
    twice = replace(clicks, keep=["visitor_id", "page", "click_id", "page"], decided=None)
    assert twice.kept_in_rows == ("click_id", "visitor_id", "page")


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"decided": ["pag"]}, "expected a field of keep=, found 'pag'; did you mean 'page'?"),
        (
            {"event": "source", "values": [Value("offset", col("dwell_ms"))]},
            "expected another name, found 'source_offset', which feature rows and decisions have of their own",
        ),
    ],
)
def test_names_that_a_row_cannot_have_are_named(clicks: Stream, changes: dict[str, Any], fault: str) -> None:
    found = find_faults(replace(clicks, **changes), event_schemas(clicks)[-1])
    assert [finding.fault for finding in found] == [fault]


def test_a_codec_takes_the_schema_of_any_stream(clicks: Stream) -> None:
    codec = BatchCodec(schema=features_schema(clicks))
    assert codec.arrow_schema.names[-1] == "visitor_dwell_sum_1h"


def test_versions_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        _write(tmp_path, f"clicks.v{number}.avsc", {"doc": number})
    assert [json.loads(text)["doc"] for text in read_versions(tmp_path, "clicks.avsc")] == [1, 2, 10]


def test_a_stream_without_labels_has_no_schema_of_them(clicks: Stream) -> None:
    assert label_schemas(clicks) == ()
    assert len(label_schemas(payments)) == 1


def test_a_schema_that_is_not_next_to_its_stream_is_refused(tmp_path: Path) -> None:
    stray = replace(payments, where=Origin(str(tmp_path / "cards.py"), 1))
    with pytest.raises(Refused, match=r"expected transactions.avsc in .*, found none; a stream's schemas are next to"):
        event_schemas(stray)
