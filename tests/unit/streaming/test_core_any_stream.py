"""The kernel of streams that nobody wrote by hand, against the oracle that reads the same declaration.

How many measures, flags and attributes there are decides the machine code, so three sizes are taken: a stream like a
user's own, one with next to nothing, and the bounds. Within a size everything is drawn.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.streaming.declared import BARE, FULL, NOTHING, OWN, Sizes, declare, draw_events, records_of
from tests.unit.streaming.oracle import PANES, Event, History, Oracle, bit_of, facts_of_declared
from tests.unit.streaming.streams import START_MS, Driver, event
from weir.schemas.checks.declaration import BOUND_MAX
from weir.schemas.durations import parse_ms
from weir.schemas.expression import col
from weir.schemas.stream import Measure
from weir.schemas.streams.payments import payments
from weir.streaming.core import jit
from weir.streaming.core.kernel import Kernel
from weir.streaming.core.partial import Partial, Sums
from weir.streaming.core.states import Step

SEEDS = st.integers(0, 2**32 - 1)
SOME = settings(max_examples=8, deadline=None)
FEW = settings(max_examples=3, deadline=None)


def driver_of(kernel: Kernel, sizes: Sizes, partitions: int = 1) -> Driver:
    return Driver(partitions, kernel=kernel, records=records_of(sizes))


def oracle_of(kernel: Kernel, partitions: int = 1) -> Oracle:
    return Oracle(partitions, kernel.stream, facts_of_declared(kernel.stream))


def assert_as_oracle(oracle: Oracle, events: list[Event], done: Step, seed: int) -> None:
    for row, one in enumerate(events):
        verdict, late, values = oracle.take(one)
        assert done.verdicts[row] == verdict, (seed, row)
        if verdict:
            continue
        assert done.late[row] == late, (seed, row)
        for column, (feature, expected) in enumerate(zip(oracle.stream.all_features, values, strict=True)):
            found = float(done.features[row, column])
            tolerance = 2e-4 if feature.aggregate == "decayed" else 1e-5  # fixed point here, floats in the oracle
            assert found == pytest.approx(expected, rel=tolerance, abs=1e-5, nan_ok=True), (
                f"seed {seed}, row {row}, {feature.name}: expected {expected}, found {found}"
            )


def assert_partials(driver: Driver, oracle: Oracle) -> None:
    """A second reader of the bytes finds what the oracle keeps."""
    kept = {key for key, history in oracle.histories.items() if history.newest_ms is not None}
    assert set(driver.states) == kept
    for (entity, partition, key), data in driver.states.items():
        partial = driver.kernel.decode_partial(entity, data)
        assert partial is not None
        history = oracle.histories[entity, partition, key]
        assert partial.newest_ms == history.newest_ms
        assert_ring(driver.kernel, partial, history)
        assert_panes(oracle, entity, partial, history)


def assert_ring(kernel: Kernel, partial: Partial, history: History) -> None:
    names, flags = [m.name for m in kernel.stream.measures], [f.name for f in kernel.stream.flags]
    expected = []
    for one in reversed(history.exact):
        facts = one["facts"]
        values = tuple(facts.values[name] for name in names) or (0,)  # at least one
        bits = sum(facts.flags[name] << bit for bit, name in enumerate(flags))
        expected.append((one["at"], values, bits, facts.is_reversal))
    assert [(e.time_ms, e.values, e.flags, e.is_reversal) for e in partial.ring] == expected


def assert_panes(oracle: Oracle, entity: str, partial: Partial, history: History) -> None:
    stream, fields = oracle.stream, oracle.stream.entity(entity).tells_apart
    for window_ms, panes in partial.panes.items():
        for pane in panes:
            inside = [e for e in history.tiled if e["at"] // (window_ms // PANES) == pane.index]
            back = [e["facts"] for e in inside if e["facts"].is_reversal]
            sizes = [abs(facts.values[stream.reversal.of]) for facts in back] if stream.reversal else []
            assert (pane.reversals, pane.reversed_total) == (len(back), sum(sizes)), window_ms
            inside = [e for e in inside if not e["facts"].is_reversal]
            assert pane.count == len(inside), window_ms
            for measure, sums in zip(stream.measures, pane.sums, strict=False):
                values = [e["facts"].values[measure.name] for e in inside]
                least, most = min(values, default=0), max(values, default=0)
                assert sums == Sums(sum(values), sum(v * v for v in values), least, most), window_ms
            flags = tuple(sum(e["facts"].flags[flag.name] for e in inside) for flag in stream.flags) or (0,)
            assert pane.flag_counts == flags, window_ms
            for attribute, bits in pane.bitmaps.items():
                assert bits == {bit_of(v) for v in {e[fields[attribute]] for e in inside} - {None}}, window_ms


def check(seed: int, sizes: Sizes, count: int, *, keys: int = 3, cuts: tuple[int, ...] = ()) -> None:
    kernel = Kernel(declare(seed, sizes))
    events = draw_events(seed, sizes, count, keys=keys)
    driver, oracle = driver_of(kernel, sizes), oracle_of(kernel)
    assert_as_oracle(oracle, events, driver.run(events, cuts), seed)
    assert_partials(driver, oracle)
    whole = driver_of(kernel, sizes)
    counted = [e for e, verdict in zip(events, whole.run(events).verdicts, strict=True) if verdict == 0]
    assert whole.states == driver.states, "the bytes depend on how the log was cut"
    folded = driver_of(kernel, sizes)
    folded.fold(counted)
    assert folded.states == driver.states, "folding alone gives other bytes"


@SOME
@given(seed=SEEDS, cuts=st.tuples(st.integers(0, 90), st.integers(0, 90)))
def test_a_stream_of_ones_own_computes_what_its_declaration_says(seed: int, cuts: tuple[int, int]) -> None:
    check(seed, OWN, 90, cuts=cuts)


@FEW
@given(seed=SEEDS)
def test_its_busy_entities_fall_back_to_panes_as_the_oracle_does(seed: int) -> None:
    check(seed, OWN, 220, keys=1, cuts=(100,))


@FEW
@given(seed=SEEDS, partitions=st.integers(2, 3))
def test_its_shared_entities_read_as_the_sum_of_all_partitions(seed: int, partitions: int) -> None:
    kernel = Kernel(declare(seed, OWN))
    events = draw_events(seed, OWN, 80, keys=6, partitions=partitions)
    driver, oracle = driver_of(kernel, OWN, partitions), oracle_of(kernel, partitions)
    assert_as_oracle(oracle, events, driver.run(events, list(range(len(events)))), seed)


@pytest.mark.verify  # it compiles two kernels of its own
@SOME
@given(seed=SEEDS, sizes=st.sampled_from([BARE, NOTHING]))
def test_a_stream_with_next_to_nothing_computes_it(seed: int, sizes: Sizes) -> None:
    check(seed, sizes, 120, keys=2, cuts=(40, 41))


@pytest.mark.verify  # it compiles a kernel of its own
@FEW
@given(seed=SEEDS)
def test_a_stream_at_every_bound_computes_what_it_declares(seed: int) -> None:
    check(seed, FULL, 100, keys=1, cuts=(30,))


def test_values_as_large_as_a_measure_may_be_are_added_up_exactly() -> None:
    stream, most = declare(3, OWN), BOUND_MAX
    windows = sorted({feature.window for feature in stream.all_features} - {""}, key=parse_ms)
    key, measures = stream.key, [Measure(f"m{i}", col("n0"), bound=most) for i in range(OWN.measures)]
    counts = [key.event.count(" ".join(windows)), key.event.count(windows[0], hold=windows[0])]  # of the same shape
    features = [key.m0.declare(aggregate, windows[-1]) for aggregate in ("sum", "min", "max", "mean")]
    large = replace(stream, measures=measures, values=[], reversal=None, features=[*features, *counts])
    assert Kernel(large).shape == Kernel(stream).shape, "it would be compiled for this test alone"
    values = [most if i % 3 else -most for i in range(200)]
    given = zip(draw_events(3, OWN, len(values), keys=1), values, strict=False)  # it repeats some
    nowhere = {"lat": None, "lon": None}
    rows = [
        event | {"event_id": f"x{i}", "at": START_MS + i, "append_ms": START_MS + i, "n0": value} | nowhere
        for i, (event, value) in enumerate(given)
    ]
    done = driver_of(Kernel(large), OWN).run(rows)
    expected = [sum(values), -most, most, sum(values) / 200]
    np.testing.assert_allclose(done.features[-1, :4], np.array(expected, np.float32))


def test_a_measure_beyond_its_bound_is_an_error_and_not_another_number() -> None:
    tight = Measure("amount", payments.measures[0].value, bound=10)
    kernel = Kernel(replace(payments, measures=[tight], values=[], features=[payments.key.amount.sum("30d")]))
    with pytest.raises(ValueError, match="expected a validated amount, found one out of range"):
        Driver(kernel=kernel).step([event(amount_minor=11)])


def test_two_streams_of_one_shape_share_the_machine_code() -> None:
    one, other, bare = (Kernel(declare(seed, sizes)) for seed, sizes in ((1, OWN), (2, OWN), (1, BARE)))
    assert one.shape == other.shape != bare.shape
    assert Kernel(declare(5, NOTHING)).shape == bare.shape
    assert one.plans["e0"].dtype is other.plans["e0"].dtype
    assert one.stream.declarations_hash != other.stream.declarations_hash
    assert jit.SOURCE_STAMP in (one.plans["e0"].dtype.names or ())
