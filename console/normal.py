"""The windows of a key against its own normal as rows of a table, each with a small drawing. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from weir.console.reasons import describe_feature, say_window, show_value
from weir.schemas.entity import Feature
from weir.schemas.stream import Stream

WIDTH, HEIGHT = 160, 14
_EDGE: Final = 6


@dataclass(frozen=True)
class Bar:
    """A drawing, in pixels from its left edge: the usual range from low to high, its median, and the value now."""

    low: int
    median: int
    high: int
    value: int
    width: int = WIDTH
    height: int = HEIGHT


@dataclass(frozen=True)
class Row:
    """A window.

    Attributes:
        name: of the feature.
        value: in words, as the three of its normal.
        where: it lies among the earlier values, in words.
        is_outside: whether it is below the 5th or above the 95th percentile.
        bar: nothing where there are too few earlier values, or no value.
    """

    name: str
    what: str
    window: str
    why: str
    value: str
    low: str
    median: str
    high: str
    count: int
    where: str
    is_outside: bool
    bar: Bar | None


def build_rows(found: Mapping[str, Any], stream: Stream) -> list[Row]:
    """Return the windows of an answer of the API in its order; one that is not declared any more is left out."""
    features = {each.name: each for each in stream.all_features}
    windows = [each for each in found["windows"] if each["feature"] in features]
    return [_build(each, features[each["feature"]], stream, found["too_few"]) for each in windows]


def _build(found: Mapping[str, Any], feature: Feature, stream: Stream, too_few: int) -> Row:
    shown = {name: show_value(found[name], feature, stream) for name in ("value", "low", "median", "high")}
    is_compared = found["share_below"] is not None
    return Row(
        name=feature.name,
        what=describe_feature(feature, stream),
        window=say_window(feature.window),
        why=feature.why,
        count=found["count"],
        where=_say(found, too_few),
        is_outside=is_compared and not found["low"] <= found["value"] <= found["high"],
        bar=draw(found["value"], found["low"], found["median"], found["high"]) if is_compared else None,
        **shown,
    )


def _say(found: Mapping[str, Any], too_few: int) -> str:
    share = found["share_below"]
    if found["count"] < too_few:
        return f"too few: {found['count']} of {too_few}"
    if share is None:
        return "missing now"
    if share in {0, 1}:
        return f"{'above' if share else 'below'} all of {found['count']}"
    return f"above {min(max(round(100 * share), 1), 99)} % of {found['count']}"


def draw(value: float, low: float, median: float, high: float) -> Bar:
    """Return a drawing that has room for the usual range and the value.

    >>> draw(10.0, 0.0, 5.0, 10.0)
    Bar(low=6, median=80, high=154, value=154, width=160, height=14)
    """
    first, last = min(low, value), max(high, value)
    scale = (WIDTH - 2 * _EDGE) / (last - first) if last > first else 0.0
    places = (round(_EDGE + (each - first) * scale) for each in (low, median, high, value))
    return Bar(*places)
