"""The declarations of each entity kind as the table that compiled code runs, and the check that it can run them.

What a declaration asks for and nothing here knows is said in a sentence, as a refusal to start: it names the feature,
what was expected, and the file where the missing part belongs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from weir.schemas.errors import Refused
from weir.schemas.features import (
    DAY_MS,
    DUPLICATE_HORIZON_MS,
    ENTITIES,
    FEATURES,
    HORIZON_MS,
    LABEL_HOLD_DAYS,
    LABEL_HOLD_MS,
    WINDOWS_MS,
    Aggregate,
    Entity,
    EntitySpec,
    Feature,
)
from weir.streaming.core.aggregates import ATTRIBUTE, KINDS
from weir.streaming.core.events import ATTRIBUTE_FIELDS, FLAGS
from weir.streaming.core.layout import CELLS_PER_HALF_LIFE, PANE_SLOTS_MAX, PANES_PER_WINDOW, compute_pane_slots
from weir.streaming.core.values import VALUES
from weir.streaming.core.working_memory import (
    LABEL_LEVELS,
    MAX_OPS,
    MAX_VIEWS,
    Record,
    Shape,
    Types,
    build_record,
    build_types,
)

_WITH_ATTRIBUTE: Final = frozenset({Aggregate.DISTINCT, Aggregate.NEW})
_NO_PANES: Final = frozenset({Aggregate.DECAYED, Aggregate.SPEED, Aggregate.RISK})
_HERE: Final = "streaming/core/aggregates.py"


LEVELS: Final[tuple[str, ...]] = tuple(sorted(WINDOWS_MS, key=WINDOWS_MS.__getitem__))


def longest_hold_ms(entity: Entity, level: str) -> int:
    """Return by how much the features of an entity hold back a window at most; label risk has panes of its own.

    >>> longest_hold_ms(Entity.CARD, "1h")
    0
    """
    of_level = (f for f in FEATURES if f.entity is entity and f.window == level and f.aggregate is not Aggregate.RISK)
    return max((feature.hold_ms for feature in of_level), default=0)


def _build_shape() -> Shape:
    slots = (compute_pane_slots(WINDOWS_MS[n], longest_hold_ms(s.entity, n)) for n in LEVELS for s in ENTITIES)
    return Shape(
        measures=1,
        flags=len(FLAGS),
        attributes=max(len(spec.attributes) for spec in ENTITIES),
        levels=len(LEVELS),
        ring_slots=1 << (max(spec.recent for spec in ENTITIES) - 1).bit_length(),
        pane_slots=min(PANE_SLOTS_MAX, max(slots)),  # beyond, the declarations are refused
    )


def find_faults(features: Sequence[Feature], entities: Iterable[EntitySpec] = ENTITIES) -> Iterator[str]:
    """Say of each declaration what the kernel cannot do, one sentence each; nothing if it can do all."""
    for name, times in Counter(feature.name for feature in features).items():
        if times > 1:
            yield f"{name}: expected one declaration, found {times}"
    for feature in features:
        if feature.aggregate is Aggregate.VALUE:
            yield from _find_value_faults(feature)
        else:
            spec = next((spec for spec in entities if spec.entity is feature.entity), None)
            yield from _find_window_faults(feature, spec)
    for spec in entities:
        yield from _find_room_faults(spec, [f for f in features if f.entity is spec.entity])


def _find_value_faults(feature: Feature) -> Iterator[str]:
    if feature.measure not in VALUES:
        yield f"{feature.name}: expected a value of {_list(VALUES)}, found another; add it in streaming/core/values.py"
    if feature.entity is not Entity.TRANSACTION or feature.window or feature.hold:
        yield f"{feature.name}: expected entity transaction, no window and no hold, as of every stateless value"


def _find_window_faults(feature: Feature, spec: EntitySpec | None) -> Iterator[str]:
    kind = KINDS.get(feature.aggregate)
    if kind is None:
        yield f"{feature.name}: expected an aggregate of KINDS in {_HERE}, found {feature.aggregate}; add it there"
        return
    if spec is None:
        yield f"{feature.name}: expected an entity of ENTITIES in schemas/features.py, found {feature.entity}"
        return
    known = set(kind.measures) - {ATTRIBUTE} | (_attributes(spec) if ATTRIBUTE in kind.measures else set())
    if feature.measure not in known:
        yield f"{feature.name}: expected {feature.aggregate} of {_list(known)}, found of {feature.measure}"
    if feature.window not in WINDOWS_MS:
        yield f"{feature.name}: expected a window of {_list(WINDOWS_MS)}, found {feature.window!r}"
    if feature.aggregate is Aggregate.RISK:
        yield from _find_risk_faults(feature, spec)
    elif feature.hold < 0 or (feature.hold and not kind.can_hold):
        yield f"{feature.name}: expected no hold, found {feature.hold} days; {feature.aggregate} cannot be held back"


def _find_risk_faults(feature: Feature, spec: EntitySpec) -> Iterator[str]:
    if not spec.has_labels:
        yield f"{feature.name}: expected an entity with has_labels, found {spec.entity} without"
    if feature.hold != LABEL_HOLD_DAYS:
        yield f"{feature.name}: expected hold={LABEL_HOLD_DAYS}, found {feature.hold}; all label risk is held alike"


def _find_room_faults(spec: EntitySpec, own: Sequence[Feature]) -> Iterator[str]:
    """Name what is declared beyond the bounds of the kernel's working memory."""
    bounds = {
        "features": (len(own), MAX_OPS),
        "risk windows": (len({f.window for f in own if f.aggregate is Aggregate.RISK}), LABEL_LEVELS),
        "holds": (len({_view_hold_ms(f) for f in own} - {0}), MAX_VIEWS - 1),
        "half-lives": (len({f.window for f in own if f.aggregate is Aggregate.DECAYED}), 1),
        "attributes": (len(spec.attributes), 3),
        "recent events": (spec.recent, 255),
    }
    for what, (found, most) in bounds.items():
        if found > most:
            yield f"{spec.entity}: expected at most {most} {what}, found {found}"
    for window in {f.window for f in own} & set(WINDOWS_MS):
        hold_ms = max(_view_hold_ms(f) for f in own if f.window == window)
        if compute_pane_slots(WINDOWS_MS[window], hold_ms) > PANE_SLOTS_MAX:
            yield f"{spec.entity}: expected a hold of fewer panes, found {window} held back {hold_ms // DAY_MS} days"


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _attributes(spec: EntitySpec) -> set[str]:
    return {field.removesuffix("_id") for field in spec.attributes}


