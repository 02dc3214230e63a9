from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from tests.soak.probe import Machine, RedisState, Sample, Usage, read_machine, read_usage
from tests.soak.report import Run, render_page, render_picture
from tests.soak.verdict import JUDGED, Finding, judge

RATE = 1_000
MINUTES = 10


def sample(seconds: float, *, memory_mb: float = 100.0, handles: int = 40, lag: int = 50) -> Sample:
    usage = dict.fromkeys((*JUDGED, "kafka", "redis"), Usage(memory_mb, handles, 9, seconds))
    machine = Machine(busy_seconds=1.5 * seconds, stolen_seconds=0.25 * seconds, written_mb=10 * seconds)
    redis = RedisState(10.0, 1_000, rewriting=seconds >= 60)
    return Sample(seconds, usage, redis, {"process": lag, "score": 0}, machine)


def findings(at: Callable[[float], Sample], p99: Callable[[int], float] = lambda _: 80.0) -> list[Finding]:
    samples = [at(15.0 * number) for number in range(MINUTES * 4)]
    return judge(samples, {minute * 60.0: p99(minute) for minute in range(MINUTES)}, rate=RATE)


def climbing(found: list[Finding]) -> set[str]:
    return {finding.what for finding in found if not finding.right}


def test_a_run_that_stays_where_it_is_climbs_nowhere() -> None:
    found = findings(lambda seconds: sample(seconds, memory_mb=100 + seconds % 7, handles=40 + int(seconds) % 2))
    assert climbing(found) == set()
    assert {finding.what for finding in found} >= {f"{name} memory" for name in JUDGED}


def test_what_climbs_in_the_first_half_and_then_stays_is_right() -> None:
    assert climbing(findings(lambda seconds: sample(seconds, memory_mb=min(seconds, 300)))) == set()


def test_a_leak_of_memory_of_handles_a_growing_lag_and_a_growing_latency_each_climb() -> None:
    leak = findings(lambda seconds: sample(seconds, memory_mb=100 + seconds / 10))
    assert climbing(leak) == {f"{name} memory" for name in JUDGED}
    handles = findings(lambda seconds: sample(seconds, handles=40 + int(seconds / 60)))
    assert climbing(handles) == {f"{name} handles" for name in JUDGED}
    assert climbing(findings(lambda seconds: sample(seconds, lag=int(seconds * 10)))) == {"lag of process"}
    assert climbing(findings(sample, lambda minute: 80.0 + 20 * minute)) == {"p99 from sent to committed"}


def test_what_falls_does_not_climb() -> None:
    assert climbing(findings(lambda seconds: sample(seconds, memory_mb=900 - seconds), lambda m: 900.0 - m)) == set()


def test_a_run_too_short_for_a_line_is_refused() -> None:
    with pytest.raises(ValueError, match="run for longer"):
        judge([sample(0), sample(15)], {0: 1.0}, rate=RATE)


def make_run() -> Run:
    samples = [sample(15.0 * number) for number in range(8)]
    latency = {0: (40.0, 80.0), 1: (41.0, 81.0)}
    found = [Finding("api memory", "MB", 100.0, 0.1, 16.0)]
    return Run("make soak", "2 cores", "2026-01-01", RATE, 9, 9, 5, [], samples, latency, found)


def test_a_run_is_right_only_when_everything_sent_came_out_and_something_was_sent() -> None:
    run = make_run()
    assert run.right
    assert not replace(run, outputs=8).right
    assert not replace(run, sent=0, outputs=0).right
    assert not replace(run, look_up_errors=["503 away"]).right
    assert not replace(run, findings=[Finding("api memory", "MB", 100.0, 17.0, 16.0)]).right


def test_the_page_says_what_was_found_and_the_picture_is_well_formed() -> None:
    page = render_page(make_run(), "soak.svg")
    assert "| api memory | 100.0 MB | +0.1 | 16.0 | right |" in page
    assert "Nothing climbed." in page
    assert "| 0 | 40 | 80 | 50 | 1.50 | 0.25 | 10 | 20% |" in page
    assert "| 1 | 41 | 81 | 50 | 1.50 | 0.25 | 10 | 100% |" in page
    assert "The first error: `503 away`." in render_page(replace(make_run(), look_up_errors=["503 away"]), "soak.svg")
    picture = ElementTree.fromstring(render_picture(make_run()))
    assert len(picture.findall(".//{http://www.w3.org/2000/svg}polyline")) == 16


def test_a_process_is_read_from_proc() -> None:
    usage = read_usage(os.getpid())
    assert usage.memory_mb > 10
    assert usage.handles >= 3
    assert usage.threads >= 1
    assert usage.cpu_seconds > 0


def test_the_machines_counters_rise() -> None:
    before = read_machine()
    assert before.busy_seconds > 0
    assert before.stolen_seconds >= 0
    assert read_machine().busy_seconds >= before.busy_seconds
