"""How fast a processor is when three of ten records are malformed, in every way that the generators know."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from confluent_kafka import Message

from tests.bench.figures import NothingMeasured, Sample, rate
from tests.bench.kafka_log import await_quiet, await_work, fill, read
from tests.bench.lab import Lab
from tests.bench.records import SEED
from weir.generators.encoding import Encoder
from weir.generators.faults import make_malformed, malformed_of
from weir.generators.outgoing import Outgoing
from weir.infra.kafka.clients import header_text
from weir.infra.settings import Settings
from weir.schemas.avro.codec import BatchCodec, WriterSchema
from weir.schemas.contracts import schema_json
from weir.schemas.streams.payments import payments

MALFORMED_SHARE = 0.3
_NEWEST = schema_json("transactions")
_OF_EACH_KIND = 40
"""Different ones; they are sent again and again, for each position in the log has to get a dead letter of its own."""


def poison_flood(lab: Lab, name: str) -> list[Sample]:
    """Measure the processor on a flood, and see that each malformed record is a dead letter once.

    Raises:
        NothingMeasured: a record has no output or two, or a good one was refused.
    """
    deployment = lab.deployment(name, transactions=f"{name}.transactions")
    settings = deployment.settings
    records = lab.sizes.flood_records
    refused = int(records * MALFORMED_SHARE)
    fill(settings, _build_flood(lab, lab.encoder(settings), settings.topics.transactions, records, refused))
    features, dead = settings.topics.features, settings.topics.dlq
    with lab.processes(deployment) as processes:
        processes.weir("process")
        limit = 10 * lab.sizes.backlog_seconds_max
        await_work(settings, features, records_min=records - refused, seconds_max=limit, check=processes.check)
        await_quiet(settings, dead, processes.check)
    letters = read(settings, dead)
    times = [float(message.timestamp()[1]) for message in (*read(settings, features), *letters)]
    places = {_source(settings, message) for message in letters}
    if not len(places) == len(letters) == refused:
        raise NothingMeasured(f"expected {refused} dead letters, found {len(letters)} of {len(places)} records")
    lab.discard(deployment)
    return [Sample("poison_flood_eps", rate(times, expected=records), records, {"dead_letters": len(letters)})]


def _source(settings: Settings, message: Message) -> tuple[str | None, str | None]:
    prefix = settings.processor.dlq_header_prefix
    return header_text(message, f"{prefix}partition"), header_text(message, f"{prefix}offset")


def _build_flood(lab: Lab, encoder: Encoder, topic: str, records: int, refused: int) -> Outgoing:
    """Shuffle malformed records among the first payments of the shared input."""
    assert lab.payments is not None, "prepared first"
    bad = _draw_malformed(lab, encoder)
    good = records - refused
    rng = np.random.default_rng(SEED)
    keys: list[bytes | None] = [*lab.payments.keys[:good], *(bad[i % len(bad)][0] for i in range(refused))]
    values: list[bytes | None] = [*lab.payments.values[:good], *(bad[i % len(bad)][1] for i in range(refused))]
    # payments stay in their order; only where the malformed ones stand between them is drawn
    is_good = rng.permutation(np.arange(records) < good)
    order = np.where(is_good, np.cumsum(is_good) - 1, good + np.cumsum(~is_good) - 1).tolist()
    return Outgoing(topic, np.zeros(records), [keys[i] for i in order], [values[i] for i in order])


def _draw_malformed(lab: Lab, encoder: Encoder) -> Sequence[tuple[bytes | None, bytes | None]]:
    """Make malformed copies of the first payments, every kind in turn."""
    assert lab.payments is not None, "prepared first"
    names = list(malformed_of(payments)) * _OF_EACH_KIND
    originals = BatchCodec("transactions").decode(
        lab.payments.values[: len(names)], lambda number: WriterSchema(number, subject_ok=True, schema=_NEWEST)
    )
    return [make_malformed(*each, encoder) for each in zip(names, originals.batch.to_pylist(), strict=True)]
