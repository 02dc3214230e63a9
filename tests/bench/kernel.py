"""The kernel over a Parquet file, as training runs it. A process of its own, whose processor time is what counts.

The figure is per core, so it is events over processor seconds of all threads; the wall clock stands next to it.
"""

from __future__ import annotations

import json
import sys
import time

import pyarrow.parquet as pq

from weir.schemas.placeholders import BUILT_IN
from weir.streaming.core.backfill import backfill
from weir.streaming.core.warm_up import warm_up
from weir.streaming.kernels import shipped_kernel

_READ_ROWS = 100_000


def main() -> None:
    """Run over the file named first and write what it took as JSON."""
    warm_up(shipped_kernel())
    events = 0
    begun, cpu = time.perf_counter(), time.process_time()
    for batch, _ in backfill(
        shipped_kernel(), pq.ParquetFile(sys.argv[1]).iter_batches(_READ_ROWS), None, placeholders=BUILT_IN
    ):
        events += batch.num_rows
    # reading Parquet has threads of its own: what they take counts as well
    cpu_seconds, seconds = time.process_time() - cpu, time.perf_counter() - begun
    sys.stdout.write(json.dumps({"events": events, "cpu_seconds": cpu_seconds, "seconds": round(seconds, 2)}) + "\n")


if __name__ == "__main__":
    main()
