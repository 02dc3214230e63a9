"""A Redis Cluster of a run's own: three masters with a replica each, on free ports of this host."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from redis.cluster import RedisCluster

from tests.faults.redis_servers import READY_SECONDS, SOCKET_SECONDS, Node, RedisServers
from tests.faults.workers import await_true
from weir.infra.embedded.ports import choose_ports
from weir.infra.embedded.stack import Stack

MASTERS = 3
NODE_TIMEOUT_MS = 1_500
"""A master that is silent for so long is voted out; at least as long again passes until its replica has its slots."""
SLOTS = 16_384


class RedisClusterServers(RedisServers):
    """Six servers; those that hold slots at first are the first three.

    Args:
        stack: the servers that runs share.
        folder: for the nodes' data.
        replicas: of each master; 0 or 1.
    """

    def __init__(self, stack: Stack, folder: Path, *, replicas: int = 1) -> None:
        count = MASTERS * (1 + replicas)
        ports = choose_ports(2 * count)
        self._bus = dict(zip(ports[:count], ports[count:], strict=True))
        self.nodes = [self._build(stack, folder, port) for port in self._bus]

    def _build(self, stack: Stack, folder: Path, port: int) -> Node:
        return Node(
            stack,
            folder,
            port,
            cluster_enabled="yes",
            cluster_config_file="nodes.conf",
            cluster_port=self._bus[port],
            cluster_node_timeout=NODE_TIMEOUT_MS,
            repl_diskless_sync_delay=0,
        )

    @property
    def settings(self) -> dict[str, Any]:
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        return {"url": f"redis://{hosts}/0", "cluster": True}

    def start(self) -> None:
        for node in self.nodes:
            node.start()
        masters, replicas = self.nodes[:MASTERS], self.nodes[MASTERS:]
        for epoch, node in enumerate(masters, start=1):
            node.client.cluster("SET-CONFIG-EPOCH", epoch)
            node.client.cluster("ADDSLOTSRANGE", SLOTS * (epoch - 1) // MASTERS, SLOTS * epoch // MASTERS - 1)
        for node in self.nodes[1:]:
            masters[0].client.cluster("MEET", "127.0.0.1", node.port, self._bus[node.port])
        await_true(self.is_well, "the cluster being well", READY_SECONDS)
        for place, node in enumerate(replicas):
            node.client.cluster("REPLICATE", masters[place].client.cluster("MYID").decode())
        for node in replicas:
            await_true(node.follows, "a replica having its master's data", READY_SECONDS)
        await_true(partial(self._all_name, len(replicas)), "every node naming every replica", READY_SECONDS)

    def _all_name(self, replicas: int) -> bool:
        found = [node.client.cluster("SLOTS") for node in self.nodes]
        return all(sum(len(owned) - 3 for owned in ranges) == replicas for ranges in found)

    def is_well(self) -> bool:
        """Return whether every node knows every other and a master for every slot."""
        found = [node.client.cluster("INFO") for node in self.nodes]
        known = {int(info["cluster_known_nodes"]) for info in found}
        return known == {len(self.nodes)} and all(info["cluster_state"] == "ok" for info in found)

    def connect(self) -> Any:
        alive = next(node for node in self.nodes if node.is_running)
        return RedisCluster(host="127.0.0.1", port=alive.port, socket_timeout=SOCKET_SECONDS)

    def read(self, client: Any, keys: Sequence[str]) -> list[bytes | None]:
        found: list[bytes | None] = client.mget_nonatomic(keys)
        return found

    def master_of(self, key: str) -> Node:
        """Return the node that holds a key, in the opinion of the first that lives."""
        asked = next(node for node in self.nodes if node.is_running)
        slot = int(asked.client.cluster("KEYSLOT", key))
        ranges: list[Any] = asked.client.cluster("SLOTS")
        (port,) = (int(owner[1]) for low, high, owner, *_ in ranges if low <= slot <= high)
        return next(node for node in self.nodes if node.port == port)

    def await_promoted(self, key: str, dead: Node) -> None:
        """Wait until another node holds the keys of one that died."""
        await_true(lambda: self.master_of(key) is not dead, "the replica's promotion", READY_SECONDS)

    def restore(self, dead: Node) -> None:
        """Start a dead node again, as the replica that it is to be now."""
        dead.start()
        await_true(partial(self._has_rejoined, dead), "the old master following the new one", READY_SECONDS)

    def _has_rejoined(self, node: Node) -> bool:
        return node.follows() and self.is_well()

    def close(self) -> None:
        for node in self.nodes:
            node.kill()
