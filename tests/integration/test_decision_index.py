"""The decision index against a Redis that loses data: all of it or a bucket's last second, while it runs or not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import settings_for
from tests.integration.decided import await_true, build_rows, publish_rows
from tests.integration.running import running
from tests.unit.inference.bundles import link_champion, write_bundle
from weir.inference.cli import run_index, run_scorer
from weir.inference.index import DecisionReader
from weir.infra.kafka.admin import describe_topics
from weir.infra.redis.client import connect
from weir.infra.redis.decision_store import BUCKETS, DecisionStore, bucket_of, decision_key, read_entry
from weir.infra.settings import Settings
from weir.schemas.errors import Damaged, Refused

pytestmark = pytest.mark.server
IDS = [f"t{number}" for number in range(200)]


@pytest.fixture
def scoring(deployment: Settings, tmp_path: Path) -> Settings:
    link_champion(tmp_path, write_bundle(tmp_path / "models" / "tiny-1"))
    return deployment.model_copy(update={"home": tmp_path})


class Held:
    """What Redis holds of one deployment's index, and ways to lose some of it."""

    def __init__(self, settings: Settings) -> None:
        self.client = connect(settings.redis)
        self.cluster = settings.cluster
        self.store = DecisionStore(self.client, space=self.cluster, topic_id="topic", ttl_seconds=60)

    def values(self, ids: list[str]) -> list[Any]:
        return [read_entry(self.client, self.cluster, one) for one in ids]

    def wipe(self) -> None:
        self.client.delete(*self.client.scan_iter(f"weir:{self.cluster}:deci*"))

    def set_back(self, bucket: int, topic_id: str, ids: list[str]) -> None:
        """Put a bucket where it was before its newest entries: as a lagging replica that is promoted."""
        key = f"weir:{self.cluster}:decided:2:{{i{bucket:02d}}}:{topic_id}"
        older = {number: max(0, int(at) - 30) for number, at in self.client.hgetall(key).items()}
        lost = [decision_key(self.cluster, one) for one in ids if bucket_of(one) == bucket]
        self.client.hset(key, mapping=older)
        self.client.delete(*lost)


@pytest.fixture
def held(stack: Settings) -> Held:
    return Held(settings_for(stack, "index"))


def _entries(first: int, end: int) -> list[tuple[str, bytes]]:
    return [(one, one.encode()) for one in IDS[first:end]]


def test_entries_are_written_where_nothing_before_them_is_missing_and_expire(held: Held) -> None:
    held.store.claim(0, 0)
    held.store.claim(1, 7)
    assert held.store.write(_entries(0, 100), {0: (0, 90), 1: (7, 17)})
    assert held.store.write(_entries(100, 200), {0: (90, 190)})
    assert held.values(IDS) == [one.encode() for one in IDS]
    assert held.store.positions(0) == [190] * BUCKETS
    assert held.store.positions(1) == [17] * BUCKETS
    assert 0 < held.client.ttl(decision_key(held.cluster, "t0")) <= 60


def test_a_write_to_buckets_that_hold_nothing_is_refused_and_writes_nothing(held: Held) -> None:
    assert not held.store.write(_entries(0, 20), {0: (0, 20)})
    assert held.values(IDS[:20]) == [None] * 20
    assert held.store.positions(0) == [None] * BUCKETS


def test_a_write_above_what_one_bucket_holds_is_refused_there(held: Held) -> None:
    held.store.claim(0, 0)
    held.store.write(_entries(0, 100), {0: (0, 100)})
    bucket = bucket_of("t150")
    held.set_back(bucket, "topic", IDS[70:100])
    assert not held.store.write(_entries(100, 200), {0: (100, 200)})
    assert held.values(["t150"]) == [None]
    positions = [place for place in held.store.positions(0) if place is not None]
    assert min(positions) == held.store.positions(0)[bucket] == 70
    assert held.store.write(_entries(70, 200), {0: (70, 200)})
    assert held.values(IDS) == [one.encode() for one in IDS]


def test_a_late_write_of_another_member_changes_nothing_and_sets_nothing_back(held: Held) -> None:
    held.store.claim(0, 0)
    held.store.write(_entries(0, 100), {0: (0, 100)})
    assert held.store.write(_entries(0, 50), {0: (0, 50)})
    assert held.store.positions(0) == [100] * BUCKETS


