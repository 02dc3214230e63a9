"""A run as an SVG of small charts, written by hand: a few polylines need no library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Line = tuple[Sequence[float], Sequence[float]]
"""Minutes and values."""

WIDTH, HEIGHT, MARGIN = 420, 170, 46
COLOURS = ("#0b6e99", "#c2410c", "#15803d", "#7c3aed", "#a16207", "#475569")
_STYLE = 'font-family="sans-serif" font-size="11" fill="#334155"'


def draw(charts: Mapping[str, Mapping[str, Line]]) -> str:
    """Return an SVG with one chart per title, two in a row; each starts at zero."""
    rows = (len(charts) + 1) // 2
    body = [
        _draw_chart(title, lines, x=(i % 2) * WIDTH, y=(i // 2) * (HEIGHT + MARGIN))
        for i, (title, lines) in enumerate(charts.items())
    ]
    size = f'viewBox="0 0 {2 * WIDTH} {rows * (HEIGHT + MARGIN)}"'
    background = '<rect width="100%" height="100%" fill="white"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{background}{"".join(body)}</svg>\n'


def _draw_chart(title: str, lines: Mapping[str, Line], *, x: int, y: int) -> str:
    right = max((max(line[0]) for line in lines.values() if line[0]), default=1.0) or 1.0
    top = max((max(line[1]) for line in lines.values() if line[1]), default=1.0) * 1.05 or 1.0
    wide, high = WIDTH - 2 * MARGIN, HEIGHT - MARGIN
    parts = [
        f'<text x="{MARGIN}" y="18" {_STYLE} font-weight="bold">{title}</text>',
        f'<path d="M{MARGIN},26 v{high} h{wide}" fill="none" stroke="#94a3b8"/>',
        f'<text x="{MARGIN - 4}" y="34" text-anchor="end" {_STYLE}>{top:,.0f}</text>',
        f'<text x="{MARGIN + wide}" y="{26 + high + 14}" text-anchor="end" {_STYLE}>{right:.0f} min</text>',
    ]
    for number, (name, (minutes, values)) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        at = [(MARGIN + m / right * wide, 26 + high - v / top * high) for m, v in zip(minutes, values, strict=True)]
        points = " ".join(f"{px:.1f},{py:.1f}" for px, py in at)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        legend = f'x="{MARGIN + number * 62}" y="{26 + high + 28}"'
        parts.append(f'<text {legend} font-family="sans-serif" font-size="11" fill="{colour}">{name}</text>')
    return f'<g transform="translate({x},{y})">{"".join(parts)}</g>'
