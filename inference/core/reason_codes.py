"""Reason codes: what a group of features means to the person who reads the decision.

Features that tell one story share a code; an explanation replaces a whole group at once, because one window of a
burst hardly matters while its five siblings still shout. A stream says which story a feature tells
(``Stream.reason_code``): by subject and aggregate, so that a new window of a known feature joins its group. Here are
the codes that no feature has.
"""

from __future__ import annotations

import math

SCORE_UNAVAILABLE = "SCORE_UNAVAILABLE"
MODEL_SCORE = "MODEL_SCORE"
"""The score crossed a threshold, and no single group of features made it."""


def build_missing_code(entity: str) -> str:
    """Return the code of a feature whose absence is what moved the score: a burst that is not known is no burst.

    >>> build_missing_code("card")
    'CARD_NOT_KNOWN'
    """
    return f"{entity.upper()}_NOT_KNOWN"


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
