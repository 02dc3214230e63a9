"""Redis with replicas: a master dies, and what takes its place has not seen all of its writes."""

from __future__ import annotations

import time
from functools import partial

from tests.faults.catalogue import fault
from tests.faults.lab import Lab, Plan
from tests.faults.redis_cluster import RedisClusterServers
from tests.faults.redis_servers import Node, RedisPair
from tests.faults.workers import await_true
from weir.inference.api.reader import build_feature_reader
from weir.infra.redis.client import connect
from weir.infra.redis.unit import Unit
from weir.streaming.kernels import shipped_kernel

FAILOVERS_MAX = 5
BEHIND_RECORDS_MIN = 300
WATCHED = Unit("t", 0)
READ_BACK_MAX = 50


@fault(
    "redis-failover-lagging",
    "kill -9 of Redis, and a replica that has not seen the last seconds takes its address",
    Plan(redis="pair", rate=300),
)
def redis_failover_lagging(lab: Lab) -> None:
    pair = lab.servers
    assert isinstance(pair, RedisPair)
    scorer, processor = lab.scorer(), lab.processor()
    lab.run_until(processor, "committed", 4)
    for _ in range(max(2, min(lab.kills, FAILOVERS_MAX))):
        pair.stall_replication()
        before = lab.applied()
        await_true(partial(lab.has_passed, before + BEHIND_RECORDS_MIN), "writes that the replica does not see")
        known = _applied_at(lab, pair.replica)
        lab.expect(known <= before, f"the replica was not behind: it has {known}, the lag began at {before}")
        pair.fail_over()
        began = time.monotonic()
        lab.times += 1
        lab.watch_recovery(since=began, above=before + BEHIND_RECORDS_MIN)
        pair.restore()
    lab.finish([processor, scorer])


def _applied_at(lab: Lab, node: Node) -> int:
    """Sum of the transaction units' positions as one server has them."""
    prefixes = [lab.view.prefix(Unit("t", number)) for number in range(lab.plan.partitions)]
    found = node.client.mget([f"{prefix}position" for prefix in prefixes])
    return sum(int(value.split()[0]) for value in found if value is not None)


@fault(
    "redis-cluster-failover",
    "kill -9 of the cluster's master that holds a busy unit, and its replica's promotion",
    Plan(redis="cluster", rate=150),
)
def redis_cluster_failover(lab: Lab) -> None:
    cluster = lab.servers
    assert isinstance(cluster, RedisClusterServers)
    scorer, processor = lab.scorer(), lab.processor()
    lab.run_until(processor, "committed", 4)
    key = lab.view.prefix(WATCHED) + "position"
    for _ in range(max(2, min(lab.kills, FAILOVERS_MAX))):
        master, before = cluster.master_of(key), lab.applied([WATCHED])
        await_true(partial(lab.has_passed, before, [WATCHED]), "the unit moving")
        master.kill()
        began = time.monotonic()
        cluster.await_promoted(key, master)
        lab.notes.setdefault("promotion_seconds", []).append(round(time.monotonic() - began, 1))
        lab.times += 1
        lab.watch_recovery(since=began, units=[WATCHED])
        cluster.restore(master)
    lab.finish([processor, scorer])
    _read_back(lab)


def _read_back(lab: Lab) -> None:
    """What the API's reader gives must be what lies there: one look-up goes to every master."""
    reader = build_feature_reader(lab.settings, connect(lab.settings.redis), shipped_kernel())
    prefixes = [lab.view.prefix(unit) for unit in lab.units() if unit.kind == "t"]
    merchants = lab.redis.scan_iter(match=f"{prefixes[0]}merchant:*")
    ids = sorted({key.decode().rpartition(":")[2] for key in merchants})[:READ_BACK_MAX]
    lab.expect(bool(ids), "no merchant was found to be read back")
    for merchant, found in zip(ids, reader.read_many([("merchant", one) for one in ids]), strict=True):
        there = lab.servers.read(lab.redis, [f"{prefix}merchant:{merchant}" for prefix in prefixes])
        lab.expect(
            found.partials == [value for value in there if value], f"merchant {merchant} reads as something else"
        )
        lab.expect(found.complete, f"units are incomplete: {found.incomplete_units}")
