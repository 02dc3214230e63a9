"""Faust (the ``faust-streaming`` fork), at least once: one entity, three windows, a table in memory with its changelog.

Follows "Tables and Windowing" and "Agents" of its user guide: an agent over the stream, a table that is a dictionary
backed by a changelog topic. One table holds the three windows of a card; three windowed tables would be three changelog
records per payment and slower. Outputs go by ``send_soon``, which does not wait for each. Buffers, batches and
linger are larger than its defaults ("Settings"), which made it twice as fast here.

Less than ours: one entity of five, 6 features of 96, tumbling windows, at least once, no duplicates, no dead letters,
state in this process alone. More: a web view and an actor model for other work, which are off or unused.
"""

from __future__ import annotations

import sys
from typing import Any

import faust

from tests.bench.peers.payments import build_flags, count, decode

_PARTITIONS = 4


def main() -> None:
    """Run until told to stop."""
    given = build_flags().parse_args()
    app = faust.App(
        given.group,
        broker=f"kafka://{given.broker}",
        store="memory://",
        datadir=given.folder,
        value_serializer="raw",
        consumer_auto_offset_reset="earliest",
        topic_partitions=_PARTITIONS,
        web_enabled=False,
        stream_wait_empty=False,
        stream_buffer_maxsize=20_000,
        broker_max_poll_records=5_000,
        producer_linger=0.005,
        producer_max_batch_size=1_000_000,
        producer_compression_type="lz4",
    )
    source = app.topic(given.input, key_serializer="raw", value_serializer="raw")
    target = app.topic(given.output, key_serializer="raw", value_serializer="json")
    cards = app.Table(f"{given.group}-cards", default=dict, key_type=str, partitions=_PARTITIONS)

    @app.agent(source)
    async def count_payments(payments: Any) -> None:
        async for value in payments:
            payment = decode(value)
            card = payment["card_id"]
            held = cards[card]
            found = count(held, payment)
            cards[card] = held  # assigned, so that the changelog sees it
            target.send_soon(key=card.encode(), value=found)

    sys.argv = [sys.argv[0], "worker", "--loglevel", "warn", "--without-web"]
    app.main()


if __name__ == "__main__":
    main()
