"""Entities and their features: ``card.amount.sum("1h 1d", why="how fast a card is being drained")``.

An entity has a subject for everything that can be measured about it: ``event`` (its events), a measure, a flag, what
it tells apart, the reversal, ``position`` and ``label``. A subject's methods are the aggregates. Nothing is checked
here, so that ``declaration_checks.py`` can name all faults of a stream at once: a subject or an aggregate that does
not exist makes a feature like any other, and a finding later.

Windows are event time, ``(t - window, t]``, evaluated at each event and including it; a window that is held back is
``(t - hold - window, t - hold]``, without the event.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, NoReturn, TypeAlias

from weir.schemas.durations import parse_ms
from weir.schemas.origin import Origin, find_origin


class Aggregate(StrEnum):
    """What is computed over the events of a window."""

    VALUE = "value"  # stateless: read from the record itself
    COUNT = "count"
    SUM = "sum"
    MEAN = "mean"
    STD = "std"
    MIN = "min"
    MAX = "max"
    RATIO = "ratio"  # share of the window's events that carry the flag
    DISTINCT = "distinct"  # distinct values of an attribute
    NEW = "new"  # 1 when the event's attribute value was not seen in the window before it, else 0
    GAP = "gap"  # seconds since the entity's previous event
    AGE = "age"  # seconds since the entity's first event in the window
    DECAYED = "decayed"  # exponentially decayed count; the window is the half-life
    SPEED = "speed"  # km/h from the entity's last known position
    ZSCORE = "zscore"  # the measure against mean and deviation of the window's other events
    OVER_MIN = "over_min"  # the measure over the smallest one in the window: small-then-large
    RISK = "risk"  # fraud share of labelled events, held back


def build_name(entity: str, measure: str, aggregate: str, window: str, hold: str) -> str:
    """Derive a feature's name. A hold is part of it, but not that of label risk, which is always the stream's.

    >>> build_name("card", "amount", "sum", "1h", ""), build_name("merchant", "event", "count", "30d", "7d")
    ('card_amount_sum_1h', 'merchant_event_count_30d_held_7d')
    """
    if aggregate == Aggregate.VALUE:
        return f"{entity}_{measure}"
    held = f"_held_{hold}" if hold and aggregate != Aggregate.RISK else ""
    return f"{entity}_{measure}_{aggregate}_{window}{held}"


@dataclass(frozen=True)
class Feature:
    """One declared feature.

    Attributes:
        entity: the name of an entity, or the stream's word for its event where the feature is stateless.
        measure: the subject: ``event``, a measure, a flag, an attribute, the reversal, ``position``, ``label``.
        aggregate: one of ``Aggregate``; anything else is a fault that the checks name.
        window: a duration such as ``1h``; ``""`` for stateless values.
        why: what it is there to show, in one line.
        hold: by how much the window is held back, a duration; ``""`` for not at all.
        owner: who answers for it, for people alone; ``""`` for the owner of the stream. No part of equality or hash.
        where: the line that declares it.
    """

    entity: str
    measure: str
    aggregate: str
    window: str
    why: str = ""
    hold: str = ""
    owner: str = dataclasses.field(default="", compare=False)
    where: Origin = dataclasses.field(default_factory=find_origin, compare=False, repr=False)

    @cached_property
    def name(self) -> str:
        """Derived, never typed; see ``build_name``."""
        return build_name(self.entity, self.measure, self.aggregate, self.window, self.hold)

    @property
    def window_ms(self) -> int:
        """The window in milliseconds; 0 for stateless values."""
        return parse_ms(self.window)

    @property
    def hold_ms(self) -> int:
        """How far the window is held back from the event's own time, in milliseconds."""
        return parse_ms(self.hold)


Features: TypeAlias = tuple[Feature, ...]
"""What one line declares: a feature for each of its windows."""


