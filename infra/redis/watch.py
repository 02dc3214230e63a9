"""Watches what Redis must keep to while we run: its eviction policy, its memory, that it saves, that it lost nothing.

A start refuses a server that may evict. That alone is not enough: ``CONFIG SET`` works at any time, and a key that was
evicted reads as an entity never seen, while its position says that the unit is whole. So ``RedisWatch`` looks
every few seconds and ``compare`` says, from two checks of a server, how it stands and whether keys were lost that no
position tells of. What was seen last is kept in Redis, so that a loss while nobody was looking is found at a start.

Everything comes from one ``INFO``, which a managed Redis answers too where ``CONFIG`` is refused.

**Cost:** one round trip per server and look, about a millisecond.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from redis.exceptions import BusyLoadingError

from weir.infra.findings import Finding
from weir.infra.redis.client import Client, Node, on_server, primaries, replicas, transient_errors
from weir.schemas.errors import Transient

NEARLY_FULL = 0.9
"""Of ``maxmemory``: from here on somebody has to act, and there is still time to."""
_LAST_SECOND = 0.1
"""A restart may lose the last second of writes, which positions tell of. One that loses this part of the keys between
two checks was not that: what it loaded is not what it had."""
KEEPS = "noeviction"
_UNTOLD_MAX = 16
"""Reasons kept until somebody has dealt with them: each asks for the same."""
_SET_POLICY = f"run `redis-cli config set maxmemory-policy {KEEPS}` and set it in the server's file"
_MORE_MEMORY = "run `redis-cli config set maxmemory <bytes>` with more, and set it in the server's file"


@dataclass(frozen=True)
class RedisState:
    """One server as one ``INFO`` shows it.

    Attributes:
        server: its name; empty for the only one.
        run_id: of this life of the server.
        keys: in all its databases.
        used_bytes: what counts against ``max_bytes``; buffers of replicas and of the append-only file do not.
        max_bytes: ``maxmemory``; 0 for none.
    """

    server: str
    run_id: str
    policy: str
    keys: int
    used_bytes: int
    max_bytes: int
    evicted_keys: int
    is_replica: bool = False
    link_up: bool = True
    snapshot_ok: bool = True
    append_ok: bool = True

    @property
    def where(self) -> str:
        """Return the server's place in a sentence."""
        return f"redis at {self.server}" if self.server else "redis"

    @property
    def full(self) -> float:
        """Return which part of ``maxmemory`` is used; 0 without a bound."""
        return self.used_bytes / self.max_bytes if self.max_bytes else 0.0


@dataclass(frozen=True)
class Comparison:
    """What two checks of one server say.

    Attributes:
        findings: how it stands now, one for each check.
        evicted: keys that it dropped in between.
        loss: why keys may be gone that no position tells of; empty when there is no reason to think so.
    """

    findings: list[Finding]
    evicted: int
    loss: str


def parse_info(info: Mapping[str, Any], server: str = "") -> RedisState:
    """Return what matters of an ``INFO``; a field that a server does not have reads as nothing to report."""
    databases = [value for name, value in info.items() if name.startswith("db") and isinstance(value, dict)]
    return RedisState(
        server=server,
        run_id=str(info.get("run_id", "")),
        policy=str(info.get("maxmemory_policy", "")),
        keys=sum(int(each.get("keys", 0)) for each in databases),
        used_bytes=int(info.get("used_memory", 0)) - int(info.get("mem_not_counted_for_evict", 0)),
        max_bytes=int(info.get("maxmemory", 0)),
        evicted_keys=int(info.get("evicted_keys", 0)),
        is_replica=info.get("role") == "slave",
        link_up=info.get("master_link_status", "up") == "up",
        snapshot_ok=info.get("rdb_last_bgsave_status", "ok") == "ok",
        append_ok=info.get("aof_last_write_status", "ok") == "ok"
        and info.get("aof_last_bgrewrite_status", "ok") == "ok",
    )


