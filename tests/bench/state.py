"""What stands in Redis and how it is built: the kernel alone, a rebuild from the log, bytes per entity, replay."""

from __future__ import annotations

import json
import time
from collections import Counter
from statistics import median

import pyarrow as pa
import pyarrow.parquet as pq

from tests.bench.figures import NothingMeasured, Sample, rate
from tests.bench.kafka_log import append_times_ms, await_work, fill
from tests.bench.lab import Deployment, Lab
from tests.bench.records import draw_payments
from tests.bench.warm import keep_processed
from tests.payments import DECLARATIONS_HASH
from weir.generators.outgoing import Outgoing
from weir.infra.kafka.admin import describe_topics
from weir.infra.kafka.offsets import end_offsets
from weir.infra.redis.client import Client, connect
from weir.infra.redis.state_view import StateView
from weir.infra.redis.unit import Unit
from weir.infra.settings import Settings
from weir.schemas.avro.framing import HEADER_BYTES

_POLL_SECONDS = 0.02
_REBUILD_SECONDS_MAX = 300.0
_KEYS_AT_ONCE = 5_000
MANY_EVENTS = 10
_UNKNOWN_SCHEMA_ID = 900_000_001


def kernel(lab: Lab, name: str) -> list[Sample]:
    """Run the kernel over a Parquet file in a process of its own, as training does."""
    del name  # there is nothing of its own on the lab
    path = lab.home / "kernel.parquet"
    if not path.exists():
        payments = draw_payments(lab.sizes.cards, lab.sizes.kernel_records, now_ms=int(time.time() * 1_000))
        pq.write_table(pa.Table.from_batches([payments]), path, compression="zstd")
    with lab.processes() as processes:
        found = json.loads(processes.run(processes.module("kernel", str(path))).splitlines()[-1])
    return [Sample("kernel_eps", found["events"] / found["cpu_seconds"], found["events"], {"wall_s": found["seconds"]})]


def rebuild(lab: Lab, name: str) -> list[Sample]:
    """Delete the view of a stopped processor, start it, and time from the first unit claimed to the last complete."""
    del name
    deployment = keep_processed(lab)
    settings = deployment.settings
    view = _view(settings)
    units = [Unit("t", number) for number in range(lab.sizes.partitions)]
    goal = {unit: position.applied for unit in units if (position := view.position(unit))}
    lab.delete_keys_of(deployment)
    with lab.processes(deployment) as processes:
        processes.weir("process")
        seconds = _time_rebuild(view, goal, processes.check)
    events = sum(goal.values())
    return [Sample("rebuild_eps", events / seconds, events, {"seconds": round(seconds, 2)})]


def _time_rebuild(view: StateView, goal: dict[Unit, int], check: object) -> float:
    begun, first = time.monotonic(), 0.0
    while True:
        check()  # type: ignore[operator]
        now = time.monotonic()
        positions = {unit: view.position(unit) for unit in goal}
        first = first or (now if any(positions.values()) else 0.0)
        if all(at is not None and at.applied >= goal[unit] and not at.rebuilding for unit, at in positions.items()):
            return now - first
        if now - begun > _REBUILD_SECONDS_MAX:
            raise NothingMeasured(f"the view was not complete after {_REBUILD_SECONDS_MAX:.0f} s")
        time.sleep(_POLL_SECONDS)


def bytes_per_entity(lab: Lab, name: str) -> list[Sample]:
    """Measure every value of the view: all entities, and the cards that paid often."""
    del name
    assert lab.payments is not None, "the lab is prepared"
    settings = keep_processed(lab).settings
    client = connect(settings.redis)
    sizes = _sizes(client, f"weir:{settings.cluster}:{settings.processor.group}:*")
    paid = Counter(key.decode() for key in lab.payments.keys if key is not None)
    busy = [size for (kind, entity), size in sizes if kind == "card" and paid[entity] >= MANY_EVENTS]
    everyone = [size for _, size in sizes]
    kinds = {kind: median(size for (of, _), size in sizes if of == kind) for kind in sorted({k for (k, _), _ in sizes})}
    return [
        Sample("state_bytes_p50", median(everyone), len(everyone), kinds),
        Sample("state_bytes_card10_p50", median(busy), len(busy)),
    ]


def _sizes(client: Client, pattern: str) -> list[tuple[tuple[str, str], int]]:
    """Return ``((entity kind, id), bytes)`` of every partial."""
    # a unit's position and what the group keeps outside of units are no partials
    found = client.scan_iter(match=pattern, count=_KEYS_AT_ONCE)
    keys = [key for key in found if b"}:" in key and not key.endswith(b":position")]
    lengths: list[int] = []
    for first in range(0, len(keys), _KEYS_AT_ONCE):
        pipeline = client.pipeline(transaction=False)
        for key in keys[first : first + _KEYS_AT_ONCE]:
            pipeline.strlen(key)
        lengths += pipeline.execute()
    return [(_named(key), length) for key, length in zip(keys, lengths, strict=True)]


def _named(key: bytes) -> tuple[str, str]:
    kind, _, entity = key.decode().partition("}:")[2].partition(":")
    return kind, entity


def replay(lab: Lab, name: str) -> list[Sample]:
    """Fill the dead letter queue with records of an unknown schema, replay them all, and time what comes back."""
    deployment = lab.deployment(name, transactions=f"{name}.transactions")
    settings = deployment.settings
    topics = settings.topics
    expected = _fill_dead_letters(lab, deployment)
    before = end_offsets(settings.kafka, topics.transactions)
    with lab.processes(deployment) as processes:
        processes.run(processes.weir("dlq", "replay", "--reason", "unknown_schema_id", "--apply"))
    times = append_times_ms(settings, topics.transactions, before)
    sample = Sample("dlq_replay_eps", rate(times, expected=expected), len(times))
    lab.discard(deployment)
    return [sample]


def _fill_dead_letters(lab: Lab, deployment: Deployment) -> int:
    assert lab.payments is not None, "the lab is prepared"
    settings, rows = deployment.settings, slice(0, lab.sizes.dead_letters)
    header = b"\0" + _UNKNOWN_SCHEMA_ID.to_bytes(4, "big")
    values = [header + value[HEADER_BYTES:] for value in lab.payments.values[rows] if value is not None]
    topic = settings.topics.transactions
    fill(settings, Outgoing(topic, lab.payments.due_ms[rows], lab.payments.keys[rows], list(values)))
    with lab.processes(deployment) as processes:
        processes.weir("process")
        await_work(settings, settings.topics.dlq, records_min=len(values), seconds_max=120.0, check=processes.check)
    return len(values)


def _view(settings: Settings) -> StateView:
    topics = describe_topics(settings.kafka, [settings.topics.transactions, settings.topics.labels])
    ids = {"t": topics[settings.topics.transactions].topic_id, "l": topics[settings.topics.labels].topic_id}
    return StateView(
        connect(settings.redis),
        cluster=settings.cluster,
        group=settings.processor.group,
        topic_ids=ids,
        declarations_hash=DECLARATIONS_HASH,
    )
