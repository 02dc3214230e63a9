"""``weir features list | docs | backfill``: the declared features, as a list, as a table, and over history."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from weir.infra.arguments import Parser
from weir.infra.settings import load_settings
from weir.infra.user_files.door import add_flags, manner_of
from weir.infra.user_files.history import HistoryFiles, check_output, open_history
from weir.schemas.errors import Refused
from weir.schemas.features import ENTITIES, FEATURE_NAMES, FEATURES, Feature, declarations_hash
from weir.streaming.compiling import compile_kernel, tell_on_stderr
from weir.streaming.core.backfill import backfill
from weir.streaming.core.kernel import Kernel
from weir.streaming.core.layout import COUNTED
from weir.streaming.core.states import Computed
from weir.streaming.shipped import shipped_kernel

OUTPUT_SCHEMA = pa.schema(
    [("transaction_id", pa.string()), ("card_id", pa.string()), ("event_time_ms", pa.int64()), ("late", pa.bool_())]
    + [(name, pa.float32()) for name in FEATURE_NAMES]
)
"""One row per counted transaction; a missing feature is null. The file's metadata has the declarations' hash."""


_DOCS_HEAD = """\
# Features

Generated from `schemas/streams/payments.py` by `weir features docs > docs/features.md`; a test holds the two equal.
Amounts are in base minor units.

A window is event time, `(t - window, t]`, evaluated at each event and including it.
A window that is *held* ends before the event: `(t - hold - window, t - hold]`.
Windows are of payments, except those of measure `refund`; at a refund, they are of the payments before it.

A device, address, customer or merchant id that names nobody, such as `null`, `unknown`, `N/A` or `0.0.0.0`, is as null:
its features are missing, it is no distinct or new value, and no payments are joined by it. `schemas/placeholders.py`
has the list, and `WEIR_PLACEHOLDER_IDS` adds to it. As the id of a card or a transaction it is refused.

What a window counts is exact up to K events, and beyond that at most one pane (a thirtieth of the window) too much:

- Each entity keeps its newest K events as they are (K: {recent}), per input partition; older ones are kept by pane.
- A window is exact if at most K events of the entity are younger than its start less one pane.
  So a 30-day window wants at most K events in 31 days.
- Beyond, the pane that holds the window's start counts whole: events of up to `window / 30` before the start are
  counted too, never one too few. Smallest, largest, mean, ratio and age are over the same events.
  Distinct values are then estimated from 256 bits: a few percent up to some 200 values, at most 1,597.
- A payment that arrives out of order sees the pane of its own time whole, with events up to `window / 30` after it.
  So does the end of a held window, which lies inside a pane.
- An hour-long window forgets by its own panes of two minutes, a 30-day window by panes of a day.

Label risk is the fraud share of labelled transactions, by the transactions' own time, held back seven days.
It is kept by pane alone: it looks at the 30 whole panes that end at or before `t - 7d`.
So it spans a whole window that ends up to one pane before `t - 7d`: up to 48 minutes for 1d, 5.6 hours for 7d, a day
for 30d.
A payment that is older than the merchant's or device's newest labelled transaction may miss panes at the start.

How large the errors are on a realistic stream is in `docs/results/windows.md`.

"""


def main(argv: list[str]) -> int:
    """Run ``weir features``; ``argv[0]`` is the verb."""
    arguments = _build_parser().parse_args(argv[1:])
    kernel = shipped_kernel()  # what cannot be computed is refused before anything is listed
    if arguments.action == "list":
        sys.stdout.write(format_list(load_settings().declarations_hash if arguments.json else None))
    elif arguments.action == "docs":
        sys.stdout.write(format_docs())
    else:
        compile_kernel(kernel, tell_on_stderr)
        files = HistoryFiles(
            arguments.transactions,
            arguments.labels,
            manner_of(arguments, load_settings().placeholders),
            arguments.skip_bad,
        )
        counts = run_backfill(kernel, files, arguments.out, arguments.partitions, replace=arguments.replace)
        sys.stdout.write(json.dumps(counts) + "\n" if arguments.json else _format_counts(counts, arguments.out))
    return 0


def _build_parser() -> argparse.ArgumentParser:
    parser = Parser(prog="weir features", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    listing = actions.add_parser("list", help="name every feature and why it is there")
    listing.add_argument("--json", action="store_true", help="for machines")
    actions.add_parser("docs", help="write docs/features.md on standard output")
    history = actions.add_parser("backfill", help="compute the features of history, as the stream would have")
    history.add_argument("--transactions", type=Path, required=True, help="a file as publish takes it, in log order")
    history.add_argument("--labels", type=Path, help="a file of labels as publish takes it, in any order")
    history.add_argument("--out", type=Path, required=True, help="Parquet to write")
    history.add_argument("--replace", action="store_true", help="write over --out when it exists")
    history.add_argument("--skip-bad", action="store_true", help="leave bad rows out instead of computing nothing")
    history.add_argument("--partitions", type=int, default=1, help="keep state per input partition (default 1)")
    history.add_argument("--json", action="store_true", help="for machines")
    add_flags(history)
    return parser


def describe(feature: Feature) -> dict[str, str | int]:
    """Return one feature's declaration as text."""
    return {
        "name": feature.name,
        "entity": str(feature.entity),
        "measure": feature.measure,
        "aggregate": str(feature.aggregate),
        "window": feature.window,
        "hold_days": feature.hold,
        "why": feature.why,
    }


