"""The features of a stream as its declarations say: what each measures, of which fields it is made, and why. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from weir.console.reasons import describe_feature, say_window
from weir.schemas.entity import Feature
from weir.schemas.expression import Expression, columns_of
from weir.schemas.stream import Stream

LABELS = "label"
"""The subject of features that later labels are counted in."""


@dataclass(frozen=True)
class Entry:
    """A measure of an entity, with its features.

    Attributes:
        what: is measured, in words.
        held: how far its windows are held back, in words; empty for not at all.
        fields: of the record, from which it follows.
        code: with which reasons name it.
        owner: who answers for it; empty where nobody is named.
        names: each feature with its window, in words.
    """

    entity: str
    what: str
    held: str
    fields: tuple[str, ...]
    code: str
    why: str
    owner: str
    names: list[tuple[str, str]] = field(default_factory=list)


def build_catalogue(stream: Stream) -> list[Entry]:
    """Return every feature of a stream, in the order of its declarations.

    >>> from weir.schemas.streams.payments import payments
    >>> entry = next(each for each in build_catalogue(payments) if each.names[0][0] == "card_amount_sum_1h")
    >>> entry.what, entry.fields, entry.names[1]
    ('sum of amount', ('amount_minor', 'card_id', 'currency', 'event_time_ms'), ('card_amount_sum_1d', '1 day'))
    """
    entries: dict[tuple[str, ...], Entry] = {}
    for feature in stream.all_features:
        code = stream.reason_codes[feature.name]
        key = (feature.entity, feature.measure, feature.aggregate, feature.hold, code, feature.why, feature.owner)
        entry = entries.setdefault(key, _build_entry(feature, stream, code))
        entry.names.append((feature.name, say_window(feature.window)))
    return list(entries.values())


def _build_entry(feature: Feature, stream: Stream, code: str) -> Entry:
    return Entry(
        feature.entity,
        describe_feature(feature, stream),
        say_window(feature.hold),
        tuple(sorted(find_fields(feature, stream))),
        code,
        feature.why,
        feature.owner,
    )


def find_fields(feature: Feature, stream: Stream) -> set[str]:
    """Return the fields of the record from which a feature follows."""
    own = stream.id_field_of.get(feature.entity)
    if own is None:  # of the event alone
        values = {value.name: value.value for value in stream.values}
        return _expand(columns_of(values[feature.measure]), stream)
    measured = stream.entity(feature.entity).attributes.get(feature.measure, feature.measure)
    return {own, stream.time, *_expand(frozenset({measured}), stream)}


def _expand(names: frozenset[str], stream: Stream) -> set[str]:
    """Return the fields behind names of measures, flags, ids, the position and fields themselves."""
    made = _list_made(stream)
    found: set[str] = set()
    for name in names:
        if name in made:
            found |= _expand(made[name], stream)
        elif name not in {"event", LABELS}:
            found.add(stream.id_field_of.get(name, name))
    return found


def _list_made(stream: Stream) -> dict[str, frozenset[str]]:
    """Return what each name that declarations make is made of."""
    expressions: dict[str, Expression] = {each.name: each.value for each in stream.measures}
    expressions |= {each.name: each.when for each in stream.flags}
    made = {name: columns_of(value) - {name} for name, value in expressions.items()}
    if stream.reversal is not None:
        made[stream.reversal.name] = columns_of(stream.reversal.when) | {stream.reversal.of}
    if stream.position is not None:
        made["position"] = frozenset({stream.position.lat, stream.position.lon})
    return made
