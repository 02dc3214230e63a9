"""What surrounds the kernel in a lone score stays small next to it.

Calls are counted and not seconds, so that no load of the machine can change the answer: at one row it is the number of
calls that takes the time, and hardly what is in them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import numpy as np
import orjson

from tests.unit.inference.examples import TRANSACTION
from tests.unit.inference.test_api import NOW_MS, World
from weir.inference.api.request import parse_event
from weir.inference.api.what_if import Asked, WhatIf
from weir.schemas.placeholders import BUILT_IN
from weir.schemas.records.one_row import RowPlan
from weir.schemas.streams.payments import payments
from weir.streaming.core.states import States
from weir.streaming.kernels import shipped_kernel

KERNEL_STEPS_MAX = 4.0
"""Of which the kernel's own step is one; it is 2.8. It was nearly 7 when a request was read as columns of one row."""


def count_calls(function: Callable[[], object]) -> int:
    """Return how many functions a second call of it calls, ours and those of libraries."""
    found = 0

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal found
        found += event in {"call", "c_call"}

    function()
    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    return found


def test_a_lone_score_costs_a_few_times_what_the_kernel_takes_for_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    what_if = WhatIf(shipped_kernel(), world.partials, world.champion, BUILT_IN)
    plan = RowPlan(payments, BUILT_IN)
    body = json.dumps(TRANSACTION).encode()
    row = plan.derive(parse_event(payments, body, now_ms=NOW_MS))
    events = shipped_kernel().build_rows(plan, [row], append_time_ms=np.array([NOW_MS]))
    states = States({entity: [b""] for entity in shipped_kernel().entities})

    def score() -> bytes:
        asked = Asked(parse_event(payments, body, now_ms=NOW_MS), NOW_MS)
        return orjson.dumps(what_if.score_all([asked])[0])

    assert count_calls(score) < KERNEL_STEPS_MAX * count_calls(lambda: shipped_kernel().step(events, states))
    world.guard.close()
