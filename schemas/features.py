"""Feature declarations: the one place where a feature is written, as data.

A feature is ``entity x measure x aggregate x window``. Its name is derived, never typed. The streaming kernel, the
training matrix, the ``features`` Avro schema, the ONNX input order, the API, Feast and the docs table are all read
from ``FEATURES``. What a declaration *means* is in ``streaming/core``; nothing here computes.

Windows are event time, ``(t - window, t]``, evaluated at each event and including it.

A refund is a transaction with a negative amount: money back to the card. It is counted in the windows of measure
``refund`` and in no other, and the windows of payments at a refund are those of the payments before it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from weir.schemas.currencies import BASE_CURRENCY, CURRENCIES_VERSION
from weir.schemas.placeholders import TEXTS, WORDS, ZERO_FIELDS, ZEROS_MIN, Placeholders

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

WINDOWS_MS: dict[str, int] = {
    "1m": MINUTE_MS,
    "5m": 5 * MINUTE_MS,
    "1h": HOUR_MS,
    "1d": DAY_MS,
    "7d": 7 * DAY_MS,
    "30d": 30 * DAY_MS,
}
PANES_PER_WINDOW = 30
"""A busy entity falls back to panes of ``window / 30``; only the trailing edge is coarse, by one pane."""
LABEL_HOLD_DAYS = 7
"""Label risk looks only at transactions at least this old: most labels of younger ones are not known yet."""
LABEL_HOLD_MS = LABEL_HOLD_DAYS * DAY_MS
DUPLICATE_HORIZON_MS = DAY_MS
"""The same transaction id again within this much append time is a duplicate."""
SMALL_AMOUNT_MINOR = 200
"""At or below this many base minor units an amount is `small`: the size used to test stolen cards."""
STATE_VERSION = 2
"""Raised whenever the bytes of a partial, or what is folded into it, change."""


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
    """What is kept per entity.

    Attributes:
        id_field: the transaction field that names the entity; null and a placeholder (``schemas/placeholders.py``)
            mean no state and missing features.
        attributes: up to three transaction fields whose values are told apart (distinct counts, novelty), in order.
        shared: touched from several input partitions, so read as the merge of every partition's partial.
        has_labels: label risk is kept for it, from the ``labels`` topic.
        recent: K, how many of its newest events are kept exactly, at most 255; older ones are kept by pane.
    """

    entity: Entity
    id_field: str
    attributes: tuple[str, ...]
    shared: bool
    has_labels: bool = False
    recent: int = 64


ENTITIES: tuple[EntitySpec, ...] = (
    EntitySpec(Entity.CARD, "card_id", ("merchant_id", "device_id", "country"), shared=False),
    EntitySpec(Entity.CUSTOMER, "customer_id", ("card_id", "device_id", "merchant_id"), shared=True),
    EntitySpec(Entity.DEVICE, "device_id", ("card_id", "customer_id", "merchant_id"), shared=True, has_labels=True),
    EntitySpec(Entity.IP, "ip", ("card_id", "device_id", "merchant_id"), shared=True),
    EntitySpec(Entity.MERCHANT, "merchant_id", ("card_id", "device_id", "country"), shared=True, has_labels=True),
)


class Aggregate(StrEnum):
    """What is computed over the events of a window."""

    VALUE = "value"  # stateless: read from the transaction itself
    COUNT = "count"
    SUM = "sum"
    MEAN = "mean"
    STD = "std"
    MIN = "min"
    MAX = "max"
    RATIO = "ratio"  # share of the window's events that carry the measure's flag
    DISTINCT = "distinct"  # distinct values of an attribute
    NEW = "new"  # 1 when the event's attribute value was not seen in the window before it, else 0
    GAP = "gap"  # seconds since the entity's previous event
    AGE = "age"  # seconds since the entity's first event in the window
    DECAYED = "decayed"  # exponentially decayed count; the window is the half-life
    SPEED = "speed"  # km/h from the entity's last known position
    ZSCORE = "zscore"  # amount against mean and deviation of the window's other events
    OVER_MIN = "over_min"  # amount over the smallest amount in the window: small-then-large
    RISK = "risk"  # fraud share of labelled transactions, held back


@dataclass(frozen=True)
class Feature:
    """One declared feature.

    Attributes:
        measure: ``event`` and ``amount`` of payments, ``refund``, ``position``, ``label``, a flag (``declined``,
            ``online``, ``foreign``, ``small``), an attribute of the entity without ``_id`` (``merchant``), or a
            stateless input.
        window: a key of ``WINDOWS_MS``, or ``""`` for stateless values.
        why: the fraud it is there to show, in one line.
        hold: days by which the window is held back: ``(t - hold - window, t - hold]``, without the event itself.
    """

    entity: Entity
    measure: str
    aggregate: Aggregate
    window: str
    why: str
    hold: int = 0

    @cached_property
    def name(self) -> str:
        """Derived: ``{entity}_{measure}_{aggregate}_{window}``; ``{entity}_{measure}`` for stateless values.

        A hold follows, but not that of label risk, which is always the same.

        >>> Feature(Entity.CARD, "amount", Aggregate.SUM, "1h", "").name
        'card_amount_sum_1h'
        >>> Feature(Entity.MERCHANT, "event", Aggregate.COUNT, "30d", "", hold=7).name
        'merchant_event_count_30d_held_7d'
        """
        if self.aggregate is Aggregate.VALUE:
            return f"{self.entity}_{self.measure}"
        held = f"_held_{self.hold}d" if self.hold and self.aggregate is not Aggregate.RISK else ""
        return f"{self.entity}_{self.measure}_{self.aggregate}_{self.window}{held}"

    @property
    def hold_ms(self) -> int:
        """How far the window is held back from the event's own time, in milliseconds."""
        return self.hold * DAY_MS


