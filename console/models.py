"""What pages say of models: their figures as rows, and what thresholds do in words. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from weir.console.text import show_number
from weir.schemas.currencies import format_amount

FIGURES: Final = {
    "flagged_share": "share flagged",
    "precision": "precision",
    "recall": "recall",
    "false_positive_rate": "false positive rate",
    "fraud_caught": "fraud caught",
    "fraud_let_through": "fraud let through",
    "good_flagged": "good events flagged",
    "money_caught": "money caught",
    "money_let_through": "money let through",
    "money_of_good": "money of good events flagged",
}
"""What is shown of a threshold, with its name for people, in order."""
_SHARES: Final = frozenset({"flagged_share", "precision", "recall", "false_positive_rate"})
_OF_MONEY: Final = "money_"
FIGURES_MAX: Final = 300


class Shown(NamedTuple):
    """A threshold with its figures in words, by their names."""

    threshold: float
    figures: Mapping[str, str]


def list_figures(metrics: Any, before: str = "") -> Iterator[tuple[str, str]]:
    """Yield the figures of a manifest, one a row.

    >>> list(list_figures({"test": {"lightgbm": {"pr_auc": 0.71234}}, "note": None}))
    [('test, lightgbm, pr_auc', '0.712'), ('note', '-')]
    """
    for name, value in metrics.items() if isinstance(metrics, Mapping) else ():
        if isinstance(value, Mapping):
            yield from list_figures(value, f"{before}{name}, ")
        else:
            yield f"{before}{name}", show_number(value)


def find_figure(metrics: Any, name: str) -> str:
    """Return the first figure of a name, which is that of the model: baselines come after it.

    >>> find_figure({"test": {"lightgbm": {"pr_auc": 0.71234}, "amount": {"pr_auc": 0.1}}}, "pr_auc")
    '0.712'
    """
    return next((value for key, value in list_figures(metrics) if key.rpartition(", ")[2] == name), "-")


def show_points(document: Mapping[str, Any]) -> list[Shown]:
    """Return what each threshold does, in words."""
    currency = document["currency"]
    return [Shown(point["threshold"], {name: _show(name, point[name], currency) for name in list_names(currency)})
            for point in document["points"]]  # fmt: skip


def list_names(currency: str | None) -> list[str]:
    """Return the names of the figures that there are; of a stream without money those of money are left out."""
    return [name for name in FIGURES if currency or not name.startswith(_OF_MONEY)]


def find_nearest(points: Sequence[Shown], threshold: float) -> int:
    """Return the place of the threshold that is nearest.

    >>> find_nearest([Shown(0.0, {}), Shown(0.5, {}), Shown(1.0, {})], 0.7)
    1
    """
    return min(range(len(points)), key=lambda place: abs(points[place].threshold - threshold))


def _show(name: str, value: Any, currency: str | None) -> str:
    if value is None:
        return "-"
    if name in _SHARES:
        return f"{value:.2%}"
    return format_amount(value, currency) if currency and name.startswith(_OF_MONEY) else f"{value:,}"
