"""Plots as inline SVG: no script, no network, and colours that print. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

_WIDTH: Final = 640
_LEFT: Final = 170
_BAR: Final = 14
_GAP: Final = 10
WAS, WOULD_BE = "#8a8f98", "#1f6feb"
_STYLE: Final = 'font-family="sans-serif" font-size="12"'


def draw_bars(title: str, rows: Mapping[str, tuple[float, float]], *, unit: str = "") -> str:
    """Return pairs of bars: what was, and what would be.

    Args:
        title: above them.
        rows: by what each pair is called.
        unit: behind each number.
    """
    step = 2 * _BAR + _GAP
    height, widest = 46 + step * len(rows), max([1e-12, *(max(pair) for pair in rows.values())])
    parts = [_open(title, height), _legend()]
    for place, (name, pair) in enumerate(rows.items()):
        top = 42 + place * step
        parts.append(_text(_LEFT - 8, top + _BAR + 4, name, anchor="end"))
        for side, (value, colour) in enumerate(zip(pair, (WAS, WOULD_BE), strict=True)):
            width = value / widest * (_WIDTH - _LEFT - 90)
            y = top + side * _BAR
            parts.append(f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR - 2}" fill="{colour}"/>')
            parts.append(_text(_LEFT + width + 6, y + _BAR - 3, f"{value:,.6g}{unit}"))
    return "".join([*parts, "</svg>"])


def draw_lines(title: str, names: Sequence[str], was: Sequence[float], would_be: Sequence[float]) -> str:
    """Return two lines over the same places, from zero; the first and the last place are named."""
    height, bottom, top = 210, 170, 50
    highest = max([1e-12, *was, *would_be])
    step = (_WIDTH - 90) / max(1, len(names) - 1)
    parts = [_open(title, height), _legend(), _text(62, top + 4, f"{highest:,.3g} %", anchor="end")]
    parts.append(f'<line x1="70" y1="{bottom}" x2="{_WIDTH - 20}" y2="{bottom}" stroke="#ccc"/>')
    for values, colour in ((was, WAS), (would_be, WOULD_BE)):
        points = " ".join(
            f"{70 + place * step:.1f},{bottom - value / highest * (bottom - top):.1f}"
            for place, value in enumerate(values)
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
    ends = [(70, names[0], "start"), (_WIDTH - 20, names[-1], "end")]
    parts += [_text(x, bottom + 18, name, anchor=anchor) for x, name, anchor in ends]
    return "".join([*parts, "</svg>"])


def _open(title: str, height: int) -> str:
    size = f'viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size} {_STYLE}>' + _text(0, 16, title, weight="bold")


def _legend() -> str:
    parts = []
    for x, name, colour in ((_WIDTH - 150, "was", WAS), (_WIDTH - 90, "would be", WOULD_BE)):
        parts.append(f'<rect x="{x}" y="6" width="12" height="12" fill="{colour}"/>' + _text(x + 17, 16, name))
    return "".join(parts)


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">{escape(text)}</text>'
