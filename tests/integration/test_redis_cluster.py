"""The view and the index on a Redis Cluster and on a replicated server: slots, promotions, servers that hang."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, TypeVar

import pytest
import redis

from tests.faults.redis_cluster import MASTERS, RedisClusterServers
from tests.faults.redis_servers import Node, RedisPair, RedisServers
from tests.faults.workers import await_true
from tests.payments import DECLARATIONS_HASH
from weir.infra.embedded.stack import Stack
from weir.infra.findings import refuse
from weir.infra.redis.client import Client, ask_servers, connect, primaries
from weir.infra.redis.loaded import Loaded
from weir.infra.redis.state_view import Applied, StateView
from weir.infra.redis.unit import Position, Unit, format_position
from weir.infra.redis.watch import examine_redis
from weir.infra.settings import RedisSettings
from weir.schemas.errors import Refused, Transient

pytestmark = pytest.mark.server
UNITS = [Unit("t", number) for number in range(8)]
UNIT = UNITS[0]
TIMEOUT_SECONDS = 0.3
Servers = TypeVar("Servers", bound=RedisServers)


@pytest.fixture(scope="module")
def cluster(embedded_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisClusterServers]:
    yield from _started(RedisClusterServers(embedded_stack, tmp_path_factory.mktemp("cluster")))


@pytest.fixture(scope="module")
def pair(embedded_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisPair]:
    yield from _started(RedisPair(embedded_stack, tmp_path_factory.mktemp("pair")))


def _started(servers: Servers) -> Iterator[Servers]:
    try:
        servers.start()
        yield servers
    finally:
        servers.close()


def client_of(servers: RedisServers) -> Client:
    return connect(RedisSettings(timeout_seconds=TIMEOUT_SECONDS, **servers.settings))


def view_of(client: Client) -> StateView:
    return StateView(
        client, cluster=uuid.uuid4().hex, group="g", topic_ids={"t": "x", "l": "y"}, declarations_hash=DECLARATIONS_HASH
    )


def position_key(view: StateView) -> str:
    return view.prefix(UNIT) + "position"


def apply_until_answered(view: StateView, *, start: int, end: int) -> Applied:
    found: list[Applied] = []

    def answers() -> bool:
        with suppress(Transient):
            found.append(view.apply(UNIT, start=start, end=end, keys=["card:a"], partials=[str(end).encode()]))
        return bool(found)

    await_true(answers, "an answer to the write", 20)
    return found[0]


def test_units_on_every_master_are_written_and_read_as_on_one_server(cluster: RedisClusterServers) -> None:
    view = view_of(client_of(cluster))
    assert {cluster.master_of(view.prefix(unit)) for unit in UNITS} == set(cluster.nodes[:MASTERS])
    for unit in UNITS:
        assert view.claim(unit, Position(0))
        assert view.apply(unit, start=0, end=3, keys=["card:a"], partials=[unit.tag.encode()]).done
    loaded = view.load_many([(unit, ["card:a", "card:b"]) for unit in UNITS])
    assert {unit: part.partials for unit, part in loaded.items()} == {u: [u.tag.encode(), b""] for u in UNITS}
    assert {part.position for part in loaded.values()} == {Position(3)}


def test_the_sweep_visits_every_master(cluster: RedisClusterServers) -> None:
    client = client_of(cluster)
    view = view_of(client)
    for unit in UNITS:
        view.claim(unit, Position(0))
        view.apply(unit, start=0, end=1, keys=["card:a"], partials=[b"1"])
    list(view.sweep())
    assert all(client.pttl(view.prefix(unit) + "card:a") > 0 for unit in UNITS)
    assert all(client.pttl(view.prefix(unit) + "position") == -1 for unit in UNITS)


@pytest.mark.parametrize("place", range(2 * MASTERS))
def test_a_server_anywhere_in_the_cluster_that_may_drop_keys_is_refused(
    cluster: RedisClusterServers, place: int
) -> None:
    client, node = client_of(cluster), cluster.nodes[place]
    refuse(examine_redis(client))
    node.client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(Refused, match=f"found allkeys-lru at 127.0.0.1:{node.port}"):
            refuse(examine_redis(client))
    finally:
        node.client.config_set("maxmemory-policy", "noeviction")


def test_the_cluster_is_found_by_whichever_of_the_named_servers_answers(cluster: RedisClusterServers) -> None:
    url = f"redis://127.0.0.1:1,127.0.0.1:{cluster.nodes[1].port}/0"
    client = connect(RedisSettings(url=url, cluster=True, timeout_seconds=TIMEOUT_SECONDS))
    assert len(primaries(client)) == MASTERS


def test_a_write_waits_while_a_slot_is_moved_and_then_finds_its_server(cluster: RedisClusterServers) -> None:
    view = view_of(client_of(cluster))
    key = position_key(view)
    source = cluster.master_of(key)
    target = next(node for node in cluster.nodes[:MASTERS] if node is not source)
    view.claim(UNIT, Position(0))
    assert view.apply(UNIT, start=0, end=3, keys=["card:a"], partials=[b"3"]).done
    begin_move(key, source, target)
    try:
        with pytest.raises(Transient):
            view.apply(UNIT, start=3, end=5, keys=["card:a"], partials=[b"5"])
    finally:
        end_move(cluster, key, source, target)
    assert apply_until_answered(view, start=3, end=5).done
    assert view.load_many([(UNIT, ["card:a"])])[UNIT] == Loaded(Position(5), [b"5"])
    begin_move(key, target, source)
    end_move(cluster, key, target, source)


def begin_move(key: str, source: Node, target: Node) -> None:
    """Move what is in a slot, as an operator does, and leave the slot where it is."""
    slot = source.client.cluster("KEYSLOT", key)
    target.client.cluster("SETSLOT", slot, "IMPORTING", source.client.cluster("MYID").decode())
    source.client.cluster("SETSLOT", slot, "MIGRATING", target.client.cluster("MYID").decode())
    source.client.migrate("127.0.0.1", target.port, source.client.cluster("GETKEYSINSLOT", slot, 1_000), 0, 5_000)


def end_move(cluster: RedisClusterServers, key: str, source: Node, target: Node) -> None:
    """Give the slot to the node that has what is in it."""
    slot, there = source.client.cluster("KEYSLOT", key), target.client.cluster("MYID").decode()
    for node in (target, source):
        node.client.cluster("SETSLOT", slot, "NODE", there)
    await_true(lambda: cluster.master_of(key) is target, "the slot's move being known")


def test_a_server_that_hangs_costs_many_keys_one_timeout(cluster: RedisClusterServers) -> None:
    """Asked for one by one, as a cluster's own pipeline does after a failure, they would cost one each."""
    client = client_of(cluster)
    keys = [f"{{{number}}}" for number in range(60)]
    hanging = cluster.nodes[1]
    hanging.pause()
    began = time.monotonic()
    try:
        with pytest.raises(redis.RedisError):
            ask_servers(client, keys, key_of=str, ask=_get_all)
        # one to be noticed, and at most one more while the cluster is asked who does its work
        assert time.monotonic() - began < 4 * TIMEOUT_SECONDS
    finally:
        hanging.resume()
    await_true(cluster.is_well, "the cluster being well again")


