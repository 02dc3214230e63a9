"""The seal of a partial: whatever is changed, moved or cut is found; what was written is not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.payments import ENTITIES, Entity
from tests.unit.streaming.sealed import sealed
from tests.unit.streaming.streams import build, random_stream
from weir.infra.redis.unit import Unit
from weir.schemas.streams.payments import payments
from weir.streaming.core.seal import SEAL_BYTES, compute_base, find_broken
from weir.streaming.kernels import shipped_kernel

UNIT = Unit("t", 3)
HASH = payments.declarations_hash
BODIES = st.binary(min_size=1, max_size=200)


def _is_broken(value: bytes, *, unit: Unit = UNIT, entity: Entity = Entity.CARD, entity_id: str = "c1") -> bool:
    return len(find_broken(compute_base(HASH, unit.kind, entity, unit.partition), [entity_id], [value])) == 1


@settings(deadline=None)  # the first one compiles
@given(body=BODIES)
def test_what_was_sealed_is_sound_and_nothing_is_never_seen(body: bytes) -> None:
    assert not _is_broken(sealed(UNIT, Entity.CARD, "c1", body))
    assert not _is_broken(b"")


@settings(max_examples=300, deadline=None)
@given(body=BODIES, data=st.data())
def test_one_bit_a_byte_more_or_less_and_halves_are_found(body: bytes, data: st.DataObject) -> None:
    value = sealed(UNIT, Entity.CARD, "c1", body)
    at = data.draw(st.integers(0, len(value) - 1))
    bit = data.draw(st.integers(0, 7))
    assert _is_broken(value[:at] + bytes([value[at] ^ (1 << bit)]) + value[at + 1 :])
    assert _is_broken(value[:-1])
    assert _is_broken(value + b"\x00")
    assert _is_broken(value[: len(value) // 2])


@pytest.mark.parametrize(
    "other",
    [{"unit": Unit("t", 4)}, {"unit": Unit("l", 3)}, {"entity": Entity.DEVICE}, {"entity_id": "c2"}],
)
@given(body=BODIES)
def test_the_bytes_of_another_key_are_found(body: bytes, other: dict[str, Any]) -> None:
    assert _is_broken(sealed(UNIT, Entity.CARD, "c1", body), **other)


@given(junk=st.binary(min_size=1, max_size=SEAL_BYTES + 2))
def test_a_value_of_a_few_bytes_is_no_partial(junk: bytes) -> None:
    assert _is_broken(junk)


def test_what_the_kernel_writes_carries_the_seal_of_its_key_whatever_the_unit() -> None:
    for partition in (0, 7):
        events = build([event | {"partition": partition} for event in random_stream(3, 200)])
        states = shipped_kernel().fold(
            events, {spec.entity: [b""] * len(events.entities[spec.entity]) for spec in ENTITIES}
        )
        for entity, index in events.entities.items():
            base, other = compute_base(HASH, "t", entity, partition), compute_base(HASH, "t", entity, partition + 1)
            assert not len(find_broken(base, index.ids, states[entity]))
            assert len(find_broken(other, index.ids, states[entity])) == sum(map(bool, states[entity]))
