"""What the kernel cannot compute of a stream's declarations: aggregates without code, and what its memory cannot hold.

A sentence each: the feature or entity, what was expected and what was found. What may be declared at all is said, with
lines and hints, by ``schemas/checks/declaration.py``; here is the last word before anything is compiled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from weir.schemas.checks.declaration import ATTRIBUTES_MAX, ENTITIES_MAX, FLAGS_MAX, MEASURES_MAX, RECENT_MAX
from weir.schemas.entity import Aggregate, Entity, Feature
from weir.schemas.errors import Refused
from weir.schemas.stream import Stream
from weir.streaming.core.aggregates import KINDS
from weir.streaming.core.layout import PANE_SLOTS_MAX, PANES_PER_WINDOW, compute_pane_slots
from weir.streaming.core.plans import list_subjects, longest_hold_ms, risk_levels_ms, view_hold_ms
from weir.streaming.core.working_memory import LABEL_LEVELS, LABEL_SLOTS, MAX_OPS, MAX_VIEWS

_HERE: Final = "streaming/core/aggregates.py"


def refuse_faults(stream: Stream) -> None:
    """Refuse a stream that the kernel cannot compute.

    Raises:
        Refused: with a sentence for each fault.
    """
    faults = list(find_faults(stream))
    if faults:
        raise Refused("declarations: " + "; ".join(faults))


def find_faults(stream: Stream) -> Iterator[str]:
    """Say of each declaration what the kernel cannot do, one sentence each; nothing if it can do all."""
    names = list(stream.feature_names)
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            yield f"{name}: expected one declaration, found {names.count(name)}"
    for feature in stream.all_features:
        if feature.aggregate != Aggregate.VALUE:
            yield from _find_feature_faults(stream, feature)
    yield from _find_excess(
        stream.name,
        flags=(len(stream.flags), FLAGS_MAX),
        measures=(len(stream.measures), MEASURES_MAX),
        entities=(len(stream.entities), ENTITIES_MAX),
    )
    if stream.has_labels(stream.key):  # a unit keeps the key's ledger in the place of its risk
        yield f"{stream.key.name}: expected labels on other entities than the key, found them on the key"
    for entity in stream.entities:
        yield from _find_room_faults(stream, entity)


def _find_feature_faults(stream: Stream, feature: Feature) -> Iterator[str]:
    entity = next((each for each in stream.entities if each.name == feature.entity), None)
    kind = KINDS.get(feature.aggregate)  # type: ignore[call-overload] # a name that is no aggregate is in it neither
    if kind is None:
        yield f"{feature.name}: expected an aggregate of KINDS in {_HERE}, found {feature.aggregate}"
        return
    if entity is None:
        yield f"{feature.name}: expected an entity of the stream, found {feature.entity}"
        return
    subjects = list_subjects(stream, entity)
    known = [name for subject in kind.subjects for name in subjects[subject]]
    if feature.measure not in known:
        expected = _list(known) or "nothing that is declared"
        yield f"{feature.name}: expected {feature.aggregate} of {expected}, found of {feature.measure}"
    if not feature.window_ms:
        yield f"{feature.name}: expected a window like '5m', '1h' or '30d', found {feature.window!r}"
    elif not _has_panes(feature):
        yield f"{feature.name}: expected a window of {PANES_PER_WINDOW} panes of whole ms, found {feature.window!r}"
    yield from _find_hold_faults(stream, feature)


def _has_panes(feature: Feature) -> bool:
    return feature.window_ms > 0 and feature.window_ms % PANES_PER_WINDOW == 0


def _find_hold_faults(stream: Stream, feature: Feature) -> Iterator[str]:
    if feature.aggregate == Aggregate.RISK:
        if feature.hold_ms != stream.label_hold_ms:
            yield f"{feature.name}: expected the hold of the labels, found {feature.hold!r}; all risk is held alike"
    elif feature.hold and not (feature.hold_ms and KINDS[Aggregate(feature.aggregate)].can_hold):
        yield f"{feature.name}: expected no hold, found {feature.hold!r}; {feature.aggregate} cannot be held back"


def _find_room_faults(stream: Stream, entity: Entity) -> Iterator[str]:
    """Name what is declared beyond the bounds of the kernel's working memory."""
    own = [f for f in stream.all_features if f.entity == entity.name and f.aggregate != Aggregate.VALUE]
    yield from _find_excess(
        entity.name,
        features=(len(own), MAX_OPS),
        risk_windows=(len({f.window_ms for f in own if f.aggregate == Aggregate.RISK}), LABEL_LEVELS),
        holds=(len({view_hold_ms(f) for f in own} - {0}), MAX_VIEWS - 1),
        half_lives=(len({f.window_ms for f in own if f.aggregate == Aggregate.DECAYED}), 1),
        attributes=(len(entity.tells_apart), ATTRIBUTES_MAX),
        recent_events=(entity.recent, RECENT_MAX),
    )
    for window_ms in sorted({f.window_ms for f in own if _has_panes(f)}):
        hold_ms = longest_hold_ms(stream, entity.name, window_ms)
        if compute_pane_slots(window_ms, hold_ms) > PANE_SLOTS_MAX:
            yield f"{entity.name}: expected a hold of fewer panes, found {_name_of(own, window_ms)} held back too long"
    for window_ms in risk_levels_ms(stream, entity.name):
        if 2 * PANES_PER_WINDOW * (window_ms + stream.label_hold_ms) > LABEL_SLOTS * window_ms:
            yield f"{entity.name}: expected longer windows of label risk, found {_name_of(own, window_ms)}"


def _name_of(features: Sequence[Feature], window_ms: int) -> str:
    return next(feature.window for feature in features if feature.window_ms == window_ms)


def _find_excess(whose: str, **bounds: tuple[int, int]) -> Iterator[str]:
    for what, (found, most) in bounds.items():
        if found > most:
            yield f"{whose}: expected at most {most} {what.replace('_', ' ')}, found {found}"


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
