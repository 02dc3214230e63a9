"""What the peers share: their flags, the records and three tumbling windows a card."""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path
from typing import Any

from fastavro import parse_schema, schemaless_reader

WINDOWS_MS = {"1h": 3_600_000, "24h": 86_400_000, "7d": 604_800_000}
_HEADER_BYTES = 5
_SCHEMA = parse_schema(
    json.loads((Path(__file__).parents[3] / "schemas" / "streams" / "transactions.v2.avsc").read_text())
)


def build_flags() -> argparse.ArgumentParser:
    """Return the flags by which the benchmark says where to read, where to write, and under which names."""
    parser = argparse.ArgumentParser()
    for name in ("broker", "redis", "group", "input", "output", "folder"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--guarantee", choices=["exactly-once", "at-least-once"], default="at-least-once")
    return parser


def decode(value: bytes) -> dict[str, Any]:
    """Return one payment; the wire format is Confluent's, whose header is a magic byte and a schema id."""
    record: dict[str, Any] = schemaless_reader(io.BytesIO(value[_HEADER_BYTES:]), _SCHEMA)
    return record


def count(state: dict[str, list[int]], payment: dict[str, Any]) -> dict[str, int]:
    """Count a payment in its card's three windows and return what they hold.

    Args:
        state: window name to [pane number, count, sum of minor units]; changed in place.
        payment: decoded.
    """
    found = {}
    for name, width_ms in WINDOWS_MS.items():
        pane = payment["event_time_ms"] // width_ms
        held = state.get(name)
        if held is None or held[0] != pane:
            held = state[name] = [pane, 0, 0]
        held[1] += 1
        held[2] += payment["amount_minor"]
        found[f"count_{name}"], found[f"sum_{name}"] = held[1], held[2]
    return found