@dataclass(frozen=True)
class Subject:
    """Something that can be measured about an entity; its methods declare features, one for each window."""

    entity: str
    measure: str

    def declare(self, aggregate: str, windows: str, *, why: str = "", hold: str = "", owner: str = "") -> Features:
        """Declare an aggregate by its name, over windows written like ``"1h 1d"``."""
        where = find_origin()
        texts = (windows.split() if isinstance(windows, str) else [windows]) or [""]  # no window is a fault
        given = self.entity, self.measure, aggregate
        return tuple(Feature(*given, text, why, hold, owner, where) for text in texts)

    def count(self, windows: str, *, why: str = "", hold: str = "", owner: str = "") -> Features:
        """Count the events of each window."""
        return self.declare(Aggregate.COUNT, windows, why=why, hold=hold, owner=owner)

    def sum(self, windows: str, *, why: str = "", hold: str = "", owner: str = "") -> Features:
        """Add up a measure."""
        return self.declare(Aggregate.SUM, windows, why=why, hold=hold, owner=owner)

    def mean(self, windows: str, *, why: str = "", hold: str = "", owner: str = "") -> Features:
        """Average a measure."""
        return self.declare(Aggregate.MEAN, windows, why=why, hold=hold, owner=owner)

    def std(self, windows: str, *, why: str = "", hold: str = "", owner: str = "") -> Features:
        """Compute how much a measure varies."""
        return self.declare(Aggregate.STD, windows, why=why, hold=hold, owner=owner)

    def min(self, windows: str, *, why: str = "", hold: str = "", owner: str = "") -> Features:
        """Find the smallest value of a measure."""
        return self.declare(Aggregate.MIN, windows, why=why, hold=hold, owner=owner)

    def max(self, windows: str, *, why: str = "", hold: str = "", owner: str = "") -> Features:
        """Find the largest value of a measure."""
        return self.declare(Aggregate.MAX, windows, why=why, hold=hold, owner=owner)

    def ratio(self, windows: str, *, why: str = "", hold: str = "", owner: str = "") -> Features:
        """Compute the share of events that carry a flag."""
        return self.declare(Aggregate.RATIO, windows, why=why, hold=hold, owner=owner)

    def distinct(self, windows: str, *, why: str = "", hold: str = "", owner: str = "") -> Features:
        """Count the distinct values of an attribute."""
        return self.declare(Aggregate.DISTINCT, windows, why=why, hold=hold, owner=owner)

    def new(self, windows: str, *, why: str = "", hold: str = "", owner: str = "") -> Features:
        """Tell whether an attribute's value was not seen in the window before."""
        return self.declare(Aggregate.NEW, windows, why=why, hold=hold, owner=owner)

    def gap(self, windows: str, *, why: str = "", hold: str = "", owner: str = "") -> Features:
        """Measure the seconds since the previous event."""
        return self.declare(Aggregate.GAP, windows, why=why, hold=hold, owner=owner)

    def age(self, windows: str, *, why: str = "", hold: str = "", owner: str = "") -> Features:
        """Measure the seconds since the first event of the window."""
        return self.declare(Aggregate.AGE, windows, why=why, hold=hold, owner=owner)

    def decayed(self, windows: str, *, why: str = "", hold: str = "", owner: str = "") -> Features:
        """Count events that fade; the window is the half-life."""
        return self.declare(Aggregate.DECAYED, windows, why=why, hold=hold, owner=owner)

    def speed(self, windows: str, *, why: str = "", hold: str = "", owner: str = "") -> Features:
        """Compute km/h from the last known position."""
        return self.declare(Aggregate.SPEED, windows, why=why, hold=hold, owner=owner)

    def zscore(self, windows: str, *, why: str = "", hold: str = "", owner: str = "") -> Features:
        """Compare a measure with the mean and deviation of the window's other events."""
        return self.declare(Aggregate.ZSCORE, windows, why=why, hold=hold, owner=owner)

    def over_min(self, windows: str, *, why: str = "", hold: str = "", owner: str = "") -> Features:
        """Divide a measure by the smallest one of the window."""
        return self.declare(Aggregate.OVER_MIN, windows, why=why, hold=hold, owner=owner)

    def risk(self, windows: str, *, why: str = "", hold: str = "", owner: str = "") -> Features:
        """Compute the share of labelled events that are fraud, held back as the stream's labels are."""
        return self.declare(Aggregate.RISK, windows, why=why, hold=hold, owner=owner)

    def __call__(self, *_: object, **__: object) -> NoReturn:
        """Refuse ``card.count("1d")``, which counts nothing in particular."""
        right = f"{self.entity}.event.{self.measure}(...)"
        raise TypeError(
            f"expected a subject and an aggregate, such as {right}, found {self.entity}.{self.measure}(...)"
        )

    def __getattr__(self, aggregate: str) -> Callable[..., Features]:
        if aggregate.startswith("_"):
            raise AttributeError(aggregate)
        return lambda windows="", *, why="", hold="", owner="": self.declare(
            aggregate, windows, why=why, hold=hold, owner=owner
        )


def as_tuple(value: Any) -> Any:
    """Return a list as a tuple, and what is no list as it is: the checks name it, with the line it is on."""
    return tuple(value) if isinstance(value, list | tuple | set | frozenset) else value


@dataclass(frozen=True)
class Entity:
    """Whom features are about, and what is kept per id of it. ``card.amount`` is ``card.subject("amount")``.

    Attributes:
        name: how features, decisions and keys name it.
        field: the field that holds its id; null and a placeholder (``placeholders.py``) mean no state and missing
            features.
        tells_apart: fields whose values are told apart (distinct counts, novelty), in order.
        shared: its events come from several input partitions, so it is read as the merge of every partition's partial.
        recent: K, how many of its newest events are kept exactly, at most 255; older ones are kept by pane.
        zeros_are_ids: whether an id of zeros alone, as ``0``, is somebody; of devices and addresses it is not.
        card_tokens: its ids stand for cards, so whatever may be a card number is refused in them; elsewhere, and in
            every text, only what a card scheme issues.
    """

    name: str
    field: str
    tells_apart: Sequence[str] = ()
    shared: bool = False
    recent: int = 64
    zeros_are_ids: bool = True
    card_tokens: bool = False
    where: Origin = dataclasses.field(default_factory=find_origin, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tells_apart", as_tuple(self.tells_apart))

    @property
    def attributes(self) -> dict[str, str]:
        """What it tells apart: the name in features, without ``_id``, and the field."""
        return {field.removesuffix("_id"): field for field in self.tells_apart}

    def subject(self, measure: str) -> Subject:
        """Return what can be measured about it, by name; for names that are taken here, such as ``field``."""
        return Subject(self.name, measure)

    def __getattr__(self, measure: str) -> Subject:
        if measure.startswith("_"):
            raise AttributeError(measure)
        return self.subject(measure)
