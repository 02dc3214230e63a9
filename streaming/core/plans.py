"""The declarations of each entity of a stream as the table that compiled code runs.

``limits.py`` says first whether it can run them.
"""

from __future__ import annotations

from typing import Final

from weir.schemas.entity import Aggregate, Entity, Feature
from weir.schemas.stream import Stream
from weir.streaming.core.aggregates import ATTRIBUTE, FLAG, KINDS, MEASURE, REVERSAL
from weir.streaming.core.layout import CELLS_PER_HALF_LIFE, PANES_PER_WINDOW, compute_pane_slots
from weir.streaming.core.working_memory import Record, Shape, build_record, build_types

RING_SLOTS_MIN: Final = 64
"""Streams whose entities keep fewer events share the machine code of those that keep so many."""
_NO_PANES: Final = frozenset({Aggregate.DECAYED, Aggregate.SPEED, Aggregate.RISK})


def build_shape(stream: Stream) -> Shape:
    """Return how much of each a stream declares."""
    windows = stream.windows_ms.values()
    slots = (compute_pane_slots(ms, longest_hold_ms(stream, e.name, ms)) for ms in windows for e in stream.entities)
    recent = max((entity.recent for entity in stream.entities), default=1)
    return Shape(
        measures=max(1, len(stream.measures)),
        flags=max(1, len(stream.flags)),
        attributes=max(1, *(len(entity.tells_apart) for entity in stream.entities)),
        levels=max(1, len(windows)),
        ring_slots=max(RING_SLOTS_MIN, 1 << (recent - 1).bit_length()),
        pane_slots=max(slots, default=compute_pane_slots(PANES_PER_WINDOW, 0)),
    )


def longest_hold_ms(stream: Stream, entity: str, window_ms: int) -> int:
    """Return by how much an entity's features of a window are held back at most; label risk has panes of its own."""
    holds = (f.hold_ms for f in _features_of(stream, entity) if f.window_ms == window_ms)
    return max(holds, default=0)


def _features_of(stream: Stream, entity: str) -> list[Feature]:
    """The features that look at an entity's events, label risk left out."""
    return [f for f in stream.all_features if f.entity == entity and f.aggregate not in ("value", "risk")]


def build_plans(stream: Stream, shape: Shape) -> dict[str, Record]:
    """Return what compiled code reads of each entity, by name."""
    return {entity.name: _build_plan(stream, shape, entity) for entity in stream.entities}


def risk_levels_ms(stream: Stream, entity: str) -> list[int]:
    """Return the windows for which label risk is declared, shortest first, in ms."""
    risks = (f for f in stream.all_features if f.entity == entity and f.aggregate == Aggregate.RISK)
    return sorted({feature.window_ms for feature in risks})


def _build_plan(stream: Stream, shape: Shape, entity: Entity) -> Record:
    plan = build_record(build_types(shape).plan)
    levels = list(stream.windows_ms.values()) or [PANES_PER_WINDOW]
    fields = [stream.attribute_fields.index(name) for name in entity.tells_apart]
    label_levels = risk_levels_ms(stream, entity.name)
    plan["level_ms"] = levels
    plan["pane_ms"] = [window_ms // PANES_PER_WINDOW for window_ms in levels]
    plan["kept_ms"] = [window_ms + longest_hold_ms(stream, entity.name, window_ms) for window_ms in levels]
    plan["attribute_level"] = -1
    plan["attribute_field"] = fields + [-1] * (shape.attributes - len(fields))
    plan["recent"] = entity.recent
    plan["horizon_ms"] = stream.horizon_ms
    plan["has_ids"] = int(entity.name == stream.key.name)
    plan["id_horizon_ms"] = stream.duplicate_horizon_ms
    plan["reversal_measure"] = _reversal_measure(stream)
    plan["n_label_levels"] = len(label_levels)
    plan["label_level_ms"][: len(label_levels)] = label_levels
    plan["label_hold_ms"] = stream.label_hold_ms
    _plan_features(plan, stream, entity, label_levels)
    return plan


def _reversal_measure(stream: Stream) -> int:
    names = [measure.name for measure in stream.measures]
    return names.index(stream.reversal.of) if stream.reversal else 0


def _plan_features(plan: Record, stream: Stream, entity: Entity, label_levels: list[int]) -> None:
    own = [(column, f) for column, f in enumerate(stream.all_features) if f.entity == entity.name]
    own = [each for each in own if each[1].aggregate != Aggregate.VALUE]
    own.sort(key=lambda each: view_hold_ms(each[1]))
    for position, (column, feature) in enumerate(own):
        plan["ops"][position] = (*_operation(stream, entity, feature, label_levels), column)
        _require(plan, stream, entity, feature)
    holds = sorted({0, *(view_hold_ms(feature) for _, feature in own)})
    plan["n_views"] = len(holds)
    plan["view_hold_ms"][: len(holds)] = holds
    plan["view_end"][: len(holds)] = [sum(view_hold_ms(f) <= hold for _, f in own) for hold in holds]


def view_hold_ms(feature: Feature) -> int:
    """Return how long before the event the entity is looked at; label risk sees to its own hold."""
    return 0 if feature.aggregate == Aggregate.RISK else feature.hold_ms


def _level_of(stream: Stream, feature: Feature) -> int:
    return list(stream.windows_ms.values()).index(feature.window_ms)


def _operation(stream: Stream, entity: Entity, feature: Feature, label_levels: list[int]) -> tuple[int, int, int]:
    level = _level_of(stream, feature)
    if feature.aggregate == Aggregate.RISK:
        level = label_levels.index(feature.window_ms)
    subjects, kind = list_subjects(stream, entity), KINDS[Aggregate(feature.aggregate)]
    subject = next(subject for subject in kind.subjects if feature.measure in subjects[subject])
    position = subjects[subject].index(feature.measure)
    return kind.subjects[subject], level, _reversal_measure(stream) if subject == REVERSAL else position


def list_subjects(stream: Stream, entity: Entity) -> dict[str, list[str]]:
    """Return what can be measured about an entity, by what kind of subject it is."""
    return {
        "event": ["event"],
        MEASURE: [measure.name for measure in stream.measures],
        FLAG: [flag.name for flag in stream.flags],
        ATTRIBUTE: list(entity.attributes),
        REVERSAL: [stream.reversal.name] if stream.reversal else [],
        "position": ["position"] if stream.position else [],
        "label": ["label"] if stream.has_labels(entity) else [],
    }


def _require(plan: Record, stream: Stream, entity: Entity, feature: Feature) -> None:
    """Note what must be kept for the feature."""
    level = _level_of(stream, feature)
    if feature.aggregate == Aggregate.DECAYED:
        plan["cell_ms"] = feature.window_ms // CELLS_PER_HALF_LIFE
    if feature.aggregate == Aggregate.SPEED:
        plan["has_position"] = 1
    if feature.aggregate not in _NO_PANES:
        plan["levels"][level] = 1
    if ATTRIBUTE in KINDS[Aggregate(feature.aggregate)].subjects:
        attribute = list(entity.attributes).index(feature.measure)
        plan["bitmaps"][level, attribute] = 1
        if feature.aggregate == Aggregate.DISTINCT:
            plan["estimated"][level, attribute] = 1
        plan["attribute_level"][attribute] = max(level, plan["attribute_level"][attribute])
