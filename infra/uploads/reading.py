"""The rows of an uploaded file, read as ``weir publish`` reads them, in a process of their own.

Reading holds the interpreter for seconds, and a file is whatever a client made. In the process that answers requests
both would be felt by all of them; a child of low priority that dies of a file fails that upload alone.

What it writes is an Arrow stream in the order of the file: the fields of an event, the line that it starts on, and why
a row is no event.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow as pa

from weir.infra.uploads.job import Form
from weir.infra.user_files.blocks import Block
from weir.infra.user_files.checker import Checker
from weir.infra.user_files.plan import Plan, arrow_schema, plain_plan
from weir.infra.user_files.sources import open_source
from weir.infra.user_files.tables import Reading, open_table
from weir.schemas.errors import PoisonRecord, Refused
from weir.schemas.placeholders import BUILT_IN
from weir.schemas.records.validation import describe_unquoted
from weir.schemas.stream import Stream

LINE, ERROR = "$line", "$error"
"""Columns of ours, whose names no field can have."""
_NICE: Final = 10
_POLL_SECONDS: Final = 0.05
_GZIP: Final = b"\x1f\x8b"
_KIND: Final = "transactions"
_NO_ROW: Final = "malformed_line"
_DIED = "expected the file to be read, found that the process that reads it ended"


class ToRead(NamedTuple):
    """A file to be read.

    Attributes:
        events: the file.
        rows: where its rows are written.
        rows_max: that it may hold.
    """

    events: Path
    form: Form
    stream: Stream
    rows: Path
    rows_max: int


async def read_in_child(wanted: ToRead) -> int:
    """Read a file, and return how many rows it has; cancelled, nothing of it stays under way.

    Raises:
        Refused: the file cannot be taken; the message says why.
    """
    context = get_context("spawn")  # a fork of a process with threads may hold a lock that nobody frees
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_tell, args=(theirs, wanted), name="upload", daemon=True)
    with ours:
        process.start()
        theirs.close()
        try:
            while not ours.poll():
                await asyncio.sleep(_POLL_SECONDS)
            found: int | str = ours.recv()
        except EOFError:
            raise Refused(_DIED) from None
        finally:
            process.kill()
            process.join()
    if isinstance(found, str):
        raise Refused(found)
    return found


def _tell(connection: Connection, wanted: ToRead) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the parent too, who ends us
    os.nice(_NICE)
    try:
        connection.send(read_rows(wanted))
    except Refused as error:
        connection.send(str(error))


def read_rows(wanted: ToRead) -> int:
    """Write the rows of a file, and return how many there are.

    Raises:
        Refused: the file as a whole cannot be taken.
    """
    with wanted.events.open("rb") as file:
        if file.read(len(_GZIP)) == _GZIP:
            raise Refused("expected the file as it is, found one packed by gzip; unpack it first")
    plan = plain_plan(_KIND, wanted.stream)
    with open_source(wanted.events, form=wanted.form) as source:
        table = open_table(source, Reading())
        checker = Checker(source, table, plan, BUILT_IN, lambda *_: None, lambda: 0)
        # as many as one too many are judged: the next loop refuses them
        checker.stopped = lambda: _count(checker) > wanted.rows_max
        checker.judge()
        names = [name for name in plan.sources if name in table.names]
        return _write(table.blocks(names), plan, wanted)


def _count(checker: Checker) -> int:
    outcome = checker.outcome
    return outcome.lines - outcome.header - outcome.blank - outcome.continued


def _write(blocks: Iterator[Block], plan: Plan, wanted: ToRead) -> int:
    schema = build_schema(wanted.stream)
    count = 0
    with pa.OSFile(str(wanted.rows), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
        for block in blocks:
            batch = _build(block, plan, schema)
            count += batch.num_rows
            if count > wanted.rows_max:
                raise Refused(f"expected at most {wanted.rows_max:,} rows, found more; send them in several files")
            writer.write_batch(batch)
            if block.broken or block.lost:
                raise Refused(block.broken or f"the file cannot be read after row {count}")
    if not count:
        raise Refused("expected rows below the header, found none")
    return count


def build_schema(stream: Stream) -> pa.Schema:
    """Return the schema of the rows: every field may be missing, where a row is no event."""
    fields = [pa.field(field.name, field.type) for field in arrow_schema(_KIND, stream)]
    return pa.schema([*fields, pa.field(LINE, pa.int64()), pa.field(ERROR, pa.string())])


def _build(block: Block, plan: Plan, schema: pa.Schema) -> pa.RecordBatch:
    """Return a block in the order of the file, rows that do not split in their places."""
    filled = plan.fill(block)
    errors: dict[int, PoisonRecord] = {}
    for converted in filled.values():
        for row, error in converted.errors.items():
            errors.setdefault(row, error)
    ordered: list[tuple[int, int | None, PoisonRecord | None]] = sorted(
        [
            *((number, row, errors.get(row)) for row, number in enumerate(block.numbers)),
            *((number, None, error) for number, error in block.bad),
        ],
        key=lambda each: each[0],
    )
    places = pa.array([row for _, row, _ in ordered], pa.int64())
    columns = [filled[name].values.take(places) for name in plan.recipes]
    lines = pa.array([number for number, _, _ in ordered], pa.int64())
    said = pa.array([None if error is None else _say(error) for _, _, error in ordered], pa.string())
    return pa.RecordBatch.from_arrays([*columns, lines, said], schema=schema)


def _say(error: PoisonRecord) -> str:
    """Return why a row is no event, as ``POST /v1/score`` says it: the field, and never its value."""
    if error.reason == _NO_ROW:  # which counts cells, and quotes none
        return str(error)
    return f"{error.field or '$'}: {describe_unquoted(error)}"
