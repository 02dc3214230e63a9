"""``weir features diff OLD NEW``: what other declarations would have made of the same events, value by value.

Both are computed over the whole archive, by the kernel that runs in the stream. Nothing that runs is touched.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from weir.archive.features.declarations import find_declared
from weir.archive.features.effect import Effect, find_effect
from weir.archive.features.figures import QUANTILES, Compared, compare
from weir.archive.features.history import Snapshot
from weir.archive.features.side_by_side import Computed, Pair
from weir.archive.features.source import open_archive
from weir.monitoring.terminal import build_table, print_line, print_tables
from weir.schemas.errors import Refused
from weir.schemas.printable import to_json

Document = dict[str, Any]


def run_diff(arguments: argparse.Namespace) -> int:
    """Compare and show. Exit codes: 0 every feature that both declare has the same values, 1 some differ.

    Raises:
        Refused: the declarations are not of one stream, or no event counts by both.
        Transient: the store, or for the log the brokers, cannot be read.
    """
    old, new = (find_declared(each, arguments.stream) for each in (arguments.old, arguments.new))
    topics = [each.settings.topics.transactions for each in (old, new)]
    if topics[0] != topics[1]:
        raise Refused(
            f"expected two declarations of one stream, found topics {topics[0]} and {topics[1]}; the `name` in "
            "weir.toml is part of a topic's"
        )
    with open_archive(arguments.archive, old.settings) as root, tempfile.TemporaryDirectory(prefix="weir-") as folder:
        archive = Snapshot(root)  # both see the same events, whatever an archiver adds meanwhile
        sides = [Computed(each, archive, Path(folder) / f"{number}.parquet") for number, each in enumerate((old, new))]
        pair = Pair(*sides)
        if not pair.rows:
            raise Refused(f"expected events that count by both declarations, found none of {sides[0].counts['rows']}")
        document = build_document(pair)
    if arguments.json:
        sys.stdout.write(to_json(document, indent=2) + "\n")
    else:
        print_tables(build_tables(document))
        for line in document["notes"]:
            print_line(line)
    return 1 if document["different"] else 0


def build_document(pair: Pair) -> Document:
    """Return a comparison as JSON holds it."""
    old, new = pair.old.declared, pair.new.declared
    was, now = old.stream.feature_names, new.stream.feature_names
    compared = {name: compare(*pair.read(name)) for name in pair.common}
    effect = find_effect(pair)
    document = {
        "stream": new.stream.name,
        "old": {"named": old.named, "hash": old.hash, "features": len(was)} | pair.old.counts,
        "new": {"named": new.named, "hash": new.hash, "features": len(now)} | pair.new.counts,
        "rows": pair.rows,
        "added": {name: _describe_values(pair, name) for name in now if name not in was},
        "removed": [name for name in was if name not in now],
        "features": {name: _describe(each) for name, each in compared.items()},
        "different": [name for name, each in compared.items() if not each.is_same],
        "effect": asdict(effect) | {"scores": _describe(effect.scores)} if isinstance(effect, Effect) else None,
    }
    return document | {"notes": list(_list_notes(document, effect))}


def _describe(each: Compared) -> Document:
    quantiles = dict(zip(_quantile_names(), each.differences, strict=True)) if each.differences else None
    return {"equal": each.equal, "missing": list(each.missing), "differences": quantiles, "psi": each.psi}


def _describe_values(pair: Pair, name: str) -> Document:
    values = pair.new.read(name)
    known = values[~np.isnan(values)]
    quantiles = np.quantile(known, QUANTILES).tolist() if len(known) else []
    missing = 1 - len(known) / len(values) if len(values) else None
    return {"missing": missing, "values": dict(zip(_quantile_names(), quantiles, strict=True)) if quantiles else None}


def _quantile_names() -> list[str]:
    return ["max" if each == 1.0 else f"p{each * 100:g}" for each in QUANTILES]


def _list_notes(document: Mapping[str, Any], effect: Effect | str) -> Iterator[str]:
    for side in ("old", "new"):
        alone = document[side]["written"] - document["rows"]
        if alone:
            yield f"{alone:,} events count by the {side} declarations alone and are not compared"
    same = len(document["features"]) - len(document["different"])
    yield f"{same} of {len(document['features'])} features that both declare have the same value in every row"
    if document["removed"]:
        yield f"removed: {', '.join(document['removed'])}"
    if isinstance(effect, str):
        yield effect
        return
    flips = ", ".join(f"{count:,} {flip}" for flip, count in effect.flips.items()) or "none comes out otherwise"
    yield f"decisions by the score of {effect.model} alone: {flips}"


def build_tables(document: Mapping[str, Any]) -> list[Table]:
    """Return the tables of a comparison: what differs, and what is added."""
    old, new = document["old"], document["new"]
    title = f"{document['stream']}: {old['hash']} -> {new['hash']}, {document['rows']:,} rows"
    rows = [(name, *_cells(document["features"][name])) for name in document["different"]]
    if document["effect"]:
        rows.append((f"score of {document['effect']['model']}", *_cells(document["effect"]["scores"])))
    columns = ["differs", "equal", "missing old", "new", *(f"|diff| {each}" for each in _quantile_names()), "PSI"]
    tables = [build_table(columns, rows, title=title)]
    if document["added"]:
        added = [(name, _percent(of["missing"]), *_numbers(of["values"])) for name, of in document["added"].items()]
        tables.append(build_table(["added", "missing", *_quantile_names()], added))
    return tables


def _cells(of: Mapping[str, Any]) -> list[str | None]:
    psi = None if of["psi"] is None else f"{of['psi']:.3f}"
    return [_percent(of["equal"]), *map(_percent, of["missing"]), *_numbers(of["differences"]), psi]


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{share:.2%}"


def _numbers(quantiles: Mapping[str, float] | None) -> list[str | None]:
    return [f"{each:.4g}" for each in quantiles.values()] if quantiles else [None] * len(QUANTILES)