def read_states(client: Client) -> list[RedisState]:
    """Return every server that holds keys, then the replicas of a cluster that answer.

    Raises:
        Transient: a server that holds keys cannot be reached, or has not loaded all of them yet.
    """
    found = [_read_state(client, node) for node in primaries(client)]
    for replica in replicas(client):
        with suppress(Transient):  # one that is unreachable keeps nobody from working; it is looked at once it is back
            found.append(_read_state(client, replica))
    return found


def examine_redis(client: Client) -> list[Finding]:
    """Return how every server stands now.

    Raises:
        Transient: a server that holds keys cannot be reached.
    """
    return [finding for state in read_states(client) for finding in compare(None, state).findings]


def _read_state(client: Client, node: Node) -> RedisState:
    with transient_errors("reading INFO"), on_server(client, node) as server:
        info = server.info()
        if info.get("loading"):  # INFO is answered meanwhile, and counts the keys that are loaded so far
            raise BusyLoadingError("LOADING")
        return parse_info(info, node.name if node is not None else "")


def compare(before: RedisState | None, now: RedisState) -> Comparison:
    """Say how a server stands, and whether it lost keys since it was last looked at. Pure.

    Args:
        before: the same server at the check before; ``None`` where there was none.
        now: as it is.
    """
    evicted = _count_evicted(before, now)
    findings = [_judge_policy(now), _judge_memory(now), _judge_saving(now), _judge_link(now)]
    return Comparison(findings, evicted, _find_loss(before, now, evicted))


def _count_evicted(before: RedisState | None, now: RedisState) -> int:
    if before is None:
        return 0
    # another life of the server, or CONFIG RESETSTAT, counts from 0 again
    fresh = before.run_id != now.run_id or now.evicted_keys < before.evicted_keys
    return now.evicted_keys if fresh else now.evicted_keys - before.evicted_keys


def _find_loss(before: RedisState | None, now: RedisState, evicted: int) -> str:
    if evicted:
        return f"{now.where} evicted {evicted} keys"
    if before is None:
        return ""
    restarted = before.run_id != now.run_id
    if before.policy not in {KEEPS, ""} and (restarted or now.evicted_keys < before.evicted_keys):
        return f"{now.where} could evict under {before.policy} and counts from 0 again: how many keys went is not known"
    if restarted and now.keys < before.keys * (1 - _LAST_SECOND):
        return f"{now.where} was started again with {now.keys} keys, {before.keys - now.keys} fewer than before"
    return ""


def _judge_policy(now: RedisState) -> Finding:
    if now.policy == KEEPS:
        return Finding("redis_policy", "ok", f"{now.where} evicts nothing")
    if not now.policy:
        return Finding(
            "redis_policy",
            "warn",
            f"expected {now.where} to say its maxmemory-policy in INFO, found nothing",
            f"make sure that it is {KEEPS}",
        )
    return Finding(
        "redis_policy",
        "fail",
        f"expected redis maxmemory-policy {KEEPS}, found {now.policy}{f' at {now.server}' if now.server else ''}: "
        "evicted state cannot be told from no state",
        _SET_POLICY,
    )


def _judge_memory(now: RedisState) -> Finding:
    if not now.max_bytes:
        return Finding("redis_memory", "ok", f"{now.where} uses {now.used_bytes:,} bytes, without a bound")
    found = f"{now.where} uses {now.used_bytes:,} of {now.max_bytes:,} bytes"
    if now.full >= 1.0:
        return Finding("redis_memory", "fail", f"{found}: it is full, and refuses writes or evicts", _MORE_MEMORY)
    if now.full >= NEARLY_FULL:
        return Finding("redis_memory", "warn", f"{found}: it is nearly full", _MORE_MEMORY)
    return Finding("redis_memory", "ok", found)


def _judge_saving(now: RedisState) -> Finding:
    failed = [
        name for name, well in (("the append-only file", now.append_ok), ("its snapshot", now.snapshot_ok)) if not well
    ]
    if not failed:
        return Finding("redis_saving", "ok", f"{now.where} saves what it holds")
    return Finding(
        "redis_saving",
        "fail",
        f"{now.where} could not write {' and '.join(failed)}: a restart loses what it holds, and it may refuse writes",
        "free its disk, then run `redis-cli bgsave` and `redis-cli info persistence`",
    )


