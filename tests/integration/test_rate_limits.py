"""Rates of keys, counted in a real Redis by several who share it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from weir.infra.redis.client import Client, connect
from weir.infra.redis.rate_limits import Limit, RateLimits
from weir.infra.settings import Settings
from weir.schemas.errors import Transient

SLOW = Limit(rate_per_second=0.001, burst=5)
"""Gives nothing back while a test runs."""


@pytest.fixture
def limits(client: Client, space: str) -> RateLimits:
    return RateLimits(client, space=space)


def test_as_many_pass_at_once_as_a_burst_has_and_the_rest_are_told_when(limits: RateLimits) -> None:
    taken = limits.take_all([("a", SLOW)] * 7)
    assert [each.allowed for each in taken] == [True] * 5 + [False] * 2
    assert [each.remaining for each in taken] == [4, 3, 2, 1, 0, 0, 0]
    assert all(999 < each.wait_seconds <= 1_000 for each in taken[5:])
    assert 4_999 < taken[-1].full_seconds <= 5_000
    assert limits.take_all([("b", SLOW)])[0].allowed


def test_what_is_refused_takes_nothing_and_the_rate_comes_back(limits: RateLimits) -> None:
    quick = Limit(rate_per_second=200, burst=2)
    passed = 0
    while passed < 20:
        taken = limits.take_all([("a", quick)] * 50)  # ever so many that are refused
        passed += sum(each.allowed for each in taken)
        assert taken[-1].wait_seconds <= 0.005 + 0.001


def test_several_who_count_at_once_let_no_more_pass_than_one_would(stack: Settings, space: str) -> None:
    def take(_: int) -> int:
        with closing(connect(stack.redis)) as client:
            own = RateLimits(client, space=space)
            return sum(own.take_all([("shared", Limit(0.001, 40))])[0].allowed for _ in range(20))

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(take, range(4))) == 40


def test_what_is_kept_of_a_full_bucket_is_gone(client: Client, limits: RateLimits, space: str) -> None:
    limits.take_all([("a", Limit(rate_per_second=0.01, burst=5))])
    (key,) = client.keys(f"weir:{space}:rate:*")
    assert 99_000 < client.pttl(key) <= 100_000


def test_a_redis_that_is_away_is_said() -> None:
    nowhere = Settings().redis.model_copy(update={"url": "redis://127.0.0.1:1/0"})
    with closing(connect(nowhere)) as client, pytest.raises(Transient) as away:
        RateLimits(client, space="x").take_all([("a", SLOW)])
    assert away.value.cause == "away"
