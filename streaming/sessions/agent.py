"""The sessioniser as a Faust agent: clicks in, steps of visits out. It runs in an environment of its own.

Delivery: at least once. A click is committed after its row is acknowledged, so a crash makes rows again. The visit
of each customer is in a table with a changelog; where the changelog is behind the rows, the same click comes to the
same row from the same visit, and where it is ahead, the visit remembers the row. Either way the repeat is equal and has
the click's own id, and the processor of ``sessions`` refuses it as a duplicate.

An agent that stands still though clicks wait ends, with exit code 1, so that its supervisor starts it again.

Started by ``weir sessionise``, which says what to read and what to write: the environment has neither our settings nor
what a declaration of a stream needs.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from fastavro import parse_schema, schemaless_reader, schemaless_writer

from weir.streaming.sessions.stall import Stall
from weir.streaming.sessions.visit import Names, advance

_HEADER_BYTES = 5
"""Of the Confluent frame: a magic byte and a schema id."""
STALL_SECONDS = 20.0
_ANSWER_SECONDS = 5.0
_SESSION_SECONDS = 10.0
"""A killed agent's partitions are free after it; a minute, as is usual, would be a minute without features."""


def build_flags() -> argparse.ArgumentParser:
    """Return the flags by which the command says where to read and to write; ``contract`` is a file of JSON."""
    parser = argparse.ArgumentParser()
    for name in ("broker", "group", "input", "output", "folder", "contract"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("partitions", "schema-id"):
        parser.add_argument(f"--{name}", type=int, required=True)
    return parser


def main() -> None:
    """Run until told to stop."""
    import faust  # noqa: PLC0415  (only this process, in its own environment, has it)

    given = build_flags().parse_args()
    app = faust.App(
        given.group,
        broker=f"kafka://{given.broker}",
        store="memory://",
        datadir=given.folder,
        value_serializer="raw",
        consumer_auto_offset_reset="earliest",
        topic_partitions=given.partitions,
        web_enabled=False,
        stream_wait_empty=False,
        broker_session_timeout=_SESSION_SECONDS,
        broker_heartbeat_interval=_SESSION_SECONDS / 4,
    )
    source = app.topic(given.input, key_serializer="raw", value_serializer="raw")
    target = app.topic(given.output, key_serializer="raw", value_serializer="raw")
    visits = app.Table(f"{given.group}-visits", key_type=str, partitions=given.partitions)
    contract = json.loads(Path(given.contract).read_text())
    reader, writer = parse_schema(contract["reader"]), parse_schema(contract["writer"])
    names, frame = Names(**contract["names"]), b"\0" + given.schema_id.to_bytes(4, "big")

    answered = 0

    @app.agent(source)  # type: ignore[untyped-decorator]
    async def sessionise(stream: Any) -> None:
        nonlocal answered
        async for value in stream:  # one at a time: a table is changed for the event that is in hand, and for no other
            answered += 1
            click = _decode(reader, value, names)
            if click is None:
                continue  # it is a dead letter of the stream of clicks, whose processor says why
            key = str(click[names.key])
            visits[key], row = advance(visits.get(key), click, names)
            sent = await target.send(key=key.encode(), value=frame + _encode(writer, row))
            await sent  # acknowledged, before the click is committed

    @app.task  # type: ignore[untyped-decorator]
    async def end_when_stalled() -> None:
        stall = Stall(STALL_SECONDS)
        while not app.should_stop:
            await app.sleep(STALL_SECONDS / 10)
            if stall.note(answered, waits=await _has_more(app.consumer, given.input), now=time.monotonic()):
                said = f"no click was answered for {STALL_SECONDS:.0f} s though some wait; ending, to be started again"
                sys.stderr.write(f"{said}\n")
                sys.stderr.flush()
                os._exit(1)  # an orderly end would wait for what stands still

    sys.argv = [sys.argv[0], "worker", "--loglevel", "warn", "--without-web"]
    app.main()


async def _has_more(consumer: Any, topic: str) -> bool:
    """Return whether clicks are in hand unanswered, or are still to be read; no where the brokers do not say."""
    if consumer.unacked:
        return True
    read = [partition for partition in consumer.assignment() if partition.topic == topic]
    try:
        ends = await asyncio.wait_for(consumer.highwaters(*read), _ANSWER_SECONDS)
        positions = [(await consumer.position(partition), ends[partition]) for partition in read]
    except Exception:  # noqa: BLE001 - of a client that lost its brokers, which it reports itself
        return False
    return any(position is not None and position < end for position, end in positions)


def _decode(schema: Any, value: bytes | None, names: Names) -> dict[str, Any] | None:
    try:
        found: Any = schemaless_reader(io.BytesIO((value or b"")[_HEADER_BYTES:]), schema)
    except (ValueError, EOFError, IndexError, UnicodeDecodeError):
        return None
    return found if found[names.id] and found[names.key] else None


def _encode(schema: Any, row: dict[str, Any]) -> bytes:
    body = io.BytesIO()
    schemaless_writer(body, schema, row)
    return body.getvalue()


if __name__ == "__main__":
    main()
