"""Reason codes: what a group of features means to the person who reads the decision.

Features that tell one story share a code; an explanation replaces a whole group at once, because one window of a
burst hardly matters while its five siblings still shout. The table is by measure and aggregate, so that a new window of
a known feature joins its group; a feature of a new kind needs no entry either and is a group of its own, named by its
measure and aggregate.
"""

from __future__ import annotations

import math

from weir.schemas.features import FEATURES, Aggregate, Entity, Feature

SCORE_UNAVAILABLE = "SCORE_UNAVAILABLE"
MODEL_SCORE = "MODEL_SCORE"
"""The score crossed a threshold, and no single group of features made it."""

_A = Aggregate
_VALUE_CODES: dict[str, str] = {
    "amount": "AMOUNT",
    "hour": "TIME_OF_DAY",
    "is_online": "ONLINE_PAYMENT",
    "is_declined": "TERMINAL_DECLINED",
    "is_foreign": "FOREIGN_PAYMENT",
    "is_refund": "REFUND",
    "mcc": "MERCHANT_CATEGORY",
}
# (measure, aggregate) -> what follows the entity's name
_SUFFIXES: dict[tuple[str, Aggregate], str] = {
    ("event", _A.COUNT): "BURST",
    ("event", _A.DECAYED): "BURST",
    ("event", _A.GAP): "TIME_SINCE_LAST",
    ("event", _A.AGE): "RECENTLY_SEEN",
    ("amount", _A.SUM): "SPENDING",
    ("amount", _A.MAX): "UNUSUAL_AMOUNT",
    ("amount", _A.MEAN): "UNUSUAL_AMOUNT",
    ("amount", _A.STD): "UNUSUAL_AMOUNT",
    ("amount", _A.ZSCORE): "UNUSUAL_AMOUNT",
    ("amount", _A.MIN): "SMALL_THEN_LARGE",
    ("amount", _A.OVER_MIN): "SMALL_THEN_LARGE",
    ("small", _A.RATIO): "SMALL_THEN_LARGE",
    ("declined", _A.RATIO): "DECLINES",
    ("online", _A.RATIO): "ONLINE_SHARE",
    ("foreign", _A.RATIO): "FOREIGN_SHARE",
    ("country", _A.DISTINCT): "FOREIGN_SHARE",
    ("country", _A.NEW): "FOREIGN_SHARE",
    ("merchant", _A.DISTINCT): "MANY_MERCHANTS",
    ("merchant", _A.NEW): "NEW_MERCHANT",
    ("device", _A.DISTINCT): "MANY_DEVICES",
    ("device", _A.NEW): "NEW_DEVICE",
    ("card", _A.DISTINCT): "MANY_CARDS",
    ("customer", _A.DISTINCT): "MANY_CUSTOMERS",
    ("label", _A.RISK): "FRAUD_RISK",
    ("position", _A.SPEED): "TRAVEL_SPEED",
    ("refund", _A.COUNT): "REFUNDS",
    ("refund", _A.SUM): "REFUNDS",
}


def build_code(feature: Feature) -> str:
    """Return the reason code of a feature's group.

    >>> [build_code(f) for f in FEATURES if f.name == "card_event_count_5m"]
    ['CARD_BURST']
    """
    if feature.entity is Entity.TRANSACTION:
        return _VALUE_CODES.get(feature.measure, f"TRANSACTION_{feature.measure}".upper())
    kind = feature.measure, feature.aggregate
    return f"{feature.entity}_{_SUFFIXES.get(kind, '_'.join(kind))}".upper()


def build_missing_code(name: str) -> str:
    """Return the code of a feature whose absence is what moved the score: a burst that is not known is no burst.

    >>> build_missing_code("card_position_speed_30d")
    'CARD_NOT_KNOWN'
    """
    return f"{name.split('_', 1)[0].upper()}_NOT_KNOWN"


CODE_OF_FEATURE: dict[str, str] = {feature.name: build_code(feature) for feature in FEATURES}


def format_value(value: float) -> str:
    """Write a feature's value for people: no more digits than help, never ``NaN``.

    >>> format_value(9.0), format_value(0.123456), format_value(float("nan")), format_value(1234567.0)
    ('9', '0.123', 'missing', '1234567')
    """
    if math.isnan(value):
        return "missing"
    if math.isinf(value):
        return "infinite"
    return str(int(value)) if float(value).is_integer() else f"{value:.3g}" if abs(value) < 1_000 else f"{value:.0f}"