def _get_all(server: Any, keys: list[str]) -> None:
    pipeline = server.pipeline(transaction=False)
    for key in keys:
        pipeline.get(key)
    pipeline.execute()


def test_a_write_goes_on_at_the_promoted_replica_without_any_other_command(cluster: RedisClusterServers) -> None:
    view = view_of(client_of(cluster))
    view.claim(UNIT, Position(0))
    assert view.apply(UNIT, start=0, end=3, keys=["card:a"], partials=[b"3"]).done
    key = position_key(view)
    dead = cluster.master_of(key)
    assert dead.client.wait(1, 2_000) == 1
    dead.kill()
    try:
        assert apply_until_answered(view, start=3, end=5).done
        assert view.load_many([(UNIT, ["card:a"])])[UNIT].partials == [b"5"]
    finally:
        cluster.restore(dead)


def claim_everywhere(view: StateView, pair: RedisPair) -> None:
    view.claim(UNIT, Position(0))
    claimed = format_position(Position(0), UNIT)
    await_true(lambda: pair.replica.client.get(position_key(view)) == claimed, "the claim being replicated")


def test_a_master_that_was_demoted_behind_its_address_is_left(pair: RedisPair) -> None:
    view = view_of(client_of(pair))
    claim_everywhere(view, pair)
    pair.switch_over()
    with pytest.raises(Transient, match="a server that was demoted"):
        view.apply(UNIT, start=0, end=3, keys=["card:a"], partials=[b"1"])
    assert view.apply(UNIT, start=0, end=3, keys=["card:a"], partials=[b"1"]).done


def test_a_write_that_the_promoted_replica_never_saw_is_refused_and_not_half_there(pair: RedisPair) -> None:
    view = view_of(client_of(pair))
    claim_everywhere(view, pair)
    pair.stall_replication()
    assert view.apply(UNIT, start=0, end=3, keys=["card:a"], partials=[b"3"]).done
    pair.fail_over()
    try:
        assert apply_until_answered(view, start=3, end=5) == Applied(False, "0")
        assert view.load_many([(UNIT, ["card:a"])])[UNIT].partials == [b""]
    finally:
        pair.restore()
