"""The payments' declarations under short names, for tests of what is shipped.

Everything here is read from ``schemas/streams/payments.py``, where a feature of the payments is declared; nothing is
declared here. ``schemas/stream.py`` says what a stream is, ``schemas/entity.py`` what a feature is.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from weir.schemas.declarations_hash import PANES_PER_WINDOW, STATE_VERSION, with_placeholders
from weir.schemas.durations import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from weir.schemas.entity import Aggregate, build_name
from weir.schemas.placeholders import Placeholders
from weir.schemas.streams.payments import SMALL_AMOUNT_MINOR, payments

__all__ = [
    "DAY_MS", "DECLARATIONS_HASH", "DUPLICATE_HORIZON_MS", "ENTITIES", "FEATURES", "FEATURE_NAMES", "HORIZON_MS",
    "HOUR_MS", "LABEL_HOLD_DAYS", "LABEL_HOLD_MS", "MINUTE_MS", "PANES_PER_WINDOW", "SECOND_MS", "SMALL_AMOUNT_MINOR",
    "STATE_VERSION", "WINDOWS_MS", "Aggregate", "Entity", "EntitySpec", "Feature", "declarations_hash",
]  # fmt: skip

WINDOWS_MS: dict[str, int] = payments.windows_ms
LABEL_HOLD_MS = payments.label_hold_ms
LABEL_HOLD_DAYS = LABEL_HOLD_MS // DAY_MS
DUPLICATE_HORIZON_MS = payments.duplicate_horizon_ms
HORIZON_MS = payments.horizon_ms


class Entity(StrEnum):
    """Whom a feature is about. ``TRANSACTION`` has no state: its features come from the record alone."""

    TRANSACTION = "transaction"
    CARD = "card"
    CUSTOMER = "customer"
    DEVICE = "device"
    IP = "ip"
    MERCHANT = "merchant"


@dataclass(frozen=True)
class EntitySpec:
    """What is kept per entity; see ``schemas/entity.py`` for what each means."""

    entity: Entity
    id_field: str
    attributes: tuple[str, ...]
    shared: bool
    has_labels: bool = False
    recent: int = 64


ENTITIES: tuple[EntitySpec, ...] = tuple(
    EntitySpec(Entity(e.name), e.field, tuple(e.tells_apart), e.shared, payments.has_labels(e), e.recent)
    for e in payments.entities
)


@dataclass(frozen=True)
class Feature:
    """One declared feature; see ``schemas/entity.py``.

    Attributes:
        hold: days by which the window is held back.
    """

    entity: Entity
    measure: str
    aggregate: Aggregate
    window: str
    why: str
    hold: int = 0

    @cached_property
    def name(self) -> str:
        """Derived, never typed.

        >>> Feature(Entity.MERCHANT, "event", Aggregate.COUNT, "30d", "", hold=7).name
        'merchant_event_count_30d_held_7d'
        """
        hold = f"{self.hold}d" if self.hold else ""
        return build_name(self.entity, self.measure, self.aggregate, self.window, hold)

    @property
    def hold_ms(self) -> int:
        """How far the window is held back from the event's own time, in milliseconds."""
        return self.hold * DAY_MS


FEATURES: tuple[Feature, ...] = tuple(
    # an aggregate that does not exist stays what it is: the kernel names it in its refusal to start
    Feature(Entity(f.entity), f.measure, f.aggregate, f.window, f.why, f.hold_ms // DAY_MS)  # type: ignore[arg-type]
    for f in payments.all_features
)
FEATURE_NAMES: tuple[str, ...] = payments.feature_names
DECLARATIONS_HASH: str = payments.declarations_hash


def declarations_hash(placeholders: Placeholders) -> str:
    """Return ``DECLARATIONS_HASH``, or another one where a deployment adds placeholder ids."""
    return with_placeholders(DECLARATIONS_HASH, placeholders)
