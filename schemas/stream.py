"""A stream as a frozen value: its events, whom they are about, and everything that is computed from them.

A stream says what its records mean; the Avro schema says what they look like. Schemas, names, topics, reason codes
and the hash of the declarations are derived from it. What a declaration *means* is in ``streaming/core``, what may be
declared in ``declaration_checks.py``; nothing here computes or checks.

Every part remembers the line where it was written, which is no part of its equality or hash.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields, replace
from functools import cached_property
from itertools import chain
from typing import Final

from weir.schemas.currencies import MAX_AMOUNT_BASE_MINOR
from weir.schemas.declarations_hash import compute_hash
from weir.schemas.durations import DAY_MS, parse_ms
from weir.schemas.entity import Aggregate, Entity, Feature, Features, as_tuple
from weir.schemas.expression import Expression, columns_of, to_json
from weir.schemas.origin import Origin, find_origin
from weir.schemas.rules import Rule

LOOK_BACK_MS_MIN: Final = 30 * DAY_MS
"""What is older than an entity's newest event by more is late, even where all windows are shorter: records of a
weekend without a network are not lost."""


class _ByShape:
    """Equal where every part is, expressions by their JSON: ``==`` of an expression builds another one."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByShape) and type(self) is type(other) and self._shape() == other._shape()

    def __hash__(self) -> int:
        return hash(self._shape())

    def _shape(self) -> tuple[object, ...]:
        values = (getattr(self, each.name) for each in fields(self) if each.compare)  # type: ignore[arg-type]
        return tuple(to_json(value) if isinstance(value, Expression) else value for value in values)


