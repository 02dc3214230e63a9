"""A processor's state through any history of batches, crashes and catch-ups, against the naive oracle.

Two partitions. Payments wait in their partition's log; a batch takes some of one partition and is committed; Redis
follows later or not at all; a crash throws away what is in memory, and catch-up folds the difference again::

    log        p p p p p p p p p
    committed              ^            verdicts are known up to here
    applied          ^                  what Redis holds
"""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from tests.payments import DAY_MS, FEATURES, HOUR_MS, MINUTE_MS, SECOND_MS, WINDOWS_MS, Aggregate, Entity
from tests.unit.streaming.oracle import Oracle, amount_of
from tests.unit.streaming.streams import START_MS, Driver, Event, event
from tests.unit.streaming.test_core_windows import tolerance
from weir.streaming.kernels import shipped_kernel

PARTITIONS = 2
EXACT_EVENTS = 64
PAUSES_MS = st.sampled_from([0, 1, SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS, *WINDOWS_MS.values()])
BACKS_MS = st.sampled_from([0, 0, 0, 1, MINUTE_MS, DAY_MS, 31 * DAY_MS])
PAYMENTS = st.fixed_dictionaries(
    {
        "card_id": st.sampled_from(["c-0", "c-1", "c-2", "c-3"]),
        "merchant_id": st.sampled_from(["m-0", "m-1"]),
        "device_id": st.sampled_from([None, "d-0", "d-1"]),
        "amount_minor": st.sampled_from([0, 100, 1_000, 3_000_000, 90_000_000, -700]),
        "outcome": st.sampled_from(["ACCEPTED", "DECLINED"]),
        "lat": st.sampled_from([None, -89.0, 52.5]),
        "lon": st.sampled_from([13.4, 179.0]),
    }
).map(lambda payment: payment | ({"lon": None} if payment["lat"] is None else {}))
ANY = settings(max_examples=16, stateful_step_count=30, deadline=None, derandomize=True)


