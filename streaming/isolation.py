"""Decodes records one by one in processes that may end, to find those that end the process that decodes them.

A decoder is native code: bytes that it crashes or hangs on cannot be caught, and the record would end every processor
that reads its partition, for ever. Here each suspect is decoded where an end costs nothing, in order, and the child
says after each record that it is alive. The record at which it fell silent is tried once more, alone: a child can also
be ended by somebody else (an operator, a kernel short of memory), and that must not become a verdict.

The children come from a fork server, a process of its own that has only imported the decoder: forking a processor,
with its clients' threads, would be unsound. It starts with the first suspicion, so it normally does not exist.

Cost: a second for the fork server, some 20 ms for each child, and 0.5 ms for each record and each schema.
"""

from __future__ import annotations

import multiprocessing
import resource
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from weir.schemas.avro.codec import BatchCodec, WriterSchema
from weir.schemas.avro.framing import parse_frames
from weir.schemas.errors import PoisonRecord

ANSWER_SECONDS = 10.0
"""A record that is not decoded after this time hangs; sound ones take less than a millisecond."""
START_SECONDS = 60.0
END_SECONDS = 1.0
EXAMINE_SECONDS_MAX = 120.0
"""For all suspects of a batch together: meanwhile nothing is polled, and the group waits 300 s for that."""
_READY, _ALIVE = b"ready", b"."
_CONTEXT = multiprocessing.get_context("forkserver")


class _CannotStart(Exception):
    """No child could be started: that says nothing of any record."""


@dataclass
class Examined:
    """The outcome of an examination.

    Attributes:
        end: so many were examined, in order; for the others there was no time or no process.
        killers: position of each that ended its process twice, and how.
        obstacle: why no process could be started for the others, or ``""``.
    """

    end: int = 0
    killers: dict[int, str] = field(default_factory=dict)
    obstacle: str = ""


def examine(
    reader: str,
    values: Sequence[bytes | None],
    schema_of: Callable[[int], WriterSchema | PoisonRecord],
    *,
    deadline: float,
) -> Examined:
    """Decode values in children; at least the first one is examined, where a child can be started at all.

    Args:
        reader: the Avro schema, as JSON text, that the records are read by.
        values: as they stood in the log.
        schema_of: the writer's schema of an id.
        deadline: monotonic time after which the rest is left unexamined.

    Raises:
        Transient: the registry is unreachable.
    """
    # here and not on import: a process has one fork server, and others (a test's) may have theirs
    _CONTEXT.set_forkserver_preload([__name__])
    schemas = _find_schemas(values, schema_of)
    found = Examined()
    try:
        _examine_all(reader, values, schemas, found, deadline)
    except _CannotStart as error:
        found.obstacle = str(error)
    return found


def _examine_all(
    reader: str, values: Sequence[bytes | None], schemas: Mapping[int, WriterSchema], found: Examined, deadline: float
) -> None:
    while found.end < len(values) and (found.end == 0 or time.monotonic() < deadline):
        survived, _ = _decode_in_child(reader, values[found.end :], schemas, deadline=deadline)
        found.end += survived
        if found.end < len(values) and (found.end == 0 or time.monotonic() < deadline):
            survived, how = _decode_in_child(reader, values[found.end : found.end + 1], schemas)
            if not survived:
                found.killers[found.end] = how
            found.end += 1


def _find_schemas(
    values: Sequence[bytes | None], schema_of: Callable[[int], WriterSchema | PoisonRecord]
) -> dict[int, WriterSchema]:
    """Ask for every schema here: a child has no client of the registry. What has none reaches no decoder."""
    answers = {schema_id: schema_of(schema_id) for schema_id in sorted(set(parse_frames(values).schema_ids.tolist()))}
    return {schema_id: found for schema_id, found in answers.items() if isinstance(found, WriterSchema)}


def _decode_in_child(
    reader: str, values: Sequence[bytes | None], schemas: Mapping[int, WriterSchema], *, deadline: float | None = None
) -> tuple[int, str]:
    """Return how many values a child decoded before it fell silent, the time was up or all were done, and its end."""
    child, ours = _start(reader, values, schemas)
    with closing(ours):
        try:
            alive, said = 0, None
            while alive < len(values) and (said := _hear(ours, ANSWER_SECONDS)) == _ALIVE:
                alive += 1
                if deadline is not None and time.monotonic() > deadline:
                    break
            child.join(END_SECONDS)  # a child that ended is gone a moment after its pipe
            how = f"no answer within {ANSWER_SECONDS:.0f} s" if said is None else f"exit code {child.exitcode}"
        finally:
            _end(child)
    return alive, how


def _start(
    reader: str, values: Sequence[bytes | None], schemas: Mapping[int, WriterSchema]
) -> tuple[BaseProcess, Connection]:
    """Start a child and wait until it is ready; it has looked at none of the values yet."""
    try:
        ours, theirs = _CONTEXT.Pipe(duplex=False)
    except OSError as error:
        raise _CannotStart(f"no pipe: {error.strerror}") from None
    with closing(theirs):
        child = _CONTEXT.Process(target=decode_each, args=(reader, list(values), dict(schemas), theirs))
        try:
            child.start()
        except (OSError, EOFError, RuntimeError, ValueError) as error:  # no process, no memory, or no fork server
            ours.close()
            raise _CannotStart(f"{type(error).__name__}: {error}") from None
    if (said := _hear(ours, START_SECONDS)) != _READY:
        child.join(END_SECONDS)
        how = f"no answer within {START_SECONDS:.0f} s" if said is None else f"exit code {child.exitcode}"
        _end(child)
        ours.close()
        raise _CannotStart(f"it ended before it was ready: {how}")
    return child, ours


def _end(child: BaseProcess) -> None:
    child.kill()
    child.join()


def _hear(pipe: Connection, seconds: float) -> bytes | None:
    """Return what a child says, ``b""`` when it is gone, ``None`` when it is silent for so long."""
    try:
        return pipe.recv_bytes() if pipe.poll(seconds) else None
    except (EOFError, OSError):  # gone, or in the middle of a word
        return b""


def decode_each(
    reader: str, values: Sequence[bytes | None], schemas: Mapping[int, WriterSchema], report: Connection
) -> None:
    """Be the child: decode one by one and say after each that it was survived."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # what stops a service sends these to all of its processes: that says nothing of a record
        signal.signal(number, signal.SIG_IGN)
    # nobody is left to end a child that hangs when the processor itself is killed meanwhile
    seconds = int(EXAMINE_SECONDS_MAX + START_SECONDS)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    codec = BatchCodec(schema=reader)
    unknown = PoisonRecord("unknown_schema_id", "expected a registered schema id")
    # ready before any schema is looked at: one that ends its reader must be found by its record, as bytes are
    report.send_bytes(_READY)
    for value in values:
        codec.decode([value], lambda schema_id: schemas.get(schema_id, unknown))
        report.send_bytes(_ALIVE)
