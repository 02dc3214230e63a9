"""A user's project of transfers that are labelled later: `weir init --like transfers`, and labels added by hand.

Mule accounts collect money for two days, from senders who never paid them before. So do honest appeals, of smaller
sums and less in a hurry. A transfer alone says little.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from weir.init import build_project
from weir.schemas.project import load_project
from weir.schemas.stream import Stream

Row = dict[str, Any]
DAY_MS = 86_400_000
DAYS = 40
KNOWN_AFTER_MS = 2 * DAY_MS
SENDERS, RECEIVERS = 300, 150
LABELS = {
    "type": "record",
    "name": "TransferLabel",
    "fields": [
        *({"name": name, "type": "string"} for name in ("transfer_id", "sender_id", "receiver_id")),
        {"name": "event_time_ms", "type": "long"},
        {"name": "known_at_ms", "type": "long"},
        {"name": "is_mule", "type": ["null", "boolean"], "default": None},
        {"name": "source", "type": ["null", "string"], "default": None},
    ],
}
DECLARED = """    labels=Labels("mules.avsc", verdict="is_mule", on=[receiver], time="known_at_ms", hold="2d"),
    features=[
        receiver.label.risk("30d", why="an account that collected for others before"),
"""


def write_project(folder: Path, name: str = "transfers", *, labels: bool = True) -> Stream:
    """Write the project and return its stream."""
    files = build_project("money", "transfers")
    declaration = files["streams/transfers.py"].replace('name="transfers"', f'name="{name}"')
    if labels:
        declaration = declaration.replace("Flag, Measure", "Flag, Labels, Measure")
        declaration = declaration.replace("    features=[\n", DECLARED)
        files["streams/mules.avsc"] = json.dumps(LABELS)
    files["streams/transfers.py"] = declaration
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    project = load_project(folder)
    assert project.findings == ()
    return project.streams[name].stream


def build_history(seed: int, count: int, begin_ms: int) -> tuple[list[Row], list[Row]]:
    """Return transfers in the order of their times over ``DAYS`` days, and a label for each."""
    dice = random.Random(seed)
    drawn = [(dice.uniform(0, DAYS), f"receiver-{int(RECEIVERS * dice.random() ** 2)}", False) for _ in range(count)]
    for number in range(count // 120):
        day, is_mule = dice.uniform(0, DAYS - 2), number % 2 == 0
        receiver, collected = f"account-{number}", dice.randrange(6, 14)
        drawn += [(day + dice.uniform(0, 2), receiver, is_mule) for _ in range(collected)]
    rows = [
        (_build_transfer(dice, number, receiver, begin_ms + int(day * DAY_MS), is_mule=is_mule), is_mule)
        for number, (day, receiver, is_mule) in enumerate(sorted(drawn))
    ]
    return [row for row, _ in rows], [_build_label(row, is_mule=is_mule) for row, is_mule in rows]


def _build_transfer(dice: random.Random, number: int, receiver: str, time_ms: int, *, is_mule: bool) -> Row:
    least, instant = (40_000, 0.7) if is_mule else (1_000, 0.3)
    return {
        "transfer_id": f"transfer-{number}",
        "sender_id": f"sender-{dice.randrange(SENDERS)}",
        "receiver_id": receiver,
        "event_time_ms": time_ms,
        "amount_minor": dice.randrange(least, 300_000),
        "fee_minor": dice.choice([0, 0, 150]),
        "currency": dice.choice(["EUR", "USD"]),
        "channel": dice.choice(["APP", "WEB", "BRANCH"]),
        "receiver_country": dice.choice(["DE", "DE", "FR"]),
        "sender_country": "DE",
        "is_instant": dice.random() < instant,
    }


def _build_label(row: Row, *, is_mule: bool) -> Row:
    own = {name: row[name] for name in ("transfer_id", "sender_id", "receiver_id", "event_time_ms")}
    return own | {"known_at_ms": row["event_time_ms"] + KNOWN_AFTER_MS, "is_mule": is_mule, "source": None}
