"""Every fault of a stream's features: entities, subjects, aggregates, windows and holds that do not fit together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from weir.schemas.checks.expression_types import nearest
from weir.schemas.declarations_hash import PANES_PER_WINDOW
from weir.schemas.durations import parse_ms
from weir.schemas.entity import Aggregate, Feature
from weir.schemas.origin import Finding
from weir.schemas.stream import Stream

EVENT, MEASURE, FLAG, ATTRIBUTE, REVERSAL, POSITION, LABEL = (
    "event", "measure", "flag", "attribute", "reversal", "position", "label",
)  # fmt: skip
SUBJECTS_OF: Final[Mapping[str, tuple[str, ...]]] = {
    Aggregate.COUNT: (EVENT, REVERSAL),
    Aggregate.SUM: (MEASURE, REVERSAL),
    Aggregate.MEAN: (MEASURE,),
    Aggregate.STD: (MEASURE,),
    Aggregate.MIN: (MEASURE,),
    Aggregate.MAX: (MEASURE,),
    Aggregate.RATIO: (FLAG,),
    Aggregate.DISTINCT: (ATTRIBUTE,),
    Aggregate.NEW: (ATTRIBUTE,),
    Aggregate.GAP: (EVENT,),
    Aggregate.AGE: (EVENT,),
    Aggregate.DECAYED: (EVENT,),
    Aggregate.SPEED: (POSITION,),
    Aggregate.ZSCORE: (MEASURE,),
    Aggregate.OVER_MIN: (MEASURE,),
    Aggregate.RISK: (LABEL,),
}
"""What each aggregate can be declared of."""
NEVER_HELD: Final = frozenset({
    Aggregate.GAP, Aggregate.AGE, Aggregate.DECAYED, Aggregate.SPEED, Aggregate.ZSCORE, Aggregate.OVER_MIN,
})  # fmt: skip
"""Aggregates that compare the event at hand with what is just before it: their window cannot end earlier."""
_OTHER_WORDS: Final = {
    "avg": "mean", "average": "mean", "total": "sum", "stddev": "std", "stdev": "std", "deviation": "std",
    "nunique": "distinct", "unique": "distinct", "approx_count_distinct": "distinct", "rate": "ratio",
    "share": "ratio", "percentage": "ratio", "minimum": "min", "maximum": "max", "fraud_rate": "risk",
}  # fmt: skip
"""What other tools call these aggregates; ``avg`` is not nearest to ``age``."""


def find_feature_faults(stream: Stream, retention_ms: int | None = None) -> Iterator[Finding]:
    """Yield every fault of the features, and of the reason codes that are given to them."""
    times = Counter(stream.feature_names)
    passed_on = {stream.id, stream.time, stream.key.field, *stream.keep}
    written: dict[int, str] = {}
    for feature in stream.all_features:
        for fault in _find_faults(stream, feature, retention_ms):
            yield Finding(feature.where, f"feature {feature.name}", fault)
        if times[feature.name] > 1:
            fault = f"expected one feature of this name, found {times[feature.name]}"
            yield Finding(feature.where, f"feature {feature.name}", fault)
        if feature.name in passed_on:
            fault = "expected a name of its own, found the name of a field that is passed on"
            yield Finding(feature.where, f"feature {feature.name}", fault)
        first = written.setdefault(feature.window_ms, feature.window)
        if feature.window_ms and first != feature.window:
            fault = f"expected a window to be written in one way, found {feature.window!r} and {first!r}"
            yield Finding(feature.where, f"feature {feature.name}", fault)
    stories = {f"{feature.measure}.{feature.aggregate}" for feature in stream.all_features}
    for story in sorted(set(stream.reasons) - stories):
        fault = f"expected the subject and aggregate of a feature, found {story!r}{nearest(story, stories)}"
        yield Finding(stream.where, f"stream {stream.name}, reasons", fault)


def _find_faults(stream: Stream, feature: Feature, retention_ms: int | None) -> Iterator[str]:
    if feature.aggregate == Aggregate.VALUE:
        if feature.entity != stream.event or feature.measure not in stream.value_expressions:
            yield "expected a stateless value to be declared in values=, found it in features="
        return
    if feature.entity not in {entity.name for entity in stream.entities}:
        names = [entity.name for entity in stream.entities]
        hint = nearest(feature.entity, names)
        yield f"expected an entity of the stream, found {feature.entity!r}, which is not in entities={hint}"
    elif feature.aggregate not in SUBJECTS_OF:
        hint = nearest(_OTHER_WORDS.get(feature.aggregate, feature.aggregate), SUBJECTS_OF)
        yield f"expected an aggregate, found {feature.aggregate!r}{hint}"
    else:
        yield from _find_subject_faults(stream, feature)
        yield from _find_hold_faults(stream, feature)
    yield from _find_window_faults(feature, retention_ms)


def _find_subject_faults(stream: Stream, feature: Feature) -> Iterator[str]:
    subjects = _list_subjects(stream, feature.entity)
    wanted = SUBJECTS_OF[feature.aggregate]
    fitting = [name for kind in wanted for name in subjects[kind]]
    if feature.measure in fitting:
        return
    if feature.aggregate == Aggregate.RISK:
        yield f"expected an entity of Labels(on=[...]), found {feature.entity}, on which no labels are kept"
        return
    kinds = " or ".join(map(_with_article, wanted))
    others = [kind for kind, names in subjects.items() if feature.measure in names]
    if others:
        found = f"found of {feature.measure!r}, {_with_article(others[0])}{nearest(feature.measure, fitting)}"
        yield f"expected {feature.aggregate} of {kinds}, {found}"
        return
    known = [name for names in subjects.values() for name in names]
    hint = nearest(feature.measure, fitting or known)
    yield f"expected {kinds} of {feature.entity}, found {feature.measure!r}, which is not declared{hint}"


def _with_article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "ae" else f"a {kind}"


def _list_subjects(stream: Stream, entity: str) -> dict[str, list[str]]:
    labelled = stream.labels and entity in {each.name for each in stream.labels.on}
    return {
        EVENT: ["event"],
        MEASURE: [measure.name for measure in stream.measures],
        FLAG: [flag.name for flag in stream.flags],
        ATTRIBUTE: list(stream.entity(entity).attributes),
        REVERSAL: [stream.reversal.name] if stream.reversal else [],
        POSITION: ["position"] if stream.position else [],
        LABEL: ["label"] if labelled else [],
    }


def _find_hold_faults(stream: Stream, feature: Feature) -> Iterator[str]:
    if not feature.hold:
        return
    if not feature.hold_ms:
        yield f"expected a hold like '7d', found {feature.hold!r}"
    elif feature.aggregate in NEVER_HELD:
        yield f"expected no hold, found {feature.hold!r}: {feature.aggregate} cannot be held back"
    elif feature.aggregate == Aggregate.RISK and feature.hold_ms != stream.label_hold_ms:
        held = stream.labels.hold if stream.labels else ""
        yield f"expected the hold {held!r} of the labels, found {feature.hold!r}: all label risk is held alike"


def _find_window_faults(feature: Feature, retention_ms: int | None) -> Iterator[str]:
    if not parse_ms(feature.window):
        yield f"expected a window like '5m', '1h' or '30d', found {feature.window!r}"
    elif feature.window_ms % PANES_PER_WINDOW:
        yield f"expected a window of {PANES_PER_WINDOW} panes of whole milliseconds, found {feature.window!r}"
    if retention_ms is not None and feature.window_ms + feature.hold_ms > retention_ms:
        held = f" held back {feature.hold}" if feature.hold else ""
        kept = f"{retention_ms // parse_ms('1d')}d"
        yield f"expected a window within the {kept} that the log keeps, found {feature.window!r}{held}"
