"""What producers register: schemas of other types, mixed with ours in one topic."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from typing import Any

from tests.faults.catalogue import fault
from tests.faults.contracts import Row, encode, register, schema_of_id
from tests.faults.faults_process import kill_processor
from tests.faults.faults_records import newest_schema, payments
from tests.faults.lab import Lab, Plan
from tests.faults.load import Sending
from tests.faults.logs import read_topic

FOREIGN_RECORDS, ROUNDS = 60, 3
_DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}


@fault(
    "foreign-field",
    "a producer adds a decimal field to our newest schema, others do not; kills meanwhile, then the view is wiped",
    Plan(rate=150),
)
def foreign_field(lab: Lab) -> None:
    scorer = lab.scorer()
    ours = newest_schema(lab)
    first = lab.processor()
    lab.run_until(first)
    first.stop()
    url = lab.settings.registry.url
    foreign = register(url, f"{lab.settings.topics.transactions}-value", json.dumps(_with_fee(schema_of_id(url, ours))))
    sent = _mix(lab, ours, foreign)
    for number in range(ROUNDS):
        lab.feeder.send(islice(sent, FOREIGN_RECORDS))
        kill_processor(lab, kill_at=f"{('computed', 'committed', 'applied')[number]}:1")
    lab.redis.flushall()
    lab.finish([lab.processor(), scorer])
    refused = [entry.header(lab.settings.processor.dlq_header_prefix + "reason") for entry in _letters_of_theirs(lab)]
    lab.expect(not refused, f"expected no dead letter of a record with a further field, found {refused}")


def _mix(lab: Lab, ours: int, foreign: int) -> Iterator[Sending]:
    """Yield payments with a fee, with none, and by our own schema, in turn."""
    url = lab.settings.registry.url
    for number, row in enumerate(_payments(lab)):
        fee = {"fee": Decimal("1.25") if number % 3 == 0 else None}
        value = encode(url, ours, row) if number % 3 == 2 else encode(url, foreign, row | fee)
        yield Sending("transactions", row["card_id"].encode(), value)


def _payments(lab: Lab) -> list[Row]:
    return payments(lab, FOREIGN_RECORDS * ROUNDS, named="theirs")


def _with_fee(schema: Any) -> Any:
    plain = {key: value for key, value in schema.items() if not key.startswith("__")}
    fee = {"name": "fee", "type": ["null", _DECIMAL], "default": None}
    return plain | {"fields": [*plain["fields"], fee]}


def _letters_of_theirs(lab: Lab) -> list[Any]:
    letters = read_topic(lab.settings.kafka.bootstrap_servers, lab.settings.topics.dlq)
    return [entry for entry in letters if b"theirs-tx" in (entry.value or b"")]
