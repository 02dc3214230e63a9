"""The reliability plot: what was said against what came true, as SVG without scripts. Pure.

Both axes are logarithmic: where one row in a thousand is fraud, all of it would be in one corner. Rows are in bins of
equal sums of what was said, so that each bin expects as many frauds as any other; its bar is the 95 % interval of what
came true. On the diagonal, what was said came true.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from weir.inference.core.calibration import Calibration
from weir.training.calibration.measure import compute_share
from weir.training.models import Labels, Scores

_BINS: Final = 10
_LEAST: Final = 1e-4
"""Where both axes begin; what is below is drawn there."""
_DECADES: Final = 4
_SIDE, _LEFT, _TOP = 340, 60, 40
_BEFORE, _AFTER = "#8a8f98", "#1f6feb"


class Bin(NamedTuple):
    """Rows of which about the same was said: its mean, the share that came true, and the interval of that."""

    said: float
    came: float
    low: float
    high: float


def draw_reliability(positive: Labels, scores: Scores, calibration: Calibration | None) -> str:
    """Return the plot of the scores, and of the probabilities where there is a map.

    Args:
        positive: 0 or 1, shape (n,).
        scores: of the model, shape (n,).
        calibration: fitted on other rows.
    """
    drawn = [("score", _BEFORE, bin_rows(positive, scores))]
    if calibration is not None:
        probabilities = calibration.compute_probabilities(scores.astype(np.float32))
        drawn.append(("probability", _AFTER, bin_rows(positive, probabilities)))
    parts = [*_frame()]
    for place, (name, colour, bins) in enumerate(drawn):
        parts.append(_text(_LEFT + 110 * place + 18, 20, name))
        parts.append(f'<circle cx="{_LEFT + 110 * place + 8}" cy="16" r="4" fill="{colour}"/>')
        parts += [mark for each in bins for mark in _mark(each, colour)]
    width, height = _LEFT + _SIDE + 30, _TOP + _SIDE + 50
    head = f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width} {height}" width="{width}" '
    title = "<title>Reliability: the share that came true against what was said</title>"
    return f'{head}height="{height}" font-family="sans-serif" font-size="12">{title}{"".join(parts)}</svg>\n'


def bin_rows(positive: Labels, said: Scores) -> list[Bin]:
    """Return rows in bins of equal sums of what was said, from the least; a bin that would be empty is left out."""
    order = np.argsort(said, kind="stable")
    summed = np.cumsum(said[order])
    if not len(order) or summed[-1] <= 0:
        return []
    place = np.minimum((summed / summed[-1] * _BINS).astype(np.int64), _BINS - 1)
    found = []
    for number in np.unique(place):
        rows = order[place == number]
        share = compute_share(int(positive[rows].sum()), len(rows))
        found.append(Bin(float(said[rows].mean()), share.value, share.low, share.high))
    return found


def _frame() -> Iterator[str]:
    edge = f'x="{_LEFT}" y="{_TOP}" width="{_SIDE}" height="{_SIDE}"'
    yield f'<rect width="100%" height="100%" fill="#fff"/><rect {edge} fill="none" stroke="#ccc"/>'
    yield f'<line x1="{_LEFT}" y1="{_TOP + _SIDE}" x2="{_LEFT + _SIDE}" y2="{_TOP}" stroke="#ccc"/>'
    for decade in range(_DECADES + 1):
        value = _LEAST * 10**decade
        yield _text(_x(value), _TOP + _SIDE + 18, f"{value:g}", anchor="middle")
        yield _text(_LEFT - 6, _y(value) + 4, f"{value:g}", anchor="end")
    yield _text(_LEFT + _SIDE / 2, _TOP + _SIDE + 38, "said, mean of the bin", anchor="middle")
    yield _text(_LEFT + 6, _TOP + 16, "came true, share of the bin")


def _mark(each: Bin, colour: str) -> Iterator[str]:
    x = _x(each.said)
    yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_y(each.low):.1f}" y2="{_y(each.high):.1f}" stroke="{colour}"/>'
    yield f'<circle cx="{x:.1f}" cy="{_y(each.came):.1f}" r="3.5" fill="{colour}"/>'


def _x(value: float) -> float:
    return _LEFT + _place(value) * _SIDE


def _y(value: float) -> float:
    return _TOP + (1 - _place(value)) * _SIDE


def _place(value: float) -> float:
    return float(np.log10(max(value, _LEAST) / _LEAST)) / _DECADES


def _text(x: float, y: float, text: str, *, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'