class Stream(RuleBasedStateMachine):
    """What Kafka, a processor and Redis hold, and what they should."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = START_MS
        self.log: list[list[Event]] = [[] for _ in range(PARTITIONS)]
        self.verdicts: list[list[int]] = [[] for _ in range(PARTITIONS)]
        self.memory = Driver(PARTITIONS)
        self.redis: dict[tuple[str, int, str], bytes] = {}
        self.applied = [0] * PARTITIONS
        self.oracle = Oracle(PARTITIONS)

    @rule(payment=PAYMENTS, pause_ms=PAUSES_MS, back_ms=BACKS_MS, copies=st.integers(1, 12))
    def pay(self, payment: Event, pause_ms: int, back_ms: int, copies: int) -> None:
        partition = int(payment["card_id"][2:]) % PARTITIONS
        for _ in range(copies):
            self.now_ms += pause_ms
            number = sum(map(len, self.log))
            marks = {"transaction_id": f"t-{number}", "append_ms": self.now_ms, "partition": partition}
            amount = payment["amount_minor"] + number % 7
            self.log[partition].append(event(self.now_ms - back_ms, **payment | marks | {"amount_minor": amount}))

    @precondition(lambda self: any(self.log))
    @rule(partition=st.integers(0, PARTITIONS - 1), which=st.integers(0, 1_000), body=st.booleans())
    def repeat(self, partition: int, which: int, body: bool) -> None:
        log = self.log[partition]
        if log:
            again = log[which % len(log)]
            log.append(again | {"append_ms": self.now_ms, "digest": again["digest"] + body})

    @rule(partition=st.integers(0, PARTITIONS - 1), size=st.integers(1, 60))
    def commit(self, partition: int, size: int) -> None:
        """Steps 1 to 4: decide a batch, row by row as the oracle does."""
        begin = len(self.verdicts[partition])
        batch = self.log[partition][begin : begin + size]
        if not batch:
            return
        done = self.memory.step(batch)
        for row, one in enumerate(batch):
            verdict, late, values = self.oracle.take(one)
            assert done.verdicts[row] == verdict
            if verdict == 0:
                assert done.late[row] == late
                self.compare(done.features[row], values)
        self.verdicts[partition] += done.verdicts.tolist()

    def compare(self, found: np.ndarray, expected: list[float]) -> None:
        for feature, one, other in zip(FEATURES, found.tolist(), expected, strict=True):
            near = np.isclose(one, other, rtol=tolerance(feature.aggregate), atol=1e-5, equal_nan=True)
            assert near, f"{feature.name}: expected {other}, found {one}"

    @rule(partition=st.integers(0, PARTITIONS - 1))
    def apply(self, partition: int) -> None:
        """Step 5: Redis takes what is in memory."""
        self.redis |= {key: data for key, data in self.memory.states.items() if key[1] == partition}
        self.applied[partition] = len(self.verdicts[partition])

    @rule(partition=st.integers(0, PARTITIONS - 1), wiped=st.booleans(), cuts=st.lists(st.integers(1, 30), max_size=4))
    def crash(self, partition: int, wiped: bool, cuts: list[int]) -> None:
        """Forget and catch up: from Redis, or from nothing when it lost everything; the same bytes come out."""
        before = {key: data for key, data in self.memory.states.items() if key[1] == partition}
        if wiped:
            self.redis = {key: data for key, data in self.redis.items() if key[1] != partition}
            self.applied[partition] = 0
        others = {key: data for key, data in self.memory.states.items() if key[1] != partition}
        self.memory.states = others | {key: data for key, data in self.redis.items() if key[1] == partition}
        at, end = self.applied[partition], len(self.verdicts[partition])
        for size in [*cuts, end]:
            rows = range(at, min(end, at + size))
            self.memory.fold([self.log[partition][row] for row in rows if self.verdicts[partition][row] == 0])
            at = rows.stop if rows else at
        assert {key: data for key, data in self.memory.states.items() if key[1] == partition} == before

    def teardown(self) -> None:
        """``decode(encode(s)) == s``: a second reader finds in the bytes what the oracle keeps."""
        for (entity, partition, key), data in self.memory.states.items():
            history = self.oracle.histories[entity, partition, key]
            partial = shipped_kernel().decode_partial(entity, data)
            assert partial is not None
            assert partial.newest_ms == history.newest_ms
            kept = [(e["event_time_ms"], amount_of(e)) for e in reversed(history.exact)]
            assert [(e.time_ms, *e.values) for e in partial.ring] == kept


def test_state_is_a_function_of_the_log_whatever_dies_and_whenever() -> None:
    run_state_machine_as_test(Stream, settings=ANY)


class Split(RuleBasedStateMachine):
    """One merchant's payments in one partition, and the same spread over three."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.three = Driver(1), Driver(3)
        self.events: list[Event] = []

    @rule(
        partition=st.integers(0, 2),
        pause_ms=st.sampled_from([0, 1, SECOND_MS, MINUTE_MS, HOUR_MS]),
        back_ms=st.sampled_from([0, 0, MINUTE_MS, HOUR_MS]),
        amount=st.sampled_from([0, 100, 1_000, 3_000_000]),
        copies=st.integers(1, 20),
    )
    def pay(self, partition: int, pause_ms: int, back_ms: int, amount: int, copies: int) -> None:
        batch: list[Event] = []
        for number in range(copies):
            newest_ms = max((e["append_ms"] for e in (*self.events, *batch)), default=START_MS)
            one = event(
                newest_ms + pause_ms - back_ms,
                transaction_id=f"t-{len(self.events) + number}",
                card_id=f"c-{len(self.events) + number}",
                append_ms=newest_ms + pause_ms,
                amount_minor=amount + number,
                outcome="DECLINED" if number % 2 else "ACCEPTED",
            )
            batch.append(one)
        self.events += batch
        self.one.step(batch)
        self.three.step([one | {"partition": partition} for one in batch])

    @precondition(lambda self: self.events)
    @rule(after_ms=st.sampled_from([0, 1, MINUTE_MS, HOUR_MS, DAY_MS]))
    def look(self, after_ms: int) -> None:
        at_ms = max(e["append_ms"] for e in self.events) + after_ms
        whole, merged = self.read(self.one, at_ms), self.read(self.three, at_ms)
        exact = len(self.events) <= EXACT_EVENTS
        for feature in FEATURES:
            if feature.entity is Entity.MERCHANT and (
                exact or self.adds_up_in_panes(feature.aggregate, feature.window)
            ):
                found, expected = merged[feature.name], whole[feature.name]
                if feature.aggregate is Aggregate.DECAYED:
                    assert found is not None
                    assert expected is not None
                    assert np.isclose(found, expected, rtol=2e-4), feature.name
                else:
                    assert found == expected, feature.name

    @staticmethod
    def read(driver: Driver, at_ms: int) -> dict[str, float | None]:
        partials = [data for (entity, _, _), data in sorted(driver.states.items()) if entity is Entity.MERCHANT]
        return shipped_kernel().read(Entity.MERCHANT, partials, [], at_ms)

    @staticmethod
    def adds_up_in_panes(aggregate: Aggregate, window: str) -> bool:
        """Beyond 64 events: what adds up whichever events are in panes, of a window that no event has left."""
        return window == "30d" and aggregate in {Aggregate.COUNT, Aggregate.SUM, Aggregate.MIN, Aggregate.MAX}


def test_partitions_add_up_to_what_one_partition_would_hold() -> None:
    run_state_machine_as_test(Split, settings=settings(ANY, stateful_step_count=24))