def _value(measure: str, why: str) -> Feature:
    return Feature(Entity.TRANSACTION, measure, Aggregate.VALUE, "", why)


def _each(
    entity: Entity, measure: str, aggregate: Aggregate, windows: str, why: str, *, hold: int = 0
) -> tuple[Feature, ...]:
    return tuple(Feature(entity, measure, aggregate, window, why, hold) for window in windows.split())


_HELD = LABEL_HOLD_DAYS


_A = Aggregate
_E = Entity

FEATURES: tuple[Feature, ...] = (
    _value("amount", "what is at stake, in base minor units"),
    _value("hour", "UTC hour of the event, 0 to 24 with its fraction: stolen cards are used while owners sleep"),
    _value("is_online", "card-not-present payments carry most fraud"),
    _value("is_declined", "the terminal's own refusal: testing runs collect them"),
    _value("is_foreign", "outside the issuer's country"),
    _value("is_refund", "money back to the card, a negative amount: judged by other habits than a payment"),
    _value("mcc", "what is bought: resellable goods and cash attract fraud"),
    # card
    *_each(_E.CARD, "event", _A.COUNT, "1m 5m 1h 1d 7d 30d", "a burst beside the card's own baseline"),
    *_each(_E.CARD, "amount", _A.SUM, "1h 1d 7d 30d", "how fast a card is being drained"),
    *_each(_E.CARD, "amount", _A.MEAN, "1d 7d 30d", "what the card usually spends"),
    *_each(_E.CARD, "amount", _A.STD, "30d", "how much its spending varies: steady cards stand out sooner"),
    *_each(_E.CARD, "amount", _A.MIN, "1h", "a tiny amount in the last hour is a test"),
    *_each(_E.CARD, "amount", _A.MAX, "1d 30d", "cash-out exceeds anything the owner ever bought"),
    *_each(_E.CARD, "amount", _A.ZSCORE, "30d", "this amount against the card's own habit"),
    *_each(_E.CARD, "amount", _A.OVER_MIN, "1h 1d", "small then large: testing, then extraction"),
    *_each(_E.CARD, "declined", _A.RATIO, "1h 1d", "guessing leaves refusals behind"),
    *_each(_E.CARD, "online", _A.RATIO, "1d 30d", "a shop customer who suddenly buys only online"),
    *_each(_E.CARD, "foreign", _A.RATIO, "1d 30d", "a home card that is now abroad"),
    *_each(_E.CARD, "small", _A.RATIO, "1h 1d", "a run of tiny payments"),
    *_each(_E.CARD, "merchant", _A.DISTINCT, "1h 1d 7d", "many merchants in a short time"),
    *_each(_E.CARD, "device", _A.DISTINCT, "1d", "one card on several devices"),
    *_each(_E.CARD, "country", _A.DISTINCT, "1d", "several countries in a day"),
    *_each(_E.CARD, "merchant", _A.NEW, "30d", "never bought here before"),
    *_each(_E.CARD, "device", _A.NEW, "30d", "take-overs come from a new device"),
    *_each(_E.CARD, "country", _A.NEW, "30d", "first payment in this country"),
    *_each(_E.CARD, "event", _A.GAP, "30d", "seconds since the last payment: scripts do not wait"),
    *_each(_E.CARD, "event", _A.AGE, "30d", "a card first seen moments ago has no habits to trust"),
    *_each(_E.CARD, "event", _A.DECAYED, "1h", "a burst that fades instead of dropping off a window's edge"),
    *_each(_E.CARD, "position", _A.SPEED, "30d", "impossible travel between two terminals"),
    *_each(_E.CARD, "refund", _A.COUNT, "1d 30d", "goods bought to be returned, and disputes that become a habit"),
    *_each(_E.CARD, "refund", _A.SUM, "30d", "more money back than was ever spent: refunds to a mule's card"),
    # customer
    *_each(_E.CUSTOMER, "event", _A.COUNT, "1h 1d 7d", "a burst across all of a customer's cards"),
    *_each(_E.CUSTOMER, "amount", _A.SUM, "1d 7d", "a take-over drains every card at once"),
    *_each(_E.CUSTOMER, "amount", _A.ZSCORE, "30d", "this amount against the customer's habit"),
    *_each(_E.CUSTOMER, "card", _A.DISTINCT, "1d", "several cards of one person within a day"),
    *_each(_E.CUSTOMER, "device", _A.DISTINCT, "7d", "a customer who keeps changing devices"),
    *_each(_E.CUSTOMER, "device", _A.NEW, "30d", "a device this customer never used"),
    *_each(_E.CUSTOMER, "event", _A.AGE, "30d", "new accounts are where bust-outs begin"),
    # device
    *_each(_E.DEVICE, "event", _A.COUNT, "5m 1h 1d", "device farms pay at machine speed"),
    *_each(_E.DEVICE, "amount", _A.SUM, "1d", "value leaving through one device"),
    *_each(_E.DEVICE, "card", _A.DISTINCT, "1h 1d 7d", "many cards on one device"),
    *_each(_E.DEVICE, "customer", _A.DISTINCT, "7d", "many people on one device; a family is few"),
    *_each(_E.DEVICE, "declined", _A.RATIO, "1d", "a device that collects refusals"),
    *_each(_E.DEVICE, "event", _A.AGE, "30d", "a device first seen moments ago"),
    *_each(_E.DEVICE, "label", _A.RISK, "1d 7d 30d", "confirmed fraud on this device", hold=_HELD),
    # ip
    *_each(_E.IP, "event", _A.COUNT, "5m 1h 1d", "a script behind one address"),
    *_each(_E.IP, "card", _A.DISTINCT, "1h 1d", "many cards from one address"),
    *_each(_E.IP, "device", _A.DISTINCT, "1d", "many devices from one address"),
    *_each(_E.IP, "declined", _A.RATIO, "1h", "an address that guesses"),
    *_each(_E.IP, "event", _A.AGE, "30d", "an address never seen before"),
    # merchant
    *_each(_E.MERCHANT, "event", _A.COUNT, "5m 1h 1d 7d 30d", "a merchant under attack, beside its own baseline"),
    *_each(_E.MERCHANT, "amount", _A.MEAN, "1d 7d 30d", "what is usual at this merchant"),
    *_each(_E.MERCHANT, "amount", _A.ZSCORE, "30d", "this amount against what is usual here"),
    *_each(_E.MERCHANT, "card", _A.DISTINCT, "1h 1d", "how many cards pass through"),
    *_each(_E.MERCHANT, "declined", _A.RATIO, "1h 1d", "card testing runs through one merchant"),
    *_each(_E.MERCHANT, "small", _A.RATIO, "1h", "testing amounts at one merchant"),
    *_each(_E.MERCHANT, "foreign", _A.RATIO, "1d", "foreign cards in a local shop"),
    *_each(_E.MERCHANT, "event", _A.DECAYED, "1h", "an attack's intensity, without a window's edge"),
    *_each(_E.MERCHANT, "refund", _A.COUNT, "1d 30d", "a till or a stolen login that hands out refunds"),
    *_each(_E.MERCHANT, "refund", _A.SUM, "1d 30d", "money laundered as payments in and refunds out"),
    *_each(
        _E.MERCHANT, "label", _A.RISK, "1d 7d 30d", "a compromised merchant shows only when labels arrive", hold=_HELD
    ),
)