def _judge_link(now: RedisState) -> Finding:
    if now.is_replica and not now.link_up:
        return Finding(
            "redis_link",
            "warn",
            f"{now.where} is a replica that has lost its master: what is read from it is old",
            "look at `redis-cli info replication` there",
        )
    return Finding("redis_link", "ok", f"{now.where} is {'a replica in sync' if now.is_replica else 'a master'}")


@dataclass(frozen=True)
class Look:
    """One look at every server."""

    states: list[RedisState]
    comparisons: list[Comparison]

    @property
    def findings(self) -> list[Finding]:
        """Return the findings of every server."""
        return [finding for each in self.comparisons for finding in each.findings]

    @property
    def losses(self) -> list[str]:
        """Return every reason to think that keys are gone."""
        return [each.loss for each in self.comparisons if each.loss]


class RedisWatch:
    """Looks again and again, and remembers the check before: in memory and, given a key, in Redis itself.

    The memory in Redis moves only after ``on_loss`` has said yes, so a loss is reported at least once, whatever dies.

    Args:
        client: from ``weir.infra.redis.client.connect``; one of the watch's own, so that a slow ``INFO`` delays nobody.
        key: where to keep what was seen, see ``watch_key``; ``None`` keeps it in memory alone.
        on_loss: told the reason for each loss, again with each check until it returns True: it has been dealt with.
    """

    def __init__(
        self, client: Client, *, key: str | None = None, on_loss: Callable[[str], bool] = lambda _: True
    ) -> None:
        self._client = client
        self._key = key
        self._on_loss = on_loss
        self._before: dict[str, RedisState] | None = None
        self._saved: dict[str, RedisState] = {}
        self._untold: list[str] = []

    def look(self) -> Look:
        """Look at every server and compare with the check before.

        Raises:
            Transient: a server that holds keys cannot be reached.
        """
        if self._before is None:
            self._before = self._saved = self._load()
        states = read_states(self._client)
        look = Look(states, [compare(self._before.get(state.server), state) for state in states])
        self._before = self._before | {state.server: state for state in states}
        waiting = list(dict.fromkeys([*self._untold, *look.losses]))[-_UNTOLD_MAX:]
        self._untold = [loss for loss in waiting if not self._on_loss(loss)]
        if not self._untold:
            with suppress(Transient):  # a full server takes no write; its state is known, and the next check saves
                self._save({server: _lasting(state) for server, state in self._before.items()})
        return look

    def _load(self) -> dict[str, RedisState]:
        if self._key is None:
            return {}
        with transient_errors("reading what was seen of it"):
            return parse_seen(self._client.get(self._key))

    def _save(self, seen: Mapping[str, RedisState]) -> None:
        if self._key is None or seen == self._saved:
            return
        with transient_errors("keeping what was seen of it"):
            self._client.set(self._key, json.dumps([asdict(state) for state in seen.values()]))
        self._saved = dict(seen)


def watch_key(cluster: str, group: str) -> str:
    """Return the key under which a group keeps what it saw of Redis.

    >>> watch_key("local", "weir-processor")
    'weir:local:weir-processor:view:seen'
    """
    return f"weir:{cluster}:{group}:view:seen"


def parse_seen(raw: bytes | None) -> dict[str, RedisState]:
    """Return what was seen by the process that looked last; what is not ours to read counts as never seen.

    >>> parse_seen(b"scribble")
    {}
    """
    try:
        states = [RedisState(**each) for each in json.loads(raw or b"[]")]
    except (ValueError, TypeError):
        return {}
    return {state.server: state for state in states}


def _lasting(state: RedisState) -> RedisState:
    """Return what has to be remembered: what changes otherwise is not worth a write, which a full server refuses."""
    return replace(state, keys=0, used_bytes=0, max_bytes=0, link_up=True, snapshot_ok=True, append_ok=True)
