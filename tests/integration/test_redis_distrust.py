"""What stands in Redis is not believed because it is there: wrong bytes are found, said, and replaced from the log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import create_deployment, first_in_ci, settings_for
from tests.integration.payments import Publisher, build_label, build_payment, publish_labels
from tests.integration.services import Services, log_of
from tests.integration.streams import await_applied
from tests.payments import DECLARATIONS_HASH
from weir.inference.api.lookup import look_up
from weir.inference.api.reader import build_feature_reader
from weir.infra.kafka.admin import describe_topics
from weir.infra.redis.client import connect
from weir.infra.redis.known_list import read_parts
from weir.infra.redis.state_view import StateView
from weir.infra.redis.unit import Unit
from weir.infra.settings import Settings
from weir.streaming.kernels import shipped_kernel

pytestmark = pytest.mark.server

CARDS = 40
DAY_MS = 86_400_000
Damage = Callable[[Any, str, str], object]
"""Takes a client, the key to spoil, and another key that is sound."""

DAMAGES: dict[str, Damage] = {
    "empty": lambda redis, key, _: redis.set(key, b""),
    "another entity's bytes": lambda redis, key, other: redis.set(key, redis.get(other)),
    "bytes of no version": lambda redis, key, _: redis.set(key, b"\xff" * 40),
    "text": lambda redis, key, _: redis.set(key, "not a partial"),
    "cut short": lambda redis, key, _: redis.set(key, redis.get(key)[:-3]),
    "longer": lambda redis, key, _: redis.append(key, b"\x00"),
    "one bit": lambda redis, key, _: redis.set(key, bytes([redis.get(key)[0] ^ 1]) + redis.get(key)[1:]),
    "a list": lambda redis, key, _: (redis.delete(key), redis.rpush(key, "x")),
    "a hash": lambda redis, key, _: (redis.delete(key), redis.hset(key, "x", "y")),
}
KEYS = {"a card": "t00:card:", "a merchant": "t00:merchant:", "labels of a merchant": "l00:merchant:"}
POSITIONS: dict[str, Damage] = {
    "a position of nothing": DAMAGES["text"],
    "a position ahead": lambda redis, key, _: redis.set(key, b"9" + redis.get(key)),
    "an empty position": DAMAGES["empty"],
    "a position of another type": DAMAGES["a list"],
}


def _sort_known(listed: bytes) -> bytes:
    parts = read_parts(listed)
    assert parts is not None, "a list of known ids is damaged"
    return bytes(sorted(b"".join(parts)))


class World:
    """One deployment whose units have something in them."""

    def __init__(self, settings: Settings, services: Services) -> None:
        self.settings, self.services = settings, services
        names = settings.topics
        topics = describe_topics(settings.kafka, [names.transactions, names.labels])
        ids = {"t": topics[names.transactions].topic_id, "l": topics[names.labels].topic_id}
        self.redis = connect(settings.redis)
        self.view = StateView(
            self.redis,
            cluster=settings.cluster,
            group=settings.processor.group,
            topic_ids=ids,
            declarations_hash=DECLARATIONS_HASH,
        )
        self.reader = build_feature_reader(settings, self.redis, shipped_kernel())

    def fill(self) -> None:
        now_ms = int(time.time() * 1_000)
        paid = [
            build_payment(f"t{n}", card_id=f"c{n}", merchant_id=f"m{n % 3}", event_time_ms=now_ms - 20 * DAY_MS + n)
            for n in range(CARDS)
        ]
        places = Publisher(self.settings).send_payments(paid)
        labels = [
            build_label(
                one["transaction_id"], card_id=one["card_id"], merchant_id=one["merchant_id"],
                event_time_ms=one["event_time_ms"], label_time_ms=now_ms - DAY_MS,
            )
            for one in paid
        ]  # fmt: skip
        ends = {f"l{partition:02d}": end for partition, end in publish_labels(self.settings, labels).items()}
        for partition, offset in places:
            tag = f"t{partition:02d}"
            ends[tag] = max(offset + 1, ends.get(tag, 0))
        await_applied(self.settings, ends, self.services.await_true)

    def held(self, unit: Unit) -> dict[bytes, bytes | None]:
        """Return the values of a unit but its position, which says that it was built again."""
        found = self.redis.scan_iter(match=self.view.prefix(unit) + "*", count=2_000)
        keys = sorted(key for key in found if not key.endswith(b":position"))
        held = dict(zip(keys, self.redis.mget(keys), strict=True)) if keys else {}
        # the list of known ids is in the order of the batches, and has a part for each of them
        return {key: _sort_known(value or b"") if b":known:" in key else value for key, value in held.items()}

    def is_incomplete(self, unit: Unit, entity: str, entity_id: str) -> bool:
        found = look_up(shipped_kernel(), self.reader, entity, entity_id, now_ms=int(time.time() * 1_000))
        return not found["complete"] and unit.tag in found["incomplete_units"]


@pytest.fixture(scope="module")
def world(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    settings = settings_for(stack, "distrust", partitions=2)
    create_deployment(settings)
    services = Services(settings, tmp_path_factory.mktemp("logs"))
    built = World(settings, services)
    services.start_module("tests.integration.processor_child", "looking", "0", "0")
    built.fill()
    yield built
    services.stop()


def _pairs() -> Iterator[Any]:
    """A few of all pairs here, and every other one in ``make test-verify``: each takes a rebuild."""
    in_ci = {("another entity's bytes", "a merchant"), ("one bit", "a card"), ("cut short", "labels of a merchant")}
    in_ci |= {("empty", "a card"), ("a list", "a card")}
    for damage in DAMAGES:
        for where in KEYS:
            is_here = (damage, where) in in_ci
            yield pytest.param(damage, where, marks=() if is_here else pytest.mark.verify, id=f"{damage}-{where}")


@pytest.mark.parametrize(("damage", "where"), list(_pairs()))
def test_a_value_that_is_not_what_was_written_is_never_believed_and_built_again(
    world: World, damage: str, where: str
) -> None:
    tag, entity, _ = KEYS[where].split(":")
    unit = Unit(tag[0], int(tag[1:]))
    before = world.held(unit)
    keys = [key.decode() for key in before if f"}}:{entity}:".encode() in key]
    DAMAGES[damage](world.redis, keys[0], keys[1])
    entity_id = keys[0].rpartition(":")[2]
    if damage.startswith("a ") and entity != "card":
        # other units know the merchant too, so nobody looks at the type before the owner needs the value; it is told
        world.view.suspect(unit, "a value of another type")
    assert world.is_incomplete(unit, entity, entity_id)
    world.services.await_true(lambda: world.held(unit) == before, f"{keys[0]} as it was")
    world.services.await_true(lambda: not world.is_incomplete(unit, entity, entity_id), "a complete answer")


@pytest.mark.parametrize("damage", first_in_ci(*POSITIONS))
def test_a_position_that_was_not_written_by_us_is_never_believed_and_built_again(world: World, damage: str) -> None:
    unit = Unit("t", 1)
    before = world.held(unit)
    POSITIONS[damage](world.redis, world.view.prefix(unit) + "position", "")
    assert world.is_incomplete(unit, "card", "c1")
    world.services.await_true(lambda: world.held(unit) == before, "the unit as it was")
    world.services.await_true(lambda: not world.is_incomplete(unit, "card", "c1"), "a complete answer")


def test_a_start_on_spoiled_units_builds_them_again_and_says_which(stack: Settings, tmp_path: Path) -> None:
    """Every kind of unit at once, spoiled while no processor runs; the first payments find it."""
    settings = settings_for(stack, "distrust-start", partitions=2)
    create_deployment(settings)
    services = Services(settings, tmp_path / "logs")
    try:
        world = World(settings, services)
        first = services.start("process")
        world.fill()
        services.end(first)
        units = [Unit(kind, number) for kind in ("t", "l") for number in range(2)]
        before = {unit: world.held(unit) for unit in units}
        for unit in units:
            for key in before[unit]:
                if b":known:" not in key:
                    world.redis.set(key, b"spoiled")
        second = services.start("process")
        now_ms = int(time.time() * 1_000)
        places = Publisher(settings).send_payments(
            build_payment(f"u{n}", card_id=f"c{n}", merchant_id="m0", event_time_ms=now_ms) for n in range(CARDS)
        )
        ends = {f"t{partition:02d}": offset + 1 for partition, offset in sorted(places)}
        reader = await_applied(settings, ends, services.await_true)
        for number in range(CARDS):
            found = look_up(shipped_kernel(), reader, "card", f"c{number}", now_ms=now_ms)
            assert found["features"]["card_event_count_30d"] == 2.0
        said = log_of(second)
        assert '"view_broken"' in said
        assert all(unit.tag in said for unit in units if unit.kind == "t")
    finally:
        services.stop()
