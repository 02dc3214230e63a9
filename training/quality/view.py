"""What ``weir quality`` says: as a document for machines, as a table, and to the metrics."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any, Final

from rich.table import Table

from weir.monitoring import metrics
from weir.monitoring.terminal import build_table
from weir.schemas.currencies import BASE_CURRENCY, format_amount
from weir.schemas.durations import DAY_MS
from weir.training.quality.estimate import UNKNOWN, DayQuality, Estimate, Quality

METERED_DAYS: Final = (1, 7, 14, 30)
"""Ages of a day whose figures are metrics: the same days of a chart, with fewer and fewer labels to come."""
MONEY: Final = "money_lost"
FIGURES: Final = ("precision", "recall", MONEY)
BOUNDS: Final = ("estimate", "low", "high")


def build_document(quality: Quality) -> dict[str, Any]:
    """Return all figures; null is what cannot be told."""
    return {
        "now_ms": quality.now_ms,
        "horizon_days": quality.horizon_ms / DAY_MS,
        "counts_declined": quality.counts_declined,
        "counts_let_through": quality.counts_sampled,
        "days": [_describe_day(each) for each in quality.days],
    }


def _describe_day(day: DayQuality) -> dict[str, Any]:
    counts = {"decided": day.decided, "stopped": day.stopped, "known_fraud": day.known}
    figures = {name: _describe(getattr(day, name)) for name in FIGURES}
    return {"day": day.day.isoformat(), **counts, "labels_complete": _or_none(day.complete), **figures}


def _describe(estimate: Estimate) -> dict[str, float] | None:
    return None if math.isnan(estimate.value) else dict(zip(BOUNDS, _values(estimate), strict=True))


def _values(estimate: Estimate) -> tuple[float, float, float]:
    return estimate.value, estimate.low, estimate.high


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def say_terms(document: dict[str, Any]) -> str:
    """Return what the figures are of, in two sentences."""
    said = f"fraud is what is labelled as such within {document['horizon_days']:.1f} days of the decision"
    if document["counts_declined"]:
        return f"{said}; what was declined counts"
    if document["counts_let_through"]:
        return f"{said}; what the model declined counts by the share of it that was let through, other declined not"
    return f"{said}; what was declined is left out, as it gets no labels"


def build_quality_table(document: dict[str, Any]) -> Table:
    """Return the days, newest first."""
    columns = ("day", "decided", "stopped", "known fraud", "labels there", "precision", "recall", "lost")
    rows = [
        (
            each["day"],
            f"{each['decided']:,}",
            f"{each['stopped']:,}",
            f"{each['known_fraud']:,}",
            "-" if each["labels_complete"] is None else f"{each['labels_complete']:.0%}",
            *(_write_share(each[name]) for name in ("precision", "recall")),
            _write_money(each["money_lost"]),
        )
        for each in document["days"]
    ]
    return build_table(columns, rows, title=say_terms(document), caption="in brackets the 95 % interval; - too early")


def _write_share(figure: dict[str, float] | None) -> str:
    if figure is None:
        return "-"
    return f"{figure['estimate']:.1%} ({figure['low']:.1%} to {figure['high']:.1%})"


def _write_money(figure: dict[str, float] | None) -> str:
    if figure is None:
        return "-"
    value, low, high = (format_amount(figure[name], BASE_CURRENCY) for name in BOUNDS)
    return f"{value} ({low} to {high})"


def meter_quality(quality: Quality, stream: str) -> None:
    """Tell the metrics the figures of the days of some ages; what cannot be told is not a number."""
    today = datetime.fromtimestamp(quality.now_ms / 1_000, UTC).date()
    of_age = {(today - each.day).days: each for each in quality.days}
    for age in METERED_DAYS:
        day = of_age.get(age)
        for name in FIGURES:
            for bound, value in zip(BOUNDS, _values(getattr(day, name) if day else UNKNOWN), strict=True):
                if name == MONEY:
                    metrics.QUALITY_LOST.labels(stream, age, bound).set(value)
                else:
                    metrics.QUALITY_SHARE.labels(stream, name, age, bound).set(value)
