"""Files as users have them, and what the door makes of one."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from weir.infra.user_files.checker import Checker, Outcome
from weir.infra.user_files.door import Manner
from weir.infra.user_files.sources import open_source
from weir.infra.user_files.tables import open_table
from weir.schemas.errors import PoisonRecord, Refused

NOW_MS = 1_785_000_060_000
GOOD: dict[str, Any] = {
    "transaction_id": "t1",
    "card_id": "card_1",
    "customer_id": "cust_1",
    "merchant_id": "mer_1",
    "mcc": 5411,
    "channel": "POS",
    "amount_minor": 1200,
    "currency": "EUR",
    "country": "DE",
    "event_time_ms": 1_785_000_000_000,
    "outcome": "ACCEPTED",
}
LABEL = {name: GOOD[name] for name in ("transaction_id", "card_id", "merchant_id", "event_time_ms")} | {
    "label_time_ms": 1_785_000_000_001,
    "is_fraud": True,
    "source": "analyst",
}
Rows = Sequence[dict[str, Any]]


def payments(count: int, **changes: Any) -> list[dict[str, Any]]:
    return [GOOD | {"transaction_id": f"t{number}"} | changes for number in range(count)]


def with_column(name: str, values: Sequence[Any]) -> list[dict[str, Any]]:
    """One payment for each value of a column."""
    return [GOOD | {"transaction_id": f"t{number}", name: value} for number, value in enumerate(values)]


def write_csv(path: Path, rows: Rows, tail: bytes = b"") -> Path:
    names = list(dict.fromkeys(name for row in rows for name in row)) or list(GOOD)
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, names)
        writer.writeheader()
        writer.writerows(rows)
    path.write_bytes(path.read_bytes() + tail)
    return path


def write_json(path: Path, rows: Rows, tail: str = "") -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + tail)
    return path


def write_parquet(path: Path, rows: Rows) -> Path:
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


@dataclass
class Read:
    """What the door made of a file: the rows that may be sent, line and field of the others, and the counts."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    errors: list[tuple[int, str]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    outcome: Outcome = field(default_factory=Outcome)

    def report(self, number: int, error: PoisonRecord) -> None:
        self.errors.append((number, error.field or error.reason))
        self.messages.append(str(error))


def read(path: Path, kind: str = "transactions", manner: Manner | None = None) -> Read:
    """Take a file through the door; what is refused as a whole raises. Every line must be accounted for."""
    manner, found = manner or Manner(), Read()
    with open_source(path, form=manner.form) as source:
        table = open_table(source, manner.reading)
        checker = Checker(source, table, manner.plan(kind), manner.placeholders, found.report, lambda: NOW_MS)
        checker.judge()
        for block in checker.check():
            assert len(block.keys) == block.batch.num_rows
            found.rows += block.batch.to_pylist()
    found.outcome = checker.outcome
    assert_adds_up(found.outcome)
    assert (found.outcome.good, found.outcome.refused) == (len(found.rows), 0)
    return found


def read_or_refuse(path: Path) -> tuple[str, Read | None]:
    """Return why a file is refused as a whole, or what was read of it."""
    try:
        return "", read(path)
    except Refused as refusal:
        return str(refusal), None


def assert_adds_up(outcome: Outcome) -> None:
    """Every line of a file is one of these, and none is two."""
    parts = outcome.header + outcome.good + outcome.bad + outcome.refused + outcome.blank + outcome.continued
    assert outcome.lines == parts, outcome