@dataclass(frozen=True, eq=False)
class Measure(_ByShape):
    """A number of each event that windows add up, average and compare: an exact integer.

    Attributes:
        value: over the fields of the record.
        bound: the largest size that is taken; a record beyond it is a dead letter. Money has one by itself.
    """

    name: str
    value: Expression
    bound: int | None = None
    where: Origin = dataclasses.field(default_factory=find_origin, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.bound is None and isinstance(self.value, Expression) and self.value.op == "money":
            object.__setattr__(self, "bound", MAX_AMOUNT_BASE_MINOR)


@dataclass(frozen=True, eq=False)
class Flag(_ByShape):
    """A condition that an event fulfils or not, over its fields and measures; over null it is not fulfilled."""

    name: str
    when: Expression
    where: Origin = dataclasses.field(default_factory=find_origin, compare=False, repr=False)


@dataclass(frozen=True, eq=False)
class Value(_ByShape):
    """A feature of the event alone, over its fields, measures and flags.

    Attributes:
        code: the reason code; derived where there is none.
        owner: who answers for it, as of any feature.
    """

    name: str
    value: Expression
    why: str = ""
    code: str = ""
    owner: str = dataclasses.field(default="", compare=False)
    where: Origin = dataclasses.field(default_factory=find_origin, compare=False, repr=False)


@dataclass(frozen=True, eq=False)
class Check(_ByShape):
    """What every record must fulfil; one that does not is a dead letter. Null passes: say ``~col(..).is_null()``.

    Attributes:
        reason: of the dead letter; ``bad_`` and the first field by default.
        expected: what the message says was expected.
    """

    must: Expression
    reason: str = ""
    expected: str = ""
    where: Origin = dataclasses.field(default_factory=find_origin, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.reason and isinstance(self.must, Expression):
            object.__setattr__(self, "reason", f"bad_{min(columns_of(self.must), key=str, default='record')}")


@dataclass(frozen=True, eq=False)
class Reversal(_ByShape):
    """Events that take something back: counted in the windows of this name and in no other.

    Attributes:
        when: which events; a column of this name for values.
        of: the measure whose sum, with its sign turned, the windows of this name add up.
    """

    name: str
    when: Expression
    of: str
    where: Origin = dataclasses.field(default_factory=find_origin, compare=False, repr=False)


@dataclass(frozen=True)
class Position:
    """The fields of an event's place, in degrees; null where it is not known."""

    lat: str
    lon: str
    where: Origin = dataclasses.field(default_factory=find_origin, compare=False, repr=False)


@dataclass(frozen=True)
class Labels:
    """What is learnt about events later, from a topic of its own.

    Attributes:
        schema: the Avro file of a label.
        verdict: its field that says whether the event was fraud; null withdraws an earlier label.
        on: entities for which label risk is kept.
        time: its field with the time when the label became known.
        hold: label risk looks only at events at least this old: most labels of younger ones are not known yet.
    """

    schema: str
    verdict: str
    on: Sequence[Entity] = ()
    time: str = "label_time_ms"
    hold: str = "7d"
    where: Origin = dataclasses.field(default_factory=find_origin, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "on", as_tuple(self.on))


@dataclass(frozen=True)
class Topics:
    """Where a stream's records are."""

    events: str
    labels: str
    features: str
    decisions: str
    dlq: str
    labels_dlq: str
    features_dlq: str
    dlq_done: str
    published: str

    def __iter__(self) -> Iterator[str]:
        return iter(astuple(self))


@dataclass(frozen=True)
class Namespace:
    """What sets a project apart from others on the same servers.

    Attributes:
        name: of the project; groups, keys in Redis and models carry it.
        topic_prefix: what its topics begin with.
    """

    name: str
    topic_prefix: str


@dataclass(frozen=True)
class Stream:
    """A stream of events, and all that is declared of it.

    Attributes:
        name: the topic, the subject and the path of the API; no part of the hash.
        schema: the Avro file of an event, next to the stream's own file.
        id: the field that tells two events of one key apart; the same id again soon after is a duplicate.
        time: the field with the event's time, epoch ms.
        key: the entity whose id is the record key.
        entities: all of them, the key included, in the order in which state is kept.
        features: what entities' methods give, in the order of the model's input, after ``values``.
        event: the word for one event in names: ``transaction_amount``.
        keep: fields that are passed on to feature rows.
        decided: those of ``keep`` that decisions carry too; all of them by default.
        ids: further fields that hold ids: a placeholder in one is as null.
        reasons: the end of a reason code for a subject's aggregate: ``{"event.count": "BURST"}``. Features that tell
            one story share a code.
        duplicates: how long an id is remembered, by append time.
        example: an event as JSON, for documents of the API; what may be left out of a request may be left out here.
        rules: what decides next to a model, or without one; in order of precedence, DECLINE before REVIEW.
        groups: of events that a model has to treat alike before it may decide: a kept field whose values tell them,
            or a condition such as ``customer_event_age_30d < 604800``. Never an input of a model.
        topic_prefix: what features, decisions and labels topics begin with; the name and a dot by default.
        owner: who answers for features that name nobody of their own, for people alone.
        namespace: of the project that loaded it, whatever stands here; none without a project.
    """

    name: str
    schema: str
    id: str
    time: str
    key: Entity
    entities: Sequence[Entity]
    features: Sequence[Feature | Features]
    event: str = "event"
    measures: Sequence[Measure] = ()
    flags: Sequence[Flag] = ()
    values: Sequence[Value] = ()
    reversal: Reversal | None = None
    position: Position | None = None
    labels: Labels | None = None
    checks: Sequence[Check | Expression] = ()
    keep: Sequence[str] = ()
    decided: Sequence[str] | None = None
    ids: Sequence[str] = ()
    reasons: Mapping[str, str] = dataclasses.field(default_factory=dict, hash=False)
    duplicates: str = "1d"
    example: Mapping[str, str | int | float | bool | None] = dataclasses.field(default_factory=dict, hash=False)
    topic_prefix: str | None = None
    rules: Sequence[Rule] = dataclasses.field(default=(), compare=False)
    groups: Sequence[str] = dataclasses.field(default=(), compare=False)
    owner: str = dataclasses.field(default="", compare=False)
    namespace: Namespace | None = dataclasses.field(default=None, compare=False, repr=False)
    where: Origin = dataclasses.field(default_factory=find_origin, compare=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("entities", "measures", "flags", "values", "checks", "keep", "ids", "features", "rules", "groups"):
            object.__setattr__(self, name, as_tuple(getattr(self, name)))
        # nothing is filled in from another part: a copy with another part would keep what the old one gave
        object.__setattr__(self, "decided", as_tuple(self.decided))
        if isinstance(self.checks, tuple):
            checks = (Check(c, where=self.where) if isinstance(c, Expression) else c for c in self.checks)
            object.__setattr__(self, "checks", tuple(checks))
        if isinstance(self.features, tuple):
            parts = (each if isinstance(each, tuple | list) else (each,) for each in self.features)
            object.__setattr__(self, "features", tuple(chain.from_iterable(parts)))

    @cached_property
    def all_features(self) -> Features:
        """Every feature in order: values first, then what is declared, label risk with the hold of the labels.

        One that names no owner has the stream's.
        """
        values = [value for value in self.values if isinstance(value, Value)] if isinstance(self.values, tuple) else []
        made = [Feature(self.event, each.name, Aggregate.VALUE, "", each.why, owner=each.owner, where=each.where)
                for each in values]  # fmt: skip
        hold = self.labels.hold if isinstance(self.labels, Labels) else ""
        declared = [each for each in self.features if isinstance(each, Feature)]
        risky = [each.aggregate == Aggregate.RISK and not each.hold for each in declared]
        held = (replace(each, hold=hold) if is_risky else each for each, is_risky in zip(declared, risky, strict=True))
        return tuple(each if each.owner else replace(each, owner=self.owner) for each in (*made, *held))

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """The names in order: the model's input."""
        return tuple(feature.name for feature in self.all_features)

    @cached_property
    def windows_ms(self) -> dict[str, int]:
        """Every window that a feature has, shortest first, in milliseconds."""
        windows = {feature.window: feature.window_ms for feature in self.all_features if feature.window_ms}
        return dict(sorted(windows.items(), key=lambda item: item[1]))

    @cached_property
    def horizon_ms(self) -> int:
        """H, the look-back of all that is folded from events: older than an entity's newest event less H is late."""
        reach = (f.window_ms + f.hold_ms for f in self.all_features if f.aggregate != Aggregate.RISK)
        return max(LOOK_BACK_MS_MIN, *reach, 0)

    @property
    def label_hold_ms(self) -> int:
        """By how much label risk is held back; 0 without labels."""
        return parse_ms(self.labels.hold) if self.labels else 0

    @property
    def duplicate_horizon_ms(self) -> int:
        """The same id again within this much append time is a duplicate."""
        return parse_ms(self.duplicates)

    @cached_property
    def all_checks(self) -> tuple[Check, ...]:
        """Every check; ``checks`` with its type known."""
        return tuple(check for check in self.checks if isinstance(check, Check))

    @cached_property
    def id_fields(self) -> tuple[str, ...]:
        """Fields that hold ids, in which a placeholder is as null; of the event and of the key it is refused."""
        own = (self.id, self.key.field, *self.ids, *(entity.field for entity in self.entities))
        return tuple(dict.fromkeys(own))

    @cached_property
    def zero_fields(self) -> frozenset[str]:
        """Id fields in which any number of zeros is nobody."""
        return frozenset(entity.field for entity in self.entities if not entity.zeros_are_ids)

    @cached_property
    def id_field_of(self) -> dict[str, str]:
        """The field of each entity's id, by the entity's name."""
        return {entity.name: entity.field for entity in self.entities}

    @cached_property
    def reason_codes(self) -> dict[str, str]:
        """The reason code of each feature, by its name."""
        return {feature.name: self.reason_code(feature) for feature in self.all_features}

    @cached_property
    def kept_in_rows(self) -> tuple[str, ...]:
        """The fields of the event that a feature row has besides its time: what is kept, and everybody's id."""
        return tuple(dict.fromkeys((self.id, self.key.field, *self.keep, *self.id_field_of.values())))

    @cached_property
    def kept_in_decisions(self) -> tuple[str, ...]:
        """The fields of the event that a decision has besides its time."""
        return tuple(dict.fromkeys((self.id, self.key.field, *(self.keep if self.decided is None else self.decided))))

    @cached_property
    def attribute_fields(self) -> tuple[str, ...]:
        """Every field that some entity tells apart."""
        return tuple(dict.fromkeys(field for entity in self.entities for field in entity.tells_apart))

    @cached_property
    def value_expressions(self) -> dict[str, Expression]:
        """The expression of each stateless value, by its name."""
        return {value.name: value.value for value in self.values}

    @cached_property
    def declarations_hash(self) -> str:
        """16 hex digits of all that shapes state and features. Another hash is another view, built from the log."""
        return compute_hash(self)

    @property
    def full_name(self) -> str:
        """The name that no stream of another project has: ``my-shop.orders``."""
        return f"{self.namespace.name}.{self.name}" if self.namespace else self.name

    @cached_property
    def topics(self) -> Topics:
        """The topics of the stream's records."""
        first = self.namespace.topic_prefix if self.namespace else ""
        start = f"{self.name}." if self.topic_prefix is None else self.topic_prefix
        events = f"{first}{self.name}"
        labels, features, decisions = (f"{first}{start}{kind}" for kind in ("labels", "features", "decisions"))
        dead = f"{events}.dlq", f"{labels}.dlq", f"{features}.dlq", f"{events}.dlq.done"
        return Topics(events, labels, features, decisions, *dead, f"{events}.published")

    def entity(self, name: str) -> Entity:
        """Return an entity by its name.

        Raises:
            KeyError: when the stream has none of that name.
        """
        for entity in self.entities:
            if entity.name == name:
                return entity
        raise KeyError(name)

    def has_labels(self, entity: Entity) -> bool:
        """True where label risk is kept for the entity."""
        return self.labels is not None and entity in self.labels.on

    def reason_code(self, feature: Feature) -> str:
        """Return the code of the story that a feature tells; ``CARD_AMOUNT_SUM`` where the stream has no word for it.

        Features of several windows share it, so that an explanation names a story once.
        """
        if feature.aggregate == Aggregate.VALUE:
            code = next((value.code for value in self.values if value.name == feature.measure), "")
            return code or f"{feature.entity}_{feature.measure}".upper()
        story = self.reasons.get(f"{feature.measure}.{feature.aggregate}", f"{feature.measure}_{feature.aggregate}")
        return f"{feature.entity}_{story}".upper()
