"""``weir bench`` as a user runs it: figures of all that was sent, from servers that are gone after it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.source import ROOT

pytestmark = [pytest.mark.server, pytest.mark.verify, pytest.mark.timeout(600)]


def test_its_figures_are_of_all_that_was_sent_and_nothing_is_left(tmp_path: Path) -> None:
    flags = ["--rate", "50", "--seconds", "3", "--json"]  # of fewer cards, a model has too few frauds to be judged by
    done = subprocess.run(
        [sys.executable, "-m", "weir", "bench", *flags],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["live_sent"] == found["live_decided"] > 100
    assert found["backlog_events"] > 1_000
    assert min(found["processor_events_per_second"], found["scorer_events_per_second"]) > 0
    assert 0 < found["latency_ms"]["p50"] <= found["latency_ms"]["p99"]
    assert list(tmp_path.glob("weir-bench-*")) == []
