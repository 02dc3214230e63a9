"""The faults of a stream's fields and expressions, against the Avro schemas of its events and labels."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

from weir.schemas.checks.expression_types import BOOLEAN, INTEGER, NUMBER, TEXT, Column, nearest, read_columns, type_of
from weir.schemas.durations import parse_ms
from weir.schemas.expression import Expression, columns_of
from weir.schemas.origin import Finding, Origin
from weir.schemas.stream import Flag, Labels, Measure, Reversal, Stream

PROVENANCE: Final = frozenset({
    "ingest_time_ms", "source_partition", "source_offset", "declarations_hash", "late", "degraded", "degraded_by",
    "decided", "decision", "score", "decided_by", "reasons", "model_name", "model_version", "rules_version",
    "decision_time_ms", "tags", "shadow_rules", "shadow_score", "shadow_model_name", "shadow_model_version",
    "probability", "prediction_set",
    "propensity",
})  # fmt: skip
"""Fields of our own in feature rows and decisions: a field of an event cannot be passed on under such a name."""

Columns: TypeAlias = Mapping[str, Column]


def read_schema(schema_json: str) -> Columns | None:
    """Return the columns of an Avro record, or nothing where it is none."""
    try:
        record = json.loads(schema_json)
        return read_columns(record["fields"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def find_field_faults(stream: Stream, columns: Columns) -> Iterator[Finding]:
    """Yield the faults of every field that is named: ids, times, entities, what is passed on."""
    for what, where, name, kinds, may_be_null in _list_fields(stream):
        yield from _check_field(columns, stream.schema, (what, where), name, kinds, may_be_null=may_be_null)
    for name in (stream.id, stream.time, *stream.keep):
        if name in PROVENANCE:
            fault = f"expected another field to pass on, found {name!r}, which decisions have of their own"
            yield Finding(stream.where, f"stream {stream.name}", fault)
    yield from _find_row_faults(stream)
    for name in sorted(set(stream.example) - set(columns)):
        fault = f"expected a field of {stream.schema}, found {name!r}{nearest(name, columns)}"
        yield Finding(stream.where, f"stream {stream.name}, example", fault)


def _find_row_faults(stream: Stream) -> Iterator[Finding]:
    """A feature row and a decision have each name once."""
    for name in sorted({*(stream.decided or ())} - {*stream.keep}):
        fault = f"expected a field of keep=, found {name!r}{nearest(name, stream.keep)}"
        yield Finding(stream.where, f"stream {stream.name}, decided", fault)
    for feature in stream.all_features:
        if feature.name in PROVENANCE:
            fault = f"expected another name, found {feature.name!r}, which feature rows and decisions have of their own"
            yield Finding(feature.where, f"feature {feature.name}", fault)


def _list_fields(stream: Stream) -> Iterator[tuple[str, Origin, str, tuple[str, ...], bool]]:
    """Yield each field that is named: by which part, where, the kinds it may have, and whether it may be null."""
    what, where = f"stream {stream.name}", stream.where
    yield f"{what}, id", where, stream.id, (TEXT,), False
    yield f"{what}, time", where, stream.time, (INTEGER,), False
    yield f"{what}, key {stream.key.name}", stream.key.where, stream.key.field, (TEXT,), False
    for entity in stream.entities:
        if entity != stream.key:
            yield f"entity {entity.name}", entity.where, entity.field, (TEXT,), True
        for name in entity.tells_apart:
            yield f"entity {entity.name}, tells_apart", entity.where, name, (TEXT,), True
    for name in stream.ids:
        yield f"{what}, ids", where, name, (TEXT,), True
    for name in stream.keep:
        yield f"{what}, keep", where, name, (), True
    if stream.position:
        for name in (stream.position.lat, stream.position.lon):
            yield "position", stream.position.where, name, (NUMBER,), True


def _check_field(
    columns: Columns,
    schema: str,
    part: tuple[str, Origin],
    name: str,
    kinds: tuple[str, ...],
    *,
    may_be_null: bool,
) -> Iterator[Finding]:
    """Say what is wrong with a field that a part names; without kinds any type will do."""
    what, where = part
    column = columns.get(name)
    if column is None:
        yield Finding(where, what, f"expected a field of {schema}, found {name!r}{nearest(name, columns)}")
        return
    if kinds and column.kind not in kinds:
        yield Finding(where, what, f"expected a field of {' or '.join(kinds)}, found {name!r} of {column.avro}")
    if column.nullable and not may_be_null:
        yield Finding(where, what, f"expected a field that is never null, found {name!r}, which may be in {schema}")


def find_expression_faults(stream: Stream, fields: Columns) -> Iterator[Finding]:
    """Yield the faults of measures, flags, the reversal, values and checks."""
    with_measures = {**fields, **{measure.name: Column(INTEGER) for measure in stream.measures}}
    conditions: list[Flag | Reversal] = [*stream.flags, *([stream.reversal] if stream.reversal else [])]
    everything = {**with_measures, **{part.name: Column(BOOLEAN) for part in conditions}}
    schema = stream.schema
    for measure in stream.measures:
        part = f"measure {measure.name}", measure.where
        yield from _check_expression(measure.value, fields, schema, part, (INTEGER,))
        yield from _find_null_measure(measure, fields)
        yield from _find_shadow(measure.name, measure.value, fields, part)
    for flag in stream.flags:
        yield from _check_expression(flag.when, with_measures, schema, (f"flag {flag.name}", flag.where), (BOOLEAN,))
        yield from _find_shadow(flag.name, flag.when, fields, (f"flag {flag.name}", flag.where))
    if stream.reversal:
        part = f"reversal {stream.reversal.name}", stream.reversal.where
        yield from _check_expression(stream.reversal.when, with_measures, schema, part, (BOOLEAN,))
        if stream.reversal.of not in {measure.name for measure in stream.measures}:
            hint = nearest(stream.reversal.of, (measure.name for measure in stream.measures))
            yield Finding(part[1], part[0], f"expected a measure of the stream, found {stream.reversal.of!r}{hint}")
    for value in stream.values:
        part = f"value {value.name}", value.where
        yield from _check_expression(value.value, everything, schema, part, (BOOLEAN, INTEGER, NUMBER))
    for check in stream.all_checks:
        yield from _check_expression(check.must, everything, schema, (f"check {check.reason}", check.where), (BOOLEAN,))


def _check_expression(
    node: Any, columns: Columns, schema: str, part: tuple[str, Origin], kinds: tuple[str, ...]
) -> Iterator[Finding]:
    what, where = part
    if not isinstance(node, Expression):
        yield Finding(where, what, f'expected an expression such as col("field"), found {node!r}')
        return
    typing = type_of(node, columns, f"a field of {schema}")
    yield from (Finding(where, what, fault) for fault in typing.faults)
    if not typing.faults and typing.kind not in kinds:
        yield Finding(where, what, f"expected an expression of {' or '.join(kinds)}, found one of {typing.kind}")


def _find_null_measure(measure: Measure, fields: Columns) -> Iterator[Finding]:
    read = columns_of(measure.value) if isinstance(measure.value, Expression) else frozenset[str]()
    for name in sorted(name for name in read if name in fields and fields[name].nullable):
        fault = f"expected fields that are never null, found {name!r}, which may be: a window cannot add up null"
        yield Finding(measure.where, f"measure {measure.name}", fault)


def _find_shadow(name: str, node: Any, fields: Columns, part: tuple[str, Origin]) -> Iterator[Finding]:
    """A measure or flag that is named like a field, and is not that field, makes ``col`` of the name ambiguous."""
    if name in fields and isinstance(node, Expression) and not (node.op == "col" and node.value == name):
        yield Finding(part[1], part[0], f"expected a name that no field has, found {name!r}, which is another number")


def find_label_faults(stream: Stream, labels: Labels, labels_json: str | None) -> Iterator[Finding]:
    """Yield the faults of the labels, against their own schema."""
    part = "labels", labels.where
    if not parse_ms(labels.hold):
        yield Finding(labels.where, "labels", f"expected a hold like '7d', found {labels.hold!r}")
    for entity in labels.on:
        if entity not in stream.entities:
            hint = nearest(entity.name, (each.name for each in stream.entities))
            yield Finding(labels.where, "labels", f"expected entities of the stream, found {entity.name!r}{hint}")
    columns = None if labels_json is None else read_schema(labels_json)
    if columns is None:
        yield Finding(labels.where, "labels", f"expected an Avro record in {labels.schema}")
        return
    yield from _check_field(columns, labels.schema, part, labels.verdict, (BOOLEAN,), may_be_null=True)
    for name, kind in ((labels.time, INTEGER), (stream.time, INTEGER), (stream.id, TEXT), (stream.key.field, TEXT)):
        yield from _check_field(columns, labels.schema, part, name, (kind,), may_be_null=False)
    for name in dict.fromkeys(entity.field for entity in labels.on):
        yield from _check_field(columns, labels.schema, part, name, (TEXT,), may_be_null=True)
