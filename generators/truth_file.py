"""The simulator's truth as a file, to compare decisions with: Parquet, or JSON lines that can be read live.

A block's truth is written before its first record is sent, so the file covers at least what was sent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from weir.generators.events import TRUTH_SCHEMA

WriteTruth = Callable[[pa.RecordBatch], None]


@contextmanager
def open_truth(path: Path | None) -> Iterator[WriteTruth]:
    """Open a truth file and give what appends rows of ``TRUTH_SCHEMA`` to it.

    Args:
        path: Parquet when the name ends in ``.parquet``, else JSON lines; ``None`` writes nothing.
    """
    if path is None:
        yield lambda _: None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        with pq.ParquetWriter(path, TRUTH_SCHEMA, compression="zstd") as writer:
            yield writer.write_batch
        return
    with path.open("w", encoding="utf-8") as stream:

        def write_lines(truth: pa.RecordBatch) -> None:
            stream.writelines(json.dumps(row) + "\n" for row in truth.to_pylist())
            stream.flush()

        yield write_lines
