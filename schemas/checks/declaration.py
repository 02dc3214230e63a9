"""Every fault of a stream's declarations, said at once before anything runs.

A fault is a finding: the file and line, the part, what was expected and found, and the nearest right thing. Checked is
what can be known from the declarations and the Avro schemas alone; what the kernel's working memory cannot hold is
said in ``streaming/core/limits.py``. Fields and expressions are checked in ``field_checks.py``, features in
``feature_checks.py``.

The bounds are those that the product is tested at. Each costs memory and time in every look-up of an entity, so they
are a budget and not a limit of the format.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from weir.schemas.checks.arguments import find_type_faults
from weir.schemas.checks.features import find_feature_faults
from weir.schemas.checks.fields import find_expression_faults, find_field_faults, find_label_faults, read_schema
from weir.schemas.checks.groups import find_group_faults
from weir.schemas.checks.rules import find_rule_faults
from weir.schemas.durations import parse_ms
from weir.schemas.origin import Finding, Origin
from weir.schemas.stream import Flag, Measure, Reversal, Stream

FLAGS_MAX: Final = 16
"""A bit each in two bytes of an event's mark."""
MEASURES_MAX: Final = 4
"""Each is a sum, squares, a minimum and a maximum in every pane: about 400 ns an event and measure."""
ATTRIBUTES_MAX: Final = 8
"""Each is a hash in every recent event and 32 bytes in every pane of an entity."""
ENTITIES_MAX: Final = 8
"""Each is a partial that is read and written for every event, in memory and in Redis."""
RECENT_MAX: Final = 255
"""How many recent events are kept is one byte of a partial."""
BOUND_MAX: Final = math.isqrt((1 << 63) - 1)
"""3,037,000,499: the square of a measure fits into 64 bits. Sums then hold for three thousand million events a pane."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_STREAM_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_TOPIC_PREFIX = re.compile(r"[a-zA-Z0-9._-]{0,64}")
_TOPIC_KINDS: Final = frozenset({"labels", "features", "decisions", "dlq"})
"""Streams of these names would have topics that look like those of another stream or project."""
SUBJECTS: Final = frozenset({"event", "position", "label"})
"""Subjects that every entity has: no measure, flag or reversal can be named like one."""


def find_faults(
    stream: Stream, schema_json: str, labels_json: str | None = None, *, retention_ms: int | None = None
) -> list[Finding]:
    """Return every fault of a stream's declarations, in the order of their lines; nothing if all is well.

    Args:
        stream: the declarations.
        schema_json: the Avro schema of its events.
        labels_json: the Avro schema of its labels, where it has any.
        retention_ms: how long the log keeps events, where that is known.
    """
    wrong = list(find_type_faults(stream))
    if wrong:
        return wrong
    columns = read_schema(schema_json)
    if columns is None:
        return [Finding(stream.where, f"stream {stream.name}", f"expected an Avro record in {stream.schema}")]
    found = [
        *_find_name_faults(stream),
        *_find_bound_faults(stream),
        *find_field_faults(stream, columns),
        *find_expression_faults(stream, columns),
        *(find_label_faults(stream, stream.labels, labels_json) if stream.labels else ()),
        *find_feature_faults(stream, retention_ms),
        *find_rule_faults(stream, columns),
        *find_group_faults(stream, columns),
    ]
    return sorted(dict.fromkeys(found), key=lambda finding: finding.where)


def _find_name_faults(stream: Stream) -> Iterator[Finding]:
    what = f"stream {stream.name}"
    if not _STREAM_NAME.fullmatch(stream.name):
        fault = f"expected a name of at most 64 of a-z, 0-9, _ and -, a letter first, found {stream.name!r:.80}"
        yield Finding(stream.where, what, fault)
    if stream.name in _TOPIC_KINDS:
        yield Finding(stream.where, what, f"expected a name that no topic's name ends with, found {stream.name!r}")
    if stream.topic_prefix is not None and not _TOPIC_PREFIX.fullmatch(stream.topic_prefix):
        yield Finding(
            stream.where, what, f"expected a topic_prefix of a topic's letters, found {stream.topic_prefix!r:.80}"
        )
    for kind, parts in _list_named(stream).items():
        times = Counter(name for name, _ in parts)
        for name, where in parts:
            if not _NAME.fullmatch(name):
                yield Finding(where, f"{kind} {name}", f"expected a name of a-z, 0-9 and _, found {name!r}")
            if times[name] > 1:
                yield Finding(where, f"{kind} {name}", f"expected one {kind} of this name, found {times[name]}")
    for check in stream.all_checks:
        if not _NAME.fullmatch(check.reason):
            yield Finding(check.where, "check", f"expected a reason of a-z, 0-9 and _, found {check.reason!r}")
    yield from _find_clashes(stream)


def _find_clashes(stream: Stream) -> Iterator[Finding]:
    """Measures, flags and the reversal share one space of names: each is a column for expressions."""
    named: list[tuple[str, Measure | Flag | Reversal]] = [
        *(("measure", measure) for measure in stream.measures),
        *(("flag", flag) for flag in stream.flags),
        *([("reversal", stream.reversal)] if stream.reversal else []),
    ]
    for kind, part in named:
        if part.name in SUBJECTS:
            yield Finding(part.where, f"{kind} {part.name}", f"expected a name that is not taken, found {part.name!r}")
        others = [other for other, each in named if each.name == part.name and other != kind]
        if others:
            fault = f"expected a name of its own, found a {others[0]} of the same name"
            yield Finding(part.where, f"{kind} {part.name}", fault)


def _list_named(stream: Stream) -> dict[str, list[tuple[str, Origin]]]:
    """Return the names of a stream's parts, by kind; within a kind they are unique."""
    named = {
        "entity": [(entity.name, entity.where) for entity in stream.entities],
        "measure": [(measure.name, measure.where) for measure in stream.measures],
        "flag": [(flag.name, flag.where) for flag in stream.flags],
        "value": [(value.name, value.where) for value in stream.values],
        "reversal": [(stream.reversal.name, stream.reversal.where)] if stream.reversal else [],
        "event": [(stream.event, stream.where)],
    }
    for entity in stream.entities:
        attributes = [(field.removesuffix("_id"), entity.where) for field in entity.tells_apart]
        named[f"{entity.name}'s attribute"] = attributes
    return named


