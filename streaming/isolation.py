"""Decodes records one by one in processes that may end, to find those that end the process that decodes them.

A decoder is native code: bytes that it crashes or hangs on cannot be caught, and the record would end every processor
that reads its partition, for ever. Here each suspect is decoded where an end costs nothing, in order, and the child
says after each record that it is alive. The record at which it fell silent is tried once more, alone: a child can also
be ended by somebody else (an operator, a kernel short of memory), and that must not become a verdict.

The children come from a fork server, a process of its own that has only imported the decoder: forking a processor,
with its clients' threads, would be unsound. It starts with the first suspicion, so it normally does not exist.

Cost: a second for the fork server, some 20 ms for each child and 0.5 ms for each record.
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

from schemas.codec import BatchCodec, WriterSchema
from schemas.errors import PoisonRecord, WeirError
from schemas.framing import MAGIC_BYTE, parse_frames

ANSWER_SECONDS = 10.0
"""A record that is not decoded after this time hangs; sound ones take less than a millisecond."""
START_SECONDS = 60.0
END_SECONDS = 1.0
EXAMINE_SECONDS_MAX = 120.0
"""For all suspects of a batch together: meanwhile nothing is polled, and the group waits 300 s for that."""
_READY, _ALIVE = b"ready", b"."
_CONTEXT = multiprocessing.get_context("forkserver")


@dataclass
class Examined:
    """What became of some values.

    Attributes:
        end: so many were examined, in order; the time was up for the others.
        killers: position of each that ended its process twice, and how.
    """

    end: int = 0
    killers: dict[int, str] = field(default_factory=dict)


def examine(
    kind: str,
    values: Sequence[bytes | None],
    schema_of: Callable[[int], WriterSchema | PoisonRecord],
    *,
    deadline: float,
) -> Examined:
    """Decode values in children; at least the first one is examined.

    Args:
        kind: of the records, as for ``BatchCodec``.
        values: as they stood in the log.
        schema_of: the writer's schema of an id.
        deadline: monotonic time after which the rest is left unexamined.

    Raises:
        Transient: the registry is away.
        WeirError: no child can be started, so nothing is known of any record.
    """
    # here and not on import: a process has one fork server, and others (a test's) may have theirs
    _CONTEXT.set_forkserver_preload([__name__])
    schemas = _find_schemas(values, schema_of)
    found = Examined()
    while found.end < len(values) and (found.end == 0 or time.monotonic() < deadline):
        survived, _ = _decode_in_child(kind, values[found.end :], schemas, deadline=deadline)
        found.end += survived
        if found.end < len(values) and (found.end == 0 or time.monotonic() < deadline):
            survived, how = _decode_in_child(kind, values[found.end : found.end + 1], schemas)
            if not survived:
                found.killers[found.end] = how
            found.end += 1
    return found


def _find_schemas(
    values: Sequence[bytes | None], schema_of: Callable[[int], WriterSchema | PoisonRecord]
) -> dict[int, WriterSchema]:
    """Ask for every schema here: a child has no client of the registry. What has none reaches no decoder."""
    answers = {schema_id: schema_of(schema_id) for schema_id in sorted(set(parse_frames(values).schema_ids.tolist()))}
    return {schema_id: found for schema_id, found in answers.items() if isinstance(found, WriterSchema)}


def _decode_in_child(
    kind: str, values: Sequence[bytes | None], schemas: Mapping[int, WriterSchema], *, deadline: float | None = None
) -> tuple[int, str]:
    """Return how many values a child decoded before it fell silent, the time was up or all were done, and its end."""
    ours, theirs = _CONTEXT.Pipe(duplex=False)
    with closing(ours):
        child = _CONTEXT.Process(target=decode_each, args=(kind, list(values), dict(schemas), theirs))
        child.start()
        theirs.close()
        try:
            if _hear(ours, START_SECONDS) != _READY:
                raise WeirError("a process that decodes suspect records could not be started; its log is above")
            alive, said = 0, None
            while alive < len(values) and (said := _hear(ours, ANSWER_SECONDS)) == _ALIVE:
                alive += 1
                if deadline is not None and time.monotonic() > deadline:
                    break
            child.join(END_SECONDS)  # a child that ended is gone a moment after its pipe
            how = f"no answer within {ANSWER_SECONDS:.0f} s" if said is None else f"exit code {child.exitcode}"
        finally:
            child.kill()
            child.join()
    return alive, how


def _hear(pipe: Connection, seconds: float) -> bytes | None:
    """Return what a child says, ``b""`` when it is gone, ``None`` when it is silent for so long."""
    try:
        return pipe.recv_bytes() if pipe.poll(seconds) else None
    except EOFError:
        return b""


def decode_each(
    kind: str, values: Sequence[bytes | None], schemas: Mapping[int, WriterSchema], report: Connection
) -> None:
    """Be the child: decode one by one and say after each that it was survived."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # whoever stops a service sends these to all of its processes: that says nothing of a record
        signal.signal(number, signal.SIG_IGN)
    # nobody is left to end a child that hangs when the processor itself is killed meanwhile
    seconds = int(EXAMINE_SECONDS_MAX + START_SECONDS)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    codec = BatchCodec(kind)
    unknown = PoisonRecord("unknown_schema_id", "expected a registered schema id")
    # the first record of a schema should not pay for its plan: frames around nothing have it made
    codec.decode([bytes([MAGIC_BYTE]) + schema_id.to_bytes(4, "big") for schema_id in schemas], schemas.__getitem__)
    report.send_bytes(_READY)
    for value in values:
        codec.decode([value], lambda schema_id: schemas.get(schema_id, unknown))
        report.send_bytes(_ALIVE)
