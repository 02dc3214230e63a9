"""How fast a key may ask: the answers and their headers, over a twin that counts in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.inference.test_api import World, await_true
from tests.unit.inference.twins import Client
from weir.access.key import Key, Scope, build_key, check_rate, hash_text, make_text
from weir.inference.api.app import build_api
from weir.inference.api.limited import Asked
from weir.infra.redis.rate_limits import Limit, Taken
from weir.monitoring import metrics
from weir.schemas.errors import Refused, Transient

BURST = 3


class MemoryLimits:
    """Lets a burst pass and gives nothing back; ``away`` is what it raises."""

    def __init__(self) -> None:
        self.taken: Counter[str] = Counter()
        self.away: Transient | None = None

    def take_all(self, asked: Sequence[Asked]) -> list[Taken]:
        if self.away is not None:
            raise self.away
        return [self._take(*each) for each in asked]

    def _take(self, name: str, limit: Limit) -> Taken:
        self.taken[name] += 1
        left = limit.burst - self.taken[name]
        return Taken(left >= 0, 0.0 if left >= 0 else 1.2, max(left, 0), 2.5)


class Served:
    """An API with keys of a rate each."""

    def __init__(self, home: Path, default: Limit | None = None) -> None:
        self.world = World(home)
        self.limits = MemoryLimits()
        self.keys: dict[str, Key] = {}
        parts = replace(self.world.parts, find_key=self.keys.get, limits=self.limits, default_limit=default)
        self.client = Client(build_api(parts))

    def key(self, rate: float | None = None, burst: int | None = None) -> dict[str, str]:
        key_id, text = make_text()
        key = build_key(key_id, hash_text(text), "till", [Scope.READ], (), now_ms=0, by="test")
        self.keys[text] = replace(key, rate_per_second=rate, burst=burst)
        return {"x-api-key": text}


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    made: list[Served] = []

    def build(**options: Any) -> Served:
        made.append(Served(tmp_path, **options))
        return made[-1]

    yield build
    for each in made:
        each.world.guard.close()


def unchecked() -> float:
    return metrics.HTTP_RATE_UNCHECKED._value.get()


def test_a_key_that_asks_too_fast_is_told_when_to_ask_again(make: Callable[..., Served]) -> None:
    served = make()
    key = served.key(2.0, BURST)
    answers = [served.client.get("/v1/models", headers=key) for _ in range(BURST + 1)]
    assert [each.status_code for each in answers] == [200] * BURST + [429]
    assert [each.headers["ratelimit"] for each in answers[-2:]] == ['"key";r=0;t=3', '"key";r=0;t=3']
    assert {each.headers["ratelimit-policy"] for each in answers} == {'"key";q=3;w=2'}
    assert (answers[-1].json()["error"]["code"], answers[-1].headers["retry-after"]) == ("rate_limited", "2")
    assert "retry-after" not in answers[0].headers


def test_keys_are_counted_apart_and_health_checks_never(make: Callable[..., Served]) -> None:
    served = make()
    first, second = served.key(2.0, 1), served.key(2.0, 1)
    assert [served.client.get("/v1/models", headers=key).status_code for key in (first, first, second)] == [
        200,
        429,
        200,
    ]
    assert [served.client.get("/readyz", headers=first).status_code for _ in range(3)] == [200] * 3
    assert served.client.get("/v1/models").status_code == 401, "who has no key is not counted"
    assert served.limits.taken.total() == 3


def test_a_key_without_a_rate_has_the_settings_or_none(make: Callable[..., Served]) -> None:
    bounded, free = make(default=Limit(1.0, 1)), make()
    own = bounded.key(1.0, 2)
    for served, key, want in (
        (bounded, bounded.key(), [200, 429]),
        (bounded, own, [200, 200]),
        (free, free.key(), [200, 200]),
    ):
        answers = [served.client.get("/v1/models", headers=key) for _ in range(2)]
        assert [each.status_code for each in answers] == want
    assert "ratelimit" not in free.client.get("/v1/models", headers=free.key()).headers
    assert free.limits.taken.total() == 0


def test_without_a_redis_that_counts_requests_pass_and_are_counted_as_such(make: Callable[..., Served]) -> None:
    served = make()
    key = served.key(1.0, 1)
    before = unchecked()
    served.limits.away = Transient("redis: counting requests: gone", cause="away")
    served.world.partials.away = "redis: gone"
    answers = [served.client.get("/v1/models", headers=key) for _ in range(3)]
    assert ([each.status_code for each in answers], unchecked() - before) == ([200] * 3, 3)
    served.limits.away = None
    served.world.partials.away = ""
    await_true(lambda: not served.world.guard.reason)
    assert [served.client.get("/v1/models", headers=key).status_code for _ in range(2)] == [200, 429]


def test_a_redis_that_is_full_still_answers_who_only_reads(make: Callable[..., Served]) -> None:
    served = make()
    before = unchecked()
    served.limits.away = Transient("redis: counting requests: full", cause="full")
    answer = served.client.get("/v1/features/card/c1", headers=served.key(1.0, 1))
    assert (answer.status_code, unchecked() - before, served.world.guard.reason) == (200, 1, "")


@pytest.mark.parametrize(
    ("rate", "burst"), [(None, 5), (0.0, None), (-1.0, None), (float("nan"), 1), (1e9, 1), (1.0, 0), (1.0, 10**9)]
)
def test_a_rate_that_is_none_is_refused(rate: float | None, burst: int | None) -> None:
    with pytest.raises(Refused, match="expected"):
        check_rate(rate, burst)