def format_list(declared_as: str | None = None) -> str:
    """List the features, one per line, or as one JSON document with the hash of the declarations that is given."""
    if declared_as:
        document = {"declarations_hash": declared_as, "features": [describe(feature) for feature in FEATURES]}
        return json.dumps(document) + "\n"
    width = max(map(len, FEATURE_NAMES))
    return "".join(f"{feature.name:<{width}}  {feature.why}\n" for feature in FEATURES)


def format_docs() -> str:
    """Return ``docs/features.md``: what a window is, and the features as a Markdown table.

    >>> format_docs().splitlines()[0]
    '# Features'
    """
    rows = ["| feature | entity | aggregate | window | why |", "|---|---|---|---|---|"]
    for feature in FEATURES:
        held = f", held {feature.hold}d" if feature.hold else ""
        cells = (
            f"`{feature.name}`",
            feature.entity,
            feature.aggregate,
            f"{feature.window or 'none'}{held}",
            feature.why,
        )
        rows.append(f"| {' | '.join(cells)} |")
    recent = ", ".join(f"{spec.entity} {spec.recent}" for spec in ENTITIES)
    return _DOCS_HEAD.format(recent=recent) + "\n".join(rows) + "\n"


def run_backfill(
    kernel: Kernel, files: HistoryFiles, out: Path, partitions: int, *, replace: bool = False
) -> dict[str, int]:
    """Compute the features of a file of transactions and write them next to their ids.

    Args:
        kernel: of their stream.
        files: what is read, and how.
        out: written whole or not at all.
        partitions: number of input partitions to keep state for, 1 or more.
        replace: whether a file that is there already may go.

    Returns:
        Rows read, written, left out as duplicates, late, and bad.

    Raises:
        Refused: a file cannot be taken, the output may not be written, or the number of partitions is below 1.
        WeirError: rows are bad and may not be left out.
    """
    if partitions < 1:
        raise Refused(f"expected --partitions >= 1, found {partitions}")
    check_output(out, [path for path in (files.transactions, files.labels) if path is not None], replace=replace)
    with open_history(files) as history, _written_whole(out) as partial:
        counts = {"rows": 0, "written": 0, "duplicates": 0, "late": 0, "bad": history.bad}
        placeholders = files.manner.placeholders
        schema = OUTPUT_SCHEMA.with_metadata({"declarations_hash": declarations_hash(placeholders)})
        with pq.ParquetWriter(partial, schema) as writer:
            for batch, step in backfill(
                kernel, history.transactions(), history.labels, placeholders=placeholders, partitions=partitions
            ):
                writer.write_table(_output(batch, step))
                _count(counts, step)
    return counts


@contextmanager
def _written_whole(out: Path) -> Iterator[Path]:
    """Give a path to write to; what is there at the end takes the output's place, after an error nothing does."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent) as folder:
            yield Path(folder) / out.name
            (Path(folder) / out.name).replace(out)
    except OSError as error:
        raise Refused(f"expected to write {out}, found: {(error.strerror or str(error)).lower()}") from error


def _output(batch: pa.RecordBatch, step: Computed) -> pa.Table:
    keep = step.verdicts == COUNTED
    features = step.features[keep]
    rows = batch.filter(pa.array(keep))
    columns = [rows.column(name).cast(OUTPUT_SCHEMA.field(name).type) for name in OUTPUT_SCHEMA.names[:3]]
    return pa.table([*columns, pa.array(step.late[keep]), *_nullable(features)], schema=OUTPUT_SCHEMA)


def _nullable(features: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> Iterator[pa.Array]:
    for column in features.T:
        yield pa.array(column, mask=np.isnan(column))


def _count(counts: dict[str, int], step: Computed) -> None:
    written = int((step.verdicts == COUNTED).sum())
    counts["rows"] += len(step.verdicts)
    counts["written"] += written
    counts["duplicates"] += len(step.verdicts) - written
    counts["late"] += int(step.late.sum())


def _format_counts(counts: dict[str, int], out: Path) -> str:
    return (
        f"{counts['rows']} transactions: {counts['written']} rows of {len(FEATURE_NAMES)} features written to {out}, "
        f"{counts['duplicates']} duplicates and {counts['bad']} bad rows left out, {counts['late']} late\n"
    )
