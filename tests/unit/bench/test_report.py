"""The page, the flat object and the raw samples."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench import report
from tests.bench.figures import Sample, Target, judge
from tests.bench.plan import CONTENDERS, QUICK_NAMES
from tests.bench.rounds import Outcome
from tests.bench.targets import QUICK_TARGETS, TARGETS

# the keys that readers of bench.json count on
PROMISED = [
    "plain_loop_eps", "processor_eos_eps", "processor_alo_eps", "pipeline_eps", "scorer_eps",
    "e2e_ms_p50_5k", "e2e_ms_p99_5k", "e2e_ms_p999_5k", "score_rps", "score_ms_p99", "features_rps", "features_ms_p99",
    "score_cpu_ms_alone", "features_cpu_ms_alone",
    "freshness_ms_p99_5k", "kernel_eps", "rebuild_eps", "state_bytes_p50", "dlq_replay_eps",
    "quix_eos_eps", "quix_alo_eps", "faust_eps", "per_event_redis_eps",
]  # fmt: skip
MACHINE: dict[str, object] = {
    "date": "2026-01-02", "cores": 2, "cpu": "a cpu", "system": "Linux x86_64", "load_1m": 0.1, "python": "3.11.7",
    "packages": {"numpy": "2.0"}, "peers": {"quixstreams": "3.0"},
}  # fmt: skip


def _outcome() -> Outcome:
    return Outcome(
        rounds=[[Sample("ours", value, 10), Sample("theirs", 20.0, 10)] for value in (100.0, 300.0, 200.0)],
        failed=["broken, round 2: it broke"],
        missing={"score_rps": "wrk not found"},
    )


TABLE = (
    Target("ours, events/s", "ours", 150.0),
    Target("ours over theirs", "ours", 20.0, over="theirs"),
    Target("score", "score_rps", 1_500),
)


def _write(folder: Path) -> str:
    outcome = _outcome()
    report.write(folder, judge(TABLE, outcome.values), outcome, machine=MACHINE, command="make bench")
    return (folder / report.PAGE).read_text()


@pytest.mark.parametrize("key", PROMISED)
def test_every_promised_key_is_in_the_table(key: str) -> None:
    assert key in {target.key for target in TARGETS}


def test_the_flat_object_holds_the_median_of_every_key(tmp_path: Path) -> None:
    _write(tmp_path)
    assert json.loads((tmp_path / report.FLAT).read_text()) == {"ours": 200.0, "theirs": 20.0}


def test_the_raw_samples_are_kept_with_command_machine_and_failures(tmp_path: Path) -> None:
    _write(tmp_path)
    raw = json.loads((tmp_path / report.RAW).read_text())
    assert [[each["value"] for each in samples if each["key"] == "ours"] for samples in raw["rounds"]] == [
        [100.0], [300.0], [200.0],
    ]  # fmt: skip
    assert (raw["command"], raw["machine"], raw["failed"]) == ("make bench", MACHINE, ["broken, round 2: it broke"])


def test_the_table_says_target_median_spread_and_verdict(tmp_path: Path) -> None:
    lines = _write(tmp_path).splitlines()
    assert "| ours, events/s | ≥ 150 | 200 | 100 | 300 | 3 | yes |" in lines
    assert "| ours over theirs | ≥ 20 | 10 | 5 | 15 | 3 | **no** |" in lines
    assert "| score | ≥ 1,500 | | | | 0 | wrk not found |" in lines
    assert "Failed: broken, round 2: it broke" in lines


def test_a_second_run_replaces_figures_and_keeps_what_was_written_by_hand(tmp_path: Path) -> None:
    page = tmp_path / report.PAGE
    page.write_text(f"# Title\n\nBefore.\n\n{report.BEGIN}\nold figures\n{report.END}\n\n## Why\n\nBecause.\n")
    text = _write(tmp_path)
    assert text.startswith("# Title\n\nBefore.\n")
    assert text.endswith(f"{report.END}\n\n## Why\n\nBecause.\n")
    assert "old figures" not in text
    assert _write(tmp_path) == text


def test_the_quick_run_measures_what_it_judges_and_judges_ratios_alone() -> None:
    assert set(QUICK_NAMES) <= set(CONTENDERS)
    assert all(target.over for target in QUICK_TARGETS)
    assert {target.key for target in QUICK_TARGETS} | {target.over for target in QUICK_TARGETS} == {
        "processor_eos_eps", "plain_loop_eps", "quix_eos_eps",
    }  # fmt: skip
    assert {"processor", "plain-loop", "quix-eos"} <= set(QUICK_NAMES)
