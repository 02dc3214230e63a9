"""``weir features list | docs | backfill``: the declared features, as a list, as a table, and over files of history.

What of ``weir features`` reads an archive or changes a view is in ``archive/features``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from weir.infra.arguments import Parser, add_stream_flag
from weir.infra.settings import load_settings
from weir.infra.user_files.door import add_flags, manner_of
from weir.infra.user_files.history import HistoryFiles, check_output, open_history
from weir.schemas.checks.declaration import find_faults
from weir.schemas.contracts import event_schemas, label_schemas
from weir.schemas.declarations_hash import with_placeholders
from weir.schemas.errors import Refused
from weir.schemas.placeholders import Placeholders
from weir.schemas.project import find_stream
from weir.schemas.stream import Stream
from weir.streaming.compiling import compile_kernel, tell_on_stderr
from weir.streaming.core.backfill import backfill
from weir.streaming.core.kernel import Kernel
from weir.streaming.core.layout import COUNTED
from weir.streaming.core.limits import refuse_faults
from weir.streaming.core.states import Computed
from weir.streaming.features_docs import format_docs, format_list
from weir.streaming.kernels import shipped_kernel

Actions: TypeAlias = "argparse._SubParsersAction[Parser]"


def run(arguments: argparse.Namespace) -> int:
    """List, document, or compute over files."""
    if arguments.action == "list":
        sys.stdout.write(_list(_find_stream(arguments.stream), as_json=arguments.json))
    elif arguments.action == "docs":
        sys.stdout.write(format_docs(_find_stream(arguments.stream)))
    else:
        compile_kernel(shipped_kernel(), tell_on_stderr)
        files = HistoryFiles(
            arguments.transactions,
            arguments.labels,
            manner_of(arguments, load_settings().placeholders),
            arguments.skip_bad,
        )
        counts = run_backfill(shipped_kernel(), files, arguments.out, arguments.partitions, replace=arguments.replace)
        width = len(shipped_kernel().stream.feature_names)
        sys.stdout.write(json.dumps(counts) + "\n" if arguments.json else _format_counts(counts, arguments.out, width))
    return 0


def _find_stream(name: str) -> Stream:
    """Return a stream that the kernel can compute: nothing is listed that never has a value."""
    stream = find_stream(Path.cwd(), name)
    labels = label_schemas(stream)
    findings = find_faults(stream, event_schemas(stream)[-1], labels[-1] if labels else None)
    if findings:  # in a shipped stream; a project's are refused when it is loaded
        raise Refused("\n".join(map(str, findings)))
    refuse_faults(stream)
    return stream


def build_parser() -> tuple[Parser, Actions]:
    """Return the parser of the verb, and what further actions are added to."""
    parser = Parser(prog="weir features", description="List, document, compute and change the declared features.")
    actions = parser.add_subparsers(dest="action", required=True)
    listing = actions.add_parser("list", help="name every feature and why it is there")
    listing.add_argument("--json", action="store_true", help="for machines")
    docs = actions.add_parser("docs", help="write the features' page on standard output")
    for action in (listing, docs):
        add_stream_flag(action)
    history = actions.add_parser("backfill", help="compute the features of history, as the stream would have")
    source = history.add_mutually_exclusive_group(required=True)
    source.add_argument("--transactions", type=Path, help="a file as publish takes it, in log order")
    archive = "`archive` for the archive of the settings, `log` for what Kafka has, or another's folder or URL"
    source.add_argument("--from", dest="archive", metavar="ARCHIVE", help=archive)
    history.add_argument("--labels", type=Path, help="a file of labels as publish takes it, in any order")
    history.add_argument("--out", type=Path, required=True, help="Parquet to write")
    history.add_argument("--replace", action="store_true", help="write over --out when it exists")
    history.add_argument("--skip-bad", action="store_true", help="leave bad rows out instead of computing nothing")
    history.add_argument("--partitions", type=int, default=1, help="keep state per input partition (default 1)")
    history.add_argument("--json", action="store_true", help="for machines")
    add_flags(history)
    add_stream_flag(history, names="with --from: the name of a stream, its file, or a project's folder")
    return parser, actions


def _list(stream: Stream, *, as_json: bool) -> str:
    declared_as = with_placeholders(stream.declarations_hash, load_settings().placeholders) if as_json else None
    return format_list(stream, declared_as)


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
    check_partitions(partitions)
    check_output(out, [path for path in (files.transactions, files.labels) if path is not None], replace=replace)
    with open_history(files) as history:
        placeholders = files.manner.placeholders
        steps = backfill(
            kernel, history.transactions(), history.labels, placeholders=placeholders, partitions=partitions
        )
        return write_features(out, build_output_schema(kernel.stream, placeholders), steps) | {"bad": history.bad}


def check_partitions(partitions: int) -> None:
    """Refuse a number of partitions below 1.

    Raises:
        Refused: it is.
    """
    if partitions < 1:
        raise Refused(f"expected --partitions >= 1, found {partitions}")


def write_features(out: Path, schema: pa.Schema, steps: Iterable[tuple[pa.RecordBatch, Computed]]) -> dict[str, int]:
    """Write what the kernel made of events as Parquet, whole or not at all.

    Args:
        out: the file.
        schema: columns of the events, ``late``, and features.
        steps: events, and what was computed of them.

    Returns:
        Rows read, written, left out as duplicates, and late.

    Raises:
        Refused: the output cannot be written.
    """
    counts = {"rows": 0, "written": 0, "duplicates": 0, "late": 0}
    with _written_whole(out) as partial, pq.ParquetWriter(partial, schema) as writer:
        for batch, step in steps:
            writer.write_table(_output(batch, step, schema))
            _count(counts, step)
    return counts


def build_output_schema(stream: Stream, placeholders: Placeholders, more: Iterable[pa.Field] = ()) -> pa.Schema:
    """Return the columns that are written: one row per counted event, null for a missing feature.

    The file's metadata has the hash of the declarations.

    Args:
        stream: whose features they are.
        placeholders: ids that name nobody in this deployment.
        more: columns of the events, next to id, key and time.
    """
    ids = [(stream.id, pa.string()), (stream.key.field, pa.string()), (stream.time, pa.int64())]
    features = [(name, pa.float32()) for name in stream.feature_names]
    declared_as = with_placeholders(stream.declarations_hash, placeholders)
    return pa.schema([*ids, *more, ("late", pa.bool_()), *features]).with_metadata({"declarations_hash": declared_as})


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


def _output(batch: pa.RecordBatch, step: Computed, schema: pa.Schema) -> pa.Table:
    keep = step.verdicts == COUNTED
    features = step.features[keep]
    rows = batch.filter(pa.array(keep))
    of_event = schema.names[: len(schema) - 1 - features.shape[1]]
    columns = [rows.column(name).cast(schema.field(name).type) for name in of_event]
    return pa.table([*columns, pa.array(step.late[keep]), *_nullable(features)], schema=schema)


def _nullable(features: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> Iterator[pa.Array]:
    for column in features.T:
        yield pa.array(column, mask=np.isnan(column))


def _count(counts: dict[str, int], step: Computed) -> None:
    written = int((step.verdicts == COUNTED).sum())
    counts["rows"] += len(step.verdicts)
    counts["written"] += written
    counts["duplicates"] += len(step.verdicts) - written
    counts["late"] += int(step.late.sum())


def _format_counts(counts: dict[str, int], out: Path, width: int) -> str:
    return (
        f"{counts['rows']} transactions: {counts['written']} rows of {width} features written to {out}, "
        f"{counts['duplicates']} duplicates and {counts['bad']} bad rows left out, {counts['late']} late\n"
    )
