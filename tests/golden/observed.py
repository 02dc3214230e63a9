"""What the product made of the logs, as named lists of lines: one line for each partial, row, verdict and decision."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from tests.golden.decided import decide
from tests.golden.log import Entry, build_log
from tests.golden.product import Row, Run, State, compute_history, names, schema_now
from tests.golden.records import decode, digest, parse_schema, without_added

PARTITIONS = {"one": 1, "three": 3}
_HISTORY_RECORDS = {"one": 1_000_000, "three": 900}
"""With several partitions history takes a call of the kernel for each second of event time."""
_OWN = ("transaction_", "card_")
"""Features that a card's own partition knows alone; the others are of entities that several partitions share."""
_SHOWN = 97
"""Every so-many-th row, partial and decision is kept whole, so that a difference can be looked at."""

Lines = dict[str, list[str]]


@cache
def take(log_name: str) -> Run:
    """Take one of the logs through the processor's inputs, once a process."""
    return Run(PARTITIONS[log_name]).take(build_log(PARTITIONS[log_name]))


def observe(log_name: str, schemas: Mapping[str, str]) -> Lines:
    """Take one of the logs through all of the product; rows and decisions are compared by these schemas."""
    partitions, run = PARTITIONS[log_name], take(log_name)
    log = build_log(partitions)
    now, kept = schema_now("features"), schemas["features"]
    rows = [Row(row.key, without_added("features", row.value, now, kept)) for row in run.rows]
    found = {
        "log": [_entry(entry) for entry in log],
        "verdicts": _verdicts(log, run, rows),
        "letters": [_letter(letter) for letter in run.letters],
        "rows": [f"{digest(row.key, row.value)}{_shown(n, row.value)}" for n, row in enumerate(rows)],
        "decisions": _decisions(run.rows, schemas["decisions"]),
    }
    found |= _state(run.state) | _features("features", _matrix(run.rows))
    found |= _history(log[: _HISTORY_RECORDS[log_name]], run, partitions)
    found["refolded partials"] = _state(run.refold(log))["partials"]
    return found


def _entry(entry: Entry) -> str:
    return f"{entry.topic} {entry.partition} {entry.offset} {entry.append_ms} {digest(entry.key, entry.value)}"


def _state(state: State) -> Lines:
    partials = sorted(state.partials.items())
    return {
        "partials": [f"{' '.join(at)} {digest(p)}{_shown(n, p)}" for n, (at, p) in enumerate(partials)],
        "known ids": [f"{unit} {digest(known)}" for unit, known in sorted(state.known.items())],
    }


def _verdicts(log: Sequence[Entry], run: Run, rows: Sequence[Row]) -> list[str]:
    schema = parse_schema(schema_now("features"))
    late = {
        ("transactions", row["source_partition"], row["source_offset"]): "counted late"
        for row in (decode(each.value, schema) for each in run.rows)
        if row["late"]
    }
    assert len(run.rows) == len(rows)
    return [f"{e[0]} {e[1]} {e[2]} {run.verdicts.get(e[:3]) or late.get(e[:3], 'counted')}" for e in log]


def _letter(letter: Any) -> str:
    partition = "-" if letter.partition is None else letter.partition
    return f"{letter.topic} {partition} {digest(letter.key, letter.value)}"


def _matrix(rows: Sequence[Row]) -> np.ndarray:
    """Return the features of published rows, float32, NaN where they are null."""
    schema = parse_schema(schema_now("features"))
    decoded = [decode(row.value, schema) for row in rows]
    values = [[np.nan if row[name] is None else row[name] for name in names()] for row in decoded]
    return np.array(values, np.float32)


def _features(title: str, matrix: np.ndarray) -> Lines:
    """Cut a matrix into what is a partition's own and what is shared; a digest of each row and of each column."""
    own = np.array([name.startswith(_OWN) for name in names()])
    found: Lines = {}
    for part, columns in (("own", np.flatnonzero(own)), ("shared", np.flatnonzero(~own))):
        chosen = np.ascontiguousarray(matrix[:, columns]).astype("<f4")
        by_column = [f"{names()[c]} {digest(chosen[:, n].tobytes())}" for n, c in enumerate(columns)]
        by_row = [f"{digest(row.tobytes())}{_shown(n, row.tobytes())}" for n, row in enumerate(chosen)]
        found[f"{title}.{part}"] = by_column + by_row
    return found


def _history(log: Sequence[Entry], run: Run, partitions: int) -> Lines:
    refused = [at for at, verdict in run.verdicts.items() if not verdict.startswith("deduplicate")]
    done = compute_history(log, refused, partitions=partitions)
    marks = [f"{verdict} {late:d}" for verdict, late in zip(done.verdicts.tolist(), done.late.tolist(), strict=True)]
    counted = done.features[done.verdicts == 0]
    return {"history verdicts": marks} | _features("history", counted)


def _decisions(rows: Sequence[Row], kept: str) -> list[str]:
    """Every field is in the digest; the clock stands still, so the time of the decision is too."""
    now, lines = schema_now("decisions"), []
    for number, (row, headers) in enumerate(decide(rows)):
        value = without_added("decisions", row.value, now, kept)
        flat = [part for name, content in headers for part in (name.encode(), content)]
        shown = decode(value, parse_schema(kept)) if number % _SHOWN == 0 else None
        lines.append(f"{digest(row.key, value, *flat)}{'' if shown is None else ' ' + json.dumps(shown)}")
    return lines


def _shown(number: int, value: bytes) -> str:
    return f" {value.hex()}" if number % _SHOWN == 0 else ""


def differences(kept: Iterable[str], found: Iterable[str]) -> list[str]:
    """Return what differs, place by place."""
    before, after = list(kept), list(found)
    longer = max(len(before), len(after))
    pairs = zip(before + [""] * (longer - len(before)), after + [""] * (longer - len(after)), strict=True)
    return [f"{n}: kept {was[:300]!r}, found {now[:300]!r}" for n, (was, now) in enumerate(pairs) if was != now]