def _find_bound_faults(stream: Stream) -> Iterator[Finding]:
    what = f"stream {stream.name}"
    bounds = {
        "flags": (len(stream.flags), FLAGS_MAX),
        "measures": (len(stream.measures), MEASURES_MAX),
        "entities": (len(stream.entities), ENTITIES_MAX),
    }
    for kind, (found, most) in bounds.items():
        if found > most:
            yield Finding(stream.where, what, f"expected at most {most} {kind}, found {found}")
    if stream.key not in stream.entities:
        names = ", ".join(entity.name for entity in stream.entities) or "none"
        yield Finding(stream.where, what, f"expected the key {stream.key.name} among the entities, found {names}")
    if not parse_ms(stream.duplicates):
        yield Finding(stream.where, what, f"expected duplicates like '1d', found {stream.duplicates!r}")
    for entity in stream.entities:
        if len(entity.tells_apart) > ATTRIBUTES_MAX:
            fault = f"expected at most {ATTRIBUTES_MAX} fields that it tells apart, found {len(entity.tells_apart)}"
            yield Finding(entity.where, f"entity {entity.name}", fault)
        if not 1 <= entity.recent <= RECENT_MAX:
            fault = f"expected 1 to {RECENT_MAX} recent events, found {entity.recent}"
            yield Finding(entity.where, f"entity {entity.name}", fault)
    for measure in stream.measures:
        yield from _find_measure_bound_faults(measure)


def _find_measure_bound_faults(measure: Measure) -> Iterator[Finding]:
    what, bound = f"measure {measure.name}", measure.bound
    if bound is None:
        yield Finding(measure.where, what, f"expected bound=, the largest size that is taken, up to {BOUND_MAX:,}")
    elif not isinstance(bound, int) or not 1 <= bound <= BOUND_MAX:
        fault = f"expected a bound of 1 to {BOUND_MAX:,}, whose square fits 64 bits, found {bound!r}"
        yield Finding(measure.where, what, fault)
