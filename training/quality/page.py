"""The days' quality as one HTML page: a plot of each figure, and the table. It needs no network, and runs no script."""

from __future__ import annotations

from html import escape
from typing import Any, Final

from rich.table import Table

from weir.schemas.currencies import BASE_CURRENCY
from weir.training.quality.view import FIGURES, MONEY, build_quality_table, say_terms

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE: Final = (
    "body{font:14px sans-serif;margin:2em;max-width:1100px}table{border-collapse:collapse;margin:1em 0}"
    "td,th{border:1px solid #ccc;padding:3px 8px;text-align:left}svg{display:block;margin:1.5em 0}"
)
_WIDTH, _TOP, _BOTTOM, _HEIGHT = 760, 30, 150, 180


def build_page(document: dict[str, Any], *, title: str) -> str:
    """Return one HTML page: a plot of each figure, and the table. It needs no network and runs no script."""
    table = build_quality_table(document)
    head = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><style>{_STYLE}</style></head><body>'
    )
    said = f"<h1>{escape(title)}</h1><p>{escape(say_terms(document))}.</p>"
    plots = [_draw(document, name) for name in FIGURES]
    return "\n".join([head, said, *plots, _write_table(table), "</body></html>", ""])


def _draw(document: dict[str, Any], name: str) -> str:
    """Return a line of one figure over the days, oldest first, with its interval as bars."""
    days = document["days"][::-1]
    known = [(place, each[name]) for place, each in enumerate(days) if each[name] is not None]
    highest = max([1e-12, *(figure["high"] for _, figure in known)])
    unit = 100.0 if name != MONEY else 0.01
    step = (_WIDTH - 120) / max(1, len(days) - 1)

    def at(value: float) -> float:
        return float(_BOTTOM - value / highest * (_BOTTOM - _TOP))

    bars = [
        f'<line x1="{90 + place * step:.1f}" x2="{90 + place * step:.1f}" y1="{at(figure["low"]):.1f}" '
        f'y2="{at(figure["high"]):.1f}" stroke="#8a8f98" stroke-width="3"/>'
        for place, figure in known
    ]
    points = " ".join(f"{90 + place * step:.1f},{at(figure['estimate']):.1f}" for place, figure in known)
    ends = [(90, days[0]["day"]), (_WIDTH - 110, days[-1]["day"])] if days else []
    texts = [f'<text x="{x}" y="{_BOTTOM + 20}">{day}</text>' for x, day in ends]
    label = f"{highest * unit:,.3g}{' %' if name != MONEY else ' ' + BASE_CURRENCY}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" font-family="sans-serif" font-size="12"><text x="0" y="16" font-weight="bold">'
        f'{name.replace("_", " ")}</text><text x="0" y="{_TOP + 12}">{label}</text>'
        f'<line x1="85" x2="{_WIDTH - 20}" y1="{_BOTTOM}" y2="{_BOTTOM}" stroke="#ccc"/>{"".join(bars)}'
        f'<polyline points="{points}" fill="none" stroke="#1f6feb" stroke-width="2"/>{"".join(texts)}</svg>'
    )  # fmt: skip


def _write_table(table: Table) -> str:
    columns = [[escape(str(value)) for value in column.cells] for column in table.columns]
    heads = "".join(f"<th>{escape(str(column.header))}</th>" for column in table.columns)
    rows = "".join(f"<tr>{''.join(f'<td>{value}</td>' for value in row)}</tr>" for row in zip(*columns, strict=True))
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