def test_a_claim_moves_no_position_that_is_there(held: Held) -> None:
    held.store.claim(0, 5)
    held.store.claim(0, 3)
    assert held.store.positions(0) == [5] * BUCKETS


def test_a_position_that_is_no_number_is_refused_with_the_mend(held: Held) -> None:
    held.client.hset(f"weir:{held.cluster}:decided:2:{{i03}}:topic", "0", "x")
    with pytest.raises(Refused, match="delete that key"):
        held.store.positions(0)


def _index_of(settings: Settings) -> tuple[Held, Callable[[int], bool]]:
    held, reader = Held(settings), DecisionReader(connect(settings.redis), space=settings.key_space)
    return held, lambda count: all(reader.read(one) for one in IDS[:count])


def test_what_redis_lost_while_the_index_runs_is_written_again(
    scoring: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``[100] WIPED, quiet [100] ONE BUCKET SET BACK [100 more]``: first it has to look, then the next write tells."""
    monkeypatch.setattr("weir.inference.index.LOOK_EVERY_SECONDS", 0.1)
    held, has = _index_of(scoring)
    topic = scoring.topics.decisions
    publish_rows(scoring, build_rows(0, 100))
    with running(run_scorer, scoring, instance=0, with_index=True):
        await_true(lambda: has(100), "100 entries")
        before = held.values(IDS[:100])
        held.wipe()
        await_true(lambda: has(100), "100 entries again")
        assert held.values(IDS[:100]) == before
        monkeypatch.setattr("weir.inference.index.LOOK_EVERY_SECONDS", 3_600.0)
        held.set_back(bucket_of("t99"), describe_topics(scoring.kafka, [topic])[topic].topic_id, IDS[80:100])
        publish_rows(scoring, build_rows(100, 100))
        await_true(lambda: has(200), "200 entries")
    assert held.values(IDS[:100]) == before


def test_what_redis_lost_while_no_index_ran_is_written_again_though_its_offset_was_committed(scoring: Settings) -> None:
    held, has = _index_of(scoring)
    publish_rows(scoring, build_rows(0, 100))
    with running(run_scorer, scoring, instance=0, with_index=True):
        await_true(lambda: has(100), "100 entries")
    before = held.values(IDS[:100])
    held.wipe()
    with running(run_index, scoring, instance=0):
        await_true(lambda: has(100), "100 entries again")
    assert held.values(IDS[:100]) == before


def _spoil(held: Held, ids: list[str]) -> list[str]:
    """Put something else under each key: nothing, other bytes, another type, another decision, a part, one bit."""
    own = {one: held.client.get(decision_key(held.cluster, one)) for one in ids}
    other = own[ids[0]]
    forms = [b"", b"null", b"\xff\x00", other, own[ids[4]][:-12], bytes([own[ids[5]][0] ^ 1]) + own[ids[5]][1:]]
    for one, form in zip(ids[1:7], [None, *forms[:3], forms[4], forms[5]], strict=True):
        held.client.delete(decision_key(held.cluster, one))
        if form is None:
            held.client.lpush(decision_key(held.cluster, one), "x")
        else:
            held.client.set(decision_key(held.cluster, one), form)
    held.client.set(decision_key(held.cluster, ids[7]), other)
    return ids[1:8]


def test_an_entry_that_is_not_what_was_written_is_never_answered(held: Held) -> None:
    held.store.claim(0, 0)
    held.store.write(_entries(0, 8), {0: (0, 8)})
    for one in _spoil(held, IDS[:8]):
        with pytest.raises(Damaged):
            read_entry(held.client, held.cluster, one)
        assert read_entry(held.client, held.cluster, one) is None  # until it is written again
        held.store.drop_damaged()
        assert held.store.positions(0)[bucket_of(one)] is None
    assert held.values(IDS[:1]) == [b"t0"]


def test_damaged_entries_are_written_again_from_the_log(scoring: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weir.inference.index.LOOK_EVERY_SECONDS", 0.1)
    held, has = _index_of(scoring)
    publish_rows(scoring, build_rows(0, 20))
    with running(run_scorer, scoring, instance=0, with_index=True):
        await_true(lambda: has(20), "20 entries")
        before = held.values(IDS[:20])
        for one in _spoil(held, IDS[:8]):
            with pytest.raises(Damaged):
                read_entry(held.client, held.cluster, one)
        await_true(lambda: has(20), "20 entries again")
    assert held.values(IDS[:20]) == before
