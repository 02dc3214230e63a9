"""The sessioniser as a Faust agent: clicks in, steps of visits out. It runs in an environment of its own.

Delivery: at least once. A click is committed after its row is acknowledged, so a crash makes rows again. The visit
of each customer is in a table with a changelog; where the changelog is behind the rows, the same click comes to the
same row from the same visit, and where it is ahead, the visit remembers the row. Either way the repeat is equal and has
the click's own id, and the processor of ``sessions`` refuses it as a duplicate.

Started by ``weir sessionise``, which says what to read and what to write: the environment has neither our settings nor
what a declaration of a stream needs.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from pathlib import Path
from typing import Any

from fastavro import parse_schema, schemaless_reader, schemaless_writer

from weir.streaming.sessions.visit import Names, advance

_HEADER_BYTES = 5
"""Of the Confluent frame: a magic byte and a schema id."""
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

    @app.agent(source)  # type: ignore[untyped-decorator]
    async def sessionise(stream: Any) -> None:
        async for value in stream:  # one at a time: a table is changed for the event that is in hand, and for no other
            click = _decode(reader, value, names)
            if click is None:
                continue  # it is a dead letter of the stream of clicks, whose processor says why
            key = str(click[names.key])
            visits[key], row = advance(visits.get(key), click, names)
            sent = await target.send(key=key.encode(), value=frame + _encode(writer, row))
            await sent  # acknowledged, before the click is committed

    @app.on_rebalance_complete.connect  # type: ignore[untyped-decorator]
    async def read_nothing_yet(app: Any, **_: Any) -> None:
        """Wait for the committed positions: Faust drops what it reads before them, and does not read it again."""
        app.consumer.stop_flow()  # resumed by Faust itself, once it has sought them

    sys.argv = [sys.argv[0], "worker", "--loglevel", "warn", "--without-web"]
    app.main()


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
