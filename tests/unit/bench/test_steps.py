"""Figures of a load are the growth of counters over its seconds."""

from __future__ import annotations

import pytest

from tests.bench.steps import Reading, samples


def reading(batches: float, cpu_seconds: float) -> Reading:
    counted = {"batches": batches, "records": 300 * batches, "batch": 0.02 * batches, "commit": 0.008 * batches}
    return Reading(
        {("process", name): value for name, value in counted.items()},
        {"process": cpu_seconds, "kafka": 2.0 * cpu_seconds},
    )


def test_rates_sizes_times_and_cores_are_those_of_the_load_alone() -> None:
    found = {
        sample.key: sample.value for sample in samples(reading(7, 1.0), reading(107, 6.0), seconds=10.0, suffix="5k")
    }
    assert found == {
        "live_process_batches_per_s_5k": 10.0,
        "live_process_records_per_batch_5k": 300.0,
        "live_process_batch_ms_5k": 20.0,
        "live_process_commit_ms_5k": 8.0,
        "live_process_cores_5k": 0.5,
        "live_kafka_cores_5k": 1.0,
    }


def test_a_stage_that_did_nothing_has_no_figures() -> None:
    with pytest.raises(ZeroDivisionError):
        samples(reading(7, 1.0), reading(7, 1.0), seconds=10.0, suffix="5k")