def _refuse_faults() -> None:
    """Refuse to start with declarations that the kernel cannot compute.

    Raises:
        Refused: with a sentence for each.
    """
    faults = list(find_faults(FEATURES))
    if faults:
        raise Refused("declarations: " + "; ".join(faults))


def attribute_position(spec: EntitySpec, measure: str) -> int:
    """Return which of an entity's attributes a measure names.

    >>> attribute_position(ENTITIES[0], "device")
    1
    """
    return [field.removesuffix("_id") for field in spec.attributes].index(measure)


def risk_levels_ms(entity: Entity) -> list[int]:
    """Return the windows for which label risk is declared, shortest first, in ms."""
    return sorted({WINDOWS_MS[f.window] for f in FEATURES if f.entity is entity and f.aggregate is Aggregate.RISK})


def build_plan(spec: EntitySpec) -> Record:
    """Turn the declarations of one entity kind into what compiled code reads."""
    plan = build_record(TYPES.plan)
    plan["attribute_level"] = -1
    fields = [ATTRIBUTE_FIELDS.index(name) for name in spec.attributes]
    plan["attribute_field"] = fields + [-1] * (SHAPE.attributes - len(fields))
    plan["level_ms"] = [WINDOWS_MS[level] for level in LEVELS]
    plan["pane_ms"] = plan["level_ms"] // PANES_PER_WINDOW
    plan["horizon_ms"], plan["id_horizon_ms"], plan["label_hold_ms"] = HORIZON_MS, DUPLICATE_HORIZON_MS, LABEL_HOLD_MS
    plan["has_ids"] = int(spec.entity is Entity.CARD)
    plan["recent"] = spec.recent
    plan["kept_ms"] = [WINDOWS_MS[level] + longest_hold_ms(spec.entity, level) for level in LEVELS]
    label_levels = risk_levels_ms(spec.entity)
    plan["n_label_levels"] = len(label_levels)
    plan["label_level_ms"][: len(label_levels)] = label_levels
    own = [(column, feature) for column, feature in enumerate(FEATURES) if feature.entity is spec.entity]
    own.sort(key=lambda each: _view_hold_ms(each[1]))
    for position, (column, feature) in enumerate(own):
        plan["ops"][position] = (*_operation(spec, feature, label_levels), column)
        _require(plan, spec, feature)
    _plan_views(plan, [feature for _, feature in own])
    return plan


def _plan_views(plan: Record, own: list[Feature]) -> None:
    holds = sorted({0, *map(_view_hold_ms, own)})
    plan["n_views"] = len(holds)
    plan["view_hold_ms"][: len(holds)] = holds
    plan["view_end"][: len(holds)] = [sum(_view_hold_ms(feature) <= hold for feature in own) for hold in holds]


def _view_hold_ms(feature: Feature) -> int:
    """How long before the event the entity is looked at; label risk sees to its own hold."""
    return 0 if feature.aggregate is Aggregate.RISK else feature.hold_ms


def _operation(spec: EntitySpec, feature: Feature, label_levels: list[int]) -> tuple[int, int, int]:
    level, position, measure = LEVELS.index(feature.window), 0, feature.measure
    if feature.aggregate is Aggregate.RATIO:
        position = FLAGS.index(feature.measure)
    elif feature.aggregate in _WITH_ATTRIBUTE:
        position, measure = attribute_position(spec, feature.measure), ATTRIBUTE
    elif feature.aggregate is Aggregate.RISK:
        level = label_levels.index(WINDOWS_MS[feature.window])
    return KINDS[feature.aggregate].measures[measure], level, position


def _require(plan: Record, spec: EntitySpec, feature: Feature) -> None:
    """Note what must be kept for the feature."""
    level = LEVELS.index(feature.window)
    if feature.aggregate is Aggregate.DECAYED:
        plan["cell_ms"] = WINDOWS_MS[feature.window] // CELLS_PER_HALF_LIFE
    if feature.aggregate is Aggregate.SPEED:
        plan["has_position"] = 1
    if feature.aggregate not in _NO_PANES:
        plan["levels"][level] = 1
    if feature.aggregate in _WITH_ATTRIBUTE:
        attribute = attribute_position(spec, feature.measure)
        plan["bitmaps"][level, attribute] = 1
        if feature.aggregate is Aggregate.DISTINCT:
            plan["estimated"][level, attribute] = 1
        plan["attribute_level"][attribute] = max(level, plan["attribute_level"][attribute])


_refuse_faults()
SHAPE: Final = _build_shape()
TYPES: Final[Types] = build_types(SHAPE)
PLANS: Final[dict[Entity, Record]] = {spec.entity: build_plan(spec) for spec in ENTITIES}
