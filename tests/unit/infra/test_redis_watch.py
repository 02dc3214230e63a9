"""What two looks at a Redis server say, without a server."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.infra.findings import worst
from weir.infra.redis.watch import RedisState, RedisWatch, compare, parse_info, parse_seen, watch_key
from weir.schemas.errors import Transient

WELL = RedisState(server="", run_id="a", policy="noeviction", keys=1_000, used_bytes=10, max_bytes=100, evicted_keys=0)
POLICIES = [*(f"allkeys-{how}" for how in ("lru", "lfu", "random")), "volatile-lru", "volatile-lfu", "volatile-ttl"]


def level(now: RedisState, check: str) -> str:
    return worst(finding for finding in compare(None, now).findings if finding.check == check)


def test_a_server_as_it_must_be_has_nothing_to_report() -> None:
    assert {finding.level for finding in compare(WELL, WELL).findings} == {"ok"}
    assert (compare(WELL, WELL).evicted, compare(WELL, WELL).loss) == (0, "")


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_that_may_drop_keys_fails_with_the_command(policy: str) -> None:
    (finding,) = [each for each in compare(None, replace(WELL, policy=policy)).findings if not each.well]
    assert finding.level == "fail"
    assert f"found {policy}" in finding.found
    assert "config set maxmemory-policy noeviction" in finding.fix


def test_a_policy_that_is_not_told_is_a_warning_and_no_refusal() -> None:
    assert level(replace(WELL, policy=""), "redis_policy") == "warn"


@pytest.mark.parametrize(("used", "expected"), [(89, "ok"), (90, "warn"), (99, "warn"), (100, "fail"), (130, "fail")])
def test_memory_warns_before_it_is_full(used: int, expected: str) -> None:
    assert level(replace(WELL, used_bytes=used), "redis_memory") == expected


def test_memory_without_a_bound_is_never_full() -> None:
    assert level(replace(WELL, max_bytes=0, used_bytes=10**12), "redis_memory") == "ok"


@pytest.mark.parametrize("change", [{"append_ok": False}, {"snapshot_ok": False}])
def test_a_server_that_cannot_save_fails(change: dict[str, Any]) -> None:
    assert level(replace(WELL, **change), "redis_saving") == "fail"


def test_a_replica_without_its_master_warns() -> None:
    assert level(replace(WELL, is_replica=True, link_up=False), "redis_link") == "warn"
    assert level(replace(WELL, is_replica=True), "redis_link") == "ok"


def test_evicted_keys_are_a_loss_whatever_the_policy_is_by_now() -> None:
    found = compare(WELL, replace(WELL, evicted_keys=7))
    assert found.evicted == 7
    assert "evicted 7 keys" in found.loss


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("change", [{"run_id": "b"}, {"evicted_keys": 0}])
def test_a_counter_that_begins_again_after_a_policy_that_evicts_is_a_loss(policy: str, change: dict[str, Any]) -> None:
    """A restart or CONFIG RESETSTAT hides what was evicted before it."""
    before = replace(WELL, policy=policy, evicted_keys=5)
    assert compare(before, replace(before, policy="noeviction", **change)).loss


def test_a_restart_that_keeps_its_keys_is_no_loss() -> None:
    assert compare(WELL, replace(WELL, run_id="b", keys=995)).loss == ""


def test_a_restart_with_far_fewer_keys_is_a_loss() -> None:
    assert "fewer than before" in compare(WELL, replace(WELL, run_id="b", keys=800)).loss


def test_the_first_look_knows_of_no_loss() -> None:
    assert compare(None, replace(WELL, evicted_keys=7)).loss == ""


states = st.builds(
    RedisState,
    server=st.just(""),
    run_id=st.sampled_from("ab"),
    policy=st.sampled_from(["noeviction", "", *POLICIES]),
    keys=st.integers(0, 10**6),
    used_bytes=st.integers(0, 10**9),
    max_bytes=st.integers(0, 10**9),
    evicted_keys=st.integers(0, 10**6),
    is_replica=st.booleans(),
    link_up=st.booleans(),
    snapshot_ok=st.booleans(),
    append_ok=st.booleans(),
)


@given(states, states)
def test_evictions_are_never_silent_and_every_fault_names_a_fix(before: RedisState, now: RedisState) -> None:
    found = compare(before, now)
    assert found.evicted >= 0
    assert bool(found.loss) >= (found.evicted > 0)
    assert all(bool(finding.fix) == (not finding.well) for finding in found.findings)


def test_an_info_of_a_server_that_tells_little_reads_as_nothing_to_report() -> None:
    state = parse_info({"run_id": "a", "maxmemory_policy": "noeviction"})
    assert worst(compare(None, state).findings) == "ok"


def test_what_buffers_take_does_not_count_against_maxmemory() -> None:
    info = {"used_memory": 120, "mem_not_counted_for_evict": 30, "maxmemory": 100, "maxmemory_policy": "noeviction"}
    assert level(parse_info(info), "redis_memory") == "warn"


class Server:
    """A single Redis as far as the watch uses it."""

    def __init__(self) -> None:
        self.told: dict[str, Any] = {"run_id": "a", "maxmemory_policy": "noeviction", "evicted_keys": 0}
        self.kept: dict[str, bytes] = {}

    def info(self) -> dict[str, Any]:
        return self.told

    def get(self, key: str) -> bytes | None:
        return self.kept.get(key)

    def set(self, key: str, value: str) -> None:
        self.kept[key] = value.encode()


KEY = watch_key("local", "g")


def test_a_loss_while_nobody_looked_is_told_to_the_next_process() -> None:
    server, told = Server(), list[str]()

    def tell(reason: str) -> bool:
        told.append(reason)
        return True

    RedisWatch(server, key=KEY).look()
    server.told["evicted_keys"] = 3
    RedisWatch(server, key=KEY, on_loss=tell).look()
    assert told == ["redis evicted 3 keys"]
    RedisWatch(server, key=KEY, on_loss=tell).look()
    assert len(told) == 1


def test_keys_are_not_counted_while_a_server_loads_them() -> None:
    server, told = Server(), list[str]()
    watch = RedisWatch(server, key=KEY, on_loss=lambda reason: not told.append(reason))  # type: ignore[func-returns-value]
    server.told["db0"] = {"keys": 1_000}
    watch.look()
    server.told |= {"run_id": "b", "loading": 1, "db0": {"keys": 300}}
    with pytest.raises(Transient, match="loading its file after a start"):
        watch.look()
    server.told |= {"loading": 0, "db0": {"keys": 1_000}}
    watch.look()
    assert told == []


def test_a_loss_that_nobody_dealt_with_is_told_again_also_to_the_next_process() -> None:
    server, told, deals = Server(), [], [False]
    first = RedisWatch(server, key=KEY)
    first.look()
    server.told["evicted_keys"] = 3

    def hear(reason: str) -> bool:
        told.append(reason)
        return deals[0]

    watch = RedisWatch(server, key=KEY, on_loss=hear)
    watch.look()
    watch.look()
    second = RedisWatch(server, key=KEY, on_loss=hear)
    second.look()
    assert len(told) == 3
    deals[0] = True
    second.look()
    RedisWatch(server, key=KEY, on_loss=hear).look()
    assert len(told) == 4


@pytest.mark.parametrize("raw", [b"", b"{}", b"[1]", b'[{"server": "x"}]', b"\xff", None])
def test_scribble_under_the_key_counts_as_never_seen(raw: bytes | None) -> None:
    assert parse_seen(raw) == {}


def test_the_sweep_gives_the_key_no_expiry() -> None:
    """``StateView.sweep`` leaves out what begins with the group's ``view:``."""
    assert KEY.startswith("weir:local:g:view:")