HORIZON_MS = max(
    30 * DAY_MS,
    *(WINDOWS_MS[f.window] + f.hold_ms for f in FEATURES if f.window in WINDOWS_MS and f.aggregate != "risk"),
)
"""H, the look-back of everything folded from transactions: older than an entity's newest event less H is late."""

FEATURE_NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)


def _compute_declarations_hash() -> str:
    shape = {
        "state_version": STATE_VERSION,
        "currencies": [BASE_CURRENCY, CURRENCIES_VERSION],
        "windows_ms": WINDOWS_MS,
        "panes_per_window": PANES_PER_WINDOW,
        "horizon_ms": HORIZON_MS,
        "label_hold_ms": LABEL_HOLD_MS,
        "duplicate_horizon_ms": DUPLICATE_HORIZON_MS,
        "small_amount_minor": SMALL_AMOUNT_MINOR,
        "placeholders": [sorted(WORDS), sorted(TEXTS), ZEROS_MIN, sorted(ZERO_FIELDS)],
        "entities": [[s.entity, s.id_field, s.attributes, s.shared, s.has_labels, s.recent] for s in ENTITIES],
        "features": [[f.entity, f.measure, f.aggregate, f.window, f.hold] for f in FEATURES],
    }
    return hashlib.sha256(json.dumps(shape, sort_keys=True).encode()).hexdigest()[:16]


DECLARATIONS_HASH: str = _compute_declarations_hash()
"""16 hex digits of all that shapes state and features. Another hash is another view, built from the log next to it."""


def declarations_hash(placeholders: Placeholders) -> str:
    """Return ``DECLARATIONS_HASH``, or another one where a deployment adds placeholder ids."""
    if not placeholders.added:
        return DECLARATIONS_HASH
    return hashlib.sha256(json.dumps([DECLARATIONS_HASH, sorted(placeholders.added)]).encode()).hexdigest()[:16]


def entity_spec(entity: Entity) -> EntitySpec:
    """Return what is kept for an entity that has state.

    Raises:
        KeyError: for ``Entity.TRANSACTION``, which has none.
    """
    for spec in ENTITIES:
        if spec.entity is entity:
            return spec
    raise KeyError(entity)
