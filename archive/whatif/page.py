"""A trial as one HTML page: plots, then the tables of the terminal. It needs no network and runs no script. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

from rich.table import Table

from weir.archive.whatif.figures import SHARES
from weir.archive.whatif.plots import draw_bars, draw_lines
from weir.archive.whatif.show import Document, build_tables
from weir.inference.core.decisions import OUTCOMES

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = (
    "body{font:14px sans-serif;margin:2em;max-width:1100px}table{border-collapse:collapse;margin:1em 0}"
    "td,th{border:1px solid #ccc;padding:3px 8px;text-align:left;overflow-wrap:anywhere}caption{text-align:left;"
    "font-weight:bold;padding:4px 0}.fault{color:#b00020;font-weight:bold}svg{display:block;margin:1.5em 0}"
)


def build_page(document: Document, faults: Iterable[str], *, title: str, event: str) -> str:
    """Return the page.

    Args:
        document: of the trial.
        faults: why its exit code is 1.
        title: says what was tried.
        event: of the stream, in one word.
    """
    said = [f'<p class="fault">{escape(line)}</p>' for line in faults]
    said += [f"<p>{escape(line)}</p>" for line in document["notes"]]
    tables = [_write_table(table) for table in build_tables(document, event=event)]
    head = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><style>{_STYLE}</style></head><body>'
    )
    return "\n".join([head, f"<h1>{escape(title)}</h1>", *said, *_draw(document), *tables, "</body></html>", ""])


def _draw(document: Document) -> Iterator[str]:
    rows = max(1, document["judged"])
    shares = {name: tuple(100 * document[side][name] / rows for side in ("decided", "would_be")) for name in OUTCOMES}
    yield draw_bars("decisions, share of all", {name: (one, other) for name, (one, other) in shares.items()}, unit=" %")
    figures = document["figures"]
    if figures:
        pairs = {name: (figures["decided"][name], figures["would_be"][name]) for name in SHARES}
        known = {name.replace("_", " "): (100 * was, 100 * now) for name, (was, now) in pairs.items()
                 if was is not None and now is not None}  # fmt: skip
        yield draw_bars("of events whose labels have matured", known, unit=" %")
    days = document["days"]
    if len(days) > 1:
        was, now = ([100 * of["declined"][side] / of["rows"] for of in days.values()] for side in
                    ("decided", "would_be"))  # fmt: skip
        yield draw_lines("share declined, by day", list(days), was, now)
    if document["rules"]:
        held = {each["name"]: (each["hits"], each["decides"]) for each in document["rules"][:20]}
        yield draw_bars("rules: events that fulfil them, and events that they would decide", held)


def _write_table(table: Table) -> str:
    columns = [[escape(str(value)) for value in column.cells] for column in table.columns]
    heads = "".join(f"<th>{escape(str(column.header))}</th>" for column in table.columns)
    rows = "".join(f"<tr>{''.join(f'<td>{value}</td>' for value in row)}</tr>" for row in zip(*columns, strict=True))
    caption = f"<caption>{escape(str(table.title))}</caption>" if table.title else ""
    return f"<table>{caption}<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
