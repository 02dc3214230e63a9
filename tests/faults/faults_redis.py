"""Redis away, slow, full, forgetful, wiped, set back; replies that are lost."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

from tests.faults.catalogue import fault
from tests.faults.lab import BATCH_RECORDS, Lab, Plan
from tests.faults.workers import Worker, await_true
from weir.inference.api.reader import find_broken_values
from weir.infra.redis.partials_reader import FeatureReader
from weir.infra.redis.unit import Unit
from weir.streaming.kernels import shipped_kernel

PAUSE_MS = 4_000
FULL_SECONDS = 3.0
LOST_SECONDS = 1.0
OLD_READS = 8
"""A snapshot is put back just before this read. Memory reaches back two batches: what else is asked for has changed."""
MET = "catching up from the log"
"""What a processor says whose read is not where it left the view."""
_SNAPSHOT = """
local keys, values = redis.call('KEYS', ARGV[1]), {}
for i, key in ipairs(keys) do values[i] = redis.call('GET', key) end
return {keys, values}
"""
SLOW_LOAD = Plan(records=1_500, rate=100)
"""So slow that a busy machine builds units again faster than their log grows; else a run takes minutes."""


def _wait(seconds: float) -> None:
    """A fault's own length; nothing waits for it to be enough."""
    Event().wait(seconds)


def _begin(lab: Lab, **orders: Any) -> list[Worker]:
    scorer, processor = lab.scorer(), lab.processor(**orders)
    lab.run_until(processor, "committed", 4)
    return [processor, scorer]


@fault("redis-kill", "kill -9 of Redis with the last second of its append-only file lost")
def redis_kill(lab: Lab) -> None:
    workers = _begin(lab)
    for _ in range(max(1, min(lab.kills, 5))):
        _stop_rewriting(lab)
        (log,) = sorted((lab.stack.home / "servers" / "redis" / "appendonlydir").glob("*.incr.aof"))[-1:]
        size, before = log.stat().st_size, lab.applied()
        await_true(partial(lab.has_passed, before), "something to lose")
        _wait(LOST_SECONDS)
        lab.stack.kill("redis")
        _cut(log, size)
        lab.stack.start(("redis",))
        lab.times += 1
        lab.watch_recovery()
    lab.finish(workers)


def _stop_rewriting(lab: Lab) -> None:
    """Have the server go on with one file: with a new one begun meanwhile, the cut would be a hole, not a lost end."""
    lab.redis.config_set("auto-aof-rewrite-percentage", "0")
    await_true(lambda: not lab.redis.info("persistence")["aof_rewrite_in_progress"], "the log's rewriting to be over")


def _cut(path: Path, size: int) -> None:
    with path.open("rb+") as file:
        file.truncate(size)


@fault(
    "flushall",
    "FLUSHALL while everything runs: the view is rebuilt from the log",
    Plan(cards=2_000),  # so many that some are not met again: a view that is not rebuilt lacks them at the end
)
def flushall(lab: Lab) -> None:
    workers = _begin(lab)
    for _ in range(max(1, min(lab.kills, 5))):
        before = lab.applied()
        lab.redis.flushall()
        lab.times += 1
        lab.watch_recovery(above=before)
    lab.finish(workers)


@fault(
    "view-spoiled",
    "values and positions in Redis overwritten with something else while everything runs",
    SLOW_LOAD,
)
def view_spoiled(lab: Lab) -> None:
    workers = _begin(lab)
    reader = FeatureReader(
        lab.redis,
        lab.view,
        partitions=lab.plan.partitions,
        label_partitions=lab.plan.partitions,
        find_broken=partial(find_broken_values, shipped_kernel()),
    )
    for spoil in (_spoil_value, _spoil_type, _spoil_position) * max(1, min(lab.kills, 3)):
        unit = lab.random.choice([Unit(kind, number) for kind in "tl" for number in range(lab.plan.partitions)])
        await_true(partial(_has_values, lab, unit), f"values of {unit.tag}")
        entity = spoil(lab, unit)
        lab.times += 1
        if entity is not None:  # a reader finds it and says so; of a value in its memory the processor has no need
            reader.read_many([entity])
        await_true(partial(_is_whole, lab, unit), f"{unit.tag} built again")
    lab.finish(workers)
    lab.expect(workers[0].log().count("view_dropped") >= lab.times, "a spoiled unit was not built again")


def _keys_of(lab: Lab, unit: Unit) -> list[bytes]:
    found = sorted(lab.redis.scan_iter(match=lab.view.prefix(unit) + "*", count=2_000))
    return [key for key in found if not key.endswith(b":position") and b":known:" not in key]


def _has_values(lab: Lab, unit: Unit) -> bool:
    return len(_keys_of(lab, unit)) > 1


def _name(key: bytes) -> tuple[str, str]:
    entity, _, entity_id = key.decode().rpartition("}:")[2].partition(":")
    return entity, entity_id


def _spoil_value(lab: Lab, unit: Unit) -> tuple[str, str] | None:
    one, other = lab.random.sample(_keys_of(lab, unit), 2)
    lab.redis.set(one, lab.random.choice([b"", b"spoiled", lab.redis.get(other), bytes(40)]))
    return _name(one)


