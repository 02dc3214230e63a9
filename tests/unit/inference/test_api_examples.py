"""The example that a stream's document shows is an event that the stream takes."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.unit.inference.test_api import NOW_MS
from tests.unit.inference.twins import MemoryPartials
from weir.inference.api.examples import build_event
from weir.inference.api.request import build_json_schema, parse_event
from weir.inference.api.what_if import Asked, WhatIf
from weir.schemas.placeholders import BUILT_IN
from weir.schemas.project import load_shipped, shipped_names
from weir.schemas.stream import Stream
from weir.schemas.streams.clicks import clicks
from weir.schemas.streams.payments import payments
from weir.streaming.kernels import kernel_of


@pytest.mark.parametrize("name", shipped_names())
def test_the_example_of_a_stream_is_an_event_that_its_checks_take(name: str) -> None:
    stream = load_shipped(name).stream
    event = parse_event(stream, json.dumps(build_event(stream)).encode(), now_ms=NOW_MS)
    _, refused = _what_if(stream)._build_events([Asked(event, NOW_MS)])
    assert refused == {}


@pytest.mark.parametrize("dwell_ms", [-1, 24 * 3_600_000 + 1])
def test_the_bounds_of_a_measure_are_in_the_document_and_hold(dwell_ms: int) -> None:
    shown = build_json_schema(clicks)["properties"]["dwell_ms"]
    assert (shown["minimum"], shown["maximum"]) == (0, 24 * 3_600_000)
    event = parse_event(clicks, json.dumps(build_event(clicks) | {"dwell_ms": dwell_ms}).encode(), now_ms=NOW_MS)
    _, refused = _what_if(clicks)._build_events([Asked(event, NOW_MS)])
    assert [error.field for error in refused[0].errors] == ["dwell_ms"]


def test_an_example_that_the_checks_refuse_keeps_no_api_from_starting() -> None:
    stream = replace(payments, example={**payments.example, "country": "nowhere"})
    event = parse_event(stream, json.dumps(build_event(stream)).encode(), now_ms=NOW_MS)
    _what_if(stream).warm_up(event, now_ms=NOW_MS)


def _what_if(stream: Stream) -> WhatIf:
    return WhatIf(kernel_of(stream), MemoryPartials(), None, BUILT_IN)  # type: ignore[arg-type]  # nothing is judged
