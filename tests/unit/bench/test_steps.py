"""Figures of a load are the growth of counters over its seconds."""

from __future__ import annotations

import pytest

from tests.bench.figures import NothingMeasured
from tests.bench.steps import Reading, samples


def reading(at: float, batches: float, cpu_seconds: float) -> Reading:
    counted = {"batches": batches, "records": 300 * batches, "batch": 0.02 * batches, "commit": 0.008 * batches}
    counters = {("process", name): value for name, value in counted.items()}
    return Reading(at, counters, {"process": cpu_seconds, "kafka": 2.0 * cpu_seconds})


def test_rates_sizes_times_and_cores_are_those_between_the_readings() -> None:
    found = samples(reading(50.0, 7, 1.0), reading(60.0, 107, 6.0), suffix="5k")
    assert {sample.key: sample.value for sample in found} == {
        "live_process_batches_per_s_5k": 10.0,
        "live_process_records_per_batch_5k": 300.0,
        "live_process_batch_ms_5k": 20.0,
        "live_process_commit_ms_5k": 8.0,
        "live_process_cores_5k": 0.5,
        "live_kafka_cores_5k": 1.0,
    }


def test_a_stage_that_did_nothing_has_no_figures() -> None:
    with pytest.raises(NothingMeasured, match="process had no batch"):
        samples(reading(50.0, 7, 1.0), reading(60.0, 7, 1.0), suffix="5k")