def _spoil_type(lab: Lab, unit: Unit) -> tuple[str, str] | None:
    one = lab.random.choice(_keys_of(lab, unit))
    lab.redis.delete(one)
    lab.redis.rpush(one, "spoiled")
    lab.view.suspect(unit, "a value of another type")  # known in other units, nobody need look at its type
    return None


def _spoil_position(lab: Lab, unit: Unit) -> tuple[str, str] | None:
    key = lab.view.prefix(unit) + "position"
    lab.redis.set(key, lab.random.choice([b"", b"12 0 0", b"9" + (lab.redis.get(key) or b"")]))
    return None


def _is_whole(lab: Lab, unit: Unit) -> bool:
    lab.revive()
    found = lab.view.look(unit)
    return found.position is not None and not found.position.rebuilding


@fault("redis-evicts", "Redis is told to evict, gets too little memory, and then drops keys on its own", SLOW_LOAD)
def redis_evicts(lab: Lab) -> None:
    workers = _begin(lab, quirks=("watch",))
    before = int(lab.redis.info("stats")["evicted_keys"])
    lab.redis.config_set("maxmemory-policy", "allkeys-lru")
    lab.redis.config_set("maxmemory", str(int(lab.redis.info("memory")["used_memory"]) * 9 // 10))
    await_true(lambda: int(lab.redis.info("stats")["evicted_keys"]) > before, "keys being evicted")
    lab.redis.config_set("maxmemory", "0")
    lab.redis.config_set("maxmemory-policy", "noeviction")
    lab.times += 1
    for unit in [Unit(kind, number) for kind in "tl" for number in range(lab.plan.partitions)]:
        await_true(partial(_was_dropped, workers[0], unit), f"{unit.tag} being built again")
    lab.watch_recovery()
    lab.finish(workers)


def _was_dropped(worker: Worker, unit: Unit) -> bool:
    return any('"view_dropped"' in line and f'"{unit.tag}"' in line for line in worker.log().splitlines())


@fault("redis-slow", "CLIENT PAUSE for longer than the client waits", Plan(rate=300))
def redis_slow(lab: Lab) -> None:
    workers = _begin(lab)
    lab.redis.execute_command("CLIENT", "PAUSE", PAUSE_MS, "ALL")
    lab.times += 1
    _wait(PAUSE_MS / 1_000)
    lab.watch_recovery()
    lab.finish(workers)


@fault("redis-full", "Redis reaches maxmemory under noeviction, then gets more", Plan(rate=300))
def redis_full(lab: Lab) -> None:
    workers = _begin(lab)
    used = int(lab.redis.info("memory")["used_memory"])
    lab.redis.config_set("maxmemory", str(used // 2))
    _wait(FULL_SECONDS)
    lab.redis.config_set("maxmemory", "0")
    lab.times += 1
    lab.watch_recovery()
    lab.finish(workers)


@fault("apply-reply-lost", "every fourth write to Redis is done and its reply is lost")
def apply_reply_lost(lab: Lab) -> None:
    workers = _begin(lab, quirks=("lose_apply_reply",))
    lab.finish(workers)
    lab.times += workers[0].count("reply_lost")


@fault("snapshot-restored", "FLUSHALL and an older snapshot put back while running", Plan(cache=10, rate=300))
def snapshot_restored(lab: Lab) -> None:
    processor, scorer = _begin(lab, quirks=("slow_apply",))
    for _ in range(3):
        processor.stop()
        snapshot, before = _take_snapshot(lab), lab.applied()
        processor = lab.processor(quirks=("slow_apply",), stop_at=(f"reading:{OLD_READS - 1}", f"reading:{OLD_READS}"))
        processor.await_frozen()
        await_true(partial(lab.has_passed, before), "the view moving past its snapshot")
        _let_the_next_batch_grow(lab, processor)
        reached = lab.applied()
        _restore(lab, snapshot)
        processor.resume()
        lab.times += 1
        lab.watch_recovery(above=reached)
        # without the guard nobody says so, and the judge has to find it
        lab.expect(bool(lab.plan.mutant) or MET in processor.log(), "no read met the snapshot")
    lab.finish([processor, scorer])


def _let_the_next_batch_grow(lab: Lab, processor: Worker) -> None:
    """Have it freeze again, with a batch that asks for more than memory holds: a small one may ask for nothing old."""
    sent = lab.feeder.sent
    await_true(lambda: lab.feeder.sent >= sent + BATCH_RECORDS, "records to gather")
    processor.resume()
    processor.await_step("reading", OLD_READS)
    processor.await_frozen()


def _take_snapshot(lab: Lab) -> dict[bytes, bytes]:
    """Every key of the view, position by position: as a server's own snapshot, at one moment."""
    group = lab.view.prefix(Unit("t", 0)).split("{")[0].rsplit(":", 2)[0]
    keys, values = lab.redis.eval(_SNAPSHOT, 0, f"{group}:*")
    return dict(zip(keys, values, strict=True))


def _restore(lab: Lab, snapshot: dict[bytes, bytes]) -> None:
    pipeline = lab.redis.pipeline(transaction=True)
    pipeline.flushall()
    pipeline.mset(snapshot)
    pipeline.execute()


@fault("tiny-cache-slow-redis", "a cache of ten entities and a slow Redis, nothing else", Plan(cache=10, rate=300))
def tiny_cache_slow_redis(lab: Lab) -> None:
    workers = _begin(lab, quirks=("slow_apply",))
    lab.times += 1
    lab.finish(workers)
