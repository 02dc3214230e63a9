"""What is found of an event that a person names: in the index and the log, or in the archive."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.inference.examples import DECISION
from weir.cases.finding import Finder
from weir.schemas.errors import Damaged, Refused, Transient
from weir.schemas.streams.payments import payments

EVENT = {name: DECISION[name] for name in ("transaction_id", "card_id", "merchant_id", "event_time_ms")}
EVENT |= {"amount_minor": 20_000, "currency": "USD", "device_id": "d1"}
WITHOUT = {name: value for name, value in DECISION.items() if name not in {"amount_minor", "currency"}}


class Stores:
    """An index, a log and an archive of one decision each, any of which may have nothing or fail."""

    def __init__(self, *, indexed: Any = None, logged: Any = None, archived: Any = None) -> None:
        self.held = {"index": indexed, "log": logged, "archive": archived}
        self.asked: list[str] = []

    def find(self) -> Any:
        finder = Finder(payments, indexed=self._index, archived=self._archive, read=self._read)
        return finder.find(DECISION["transaction_id"])

    def _ask(self, name: str) -> Any:
        self.asked.append(name)
        if isinstance(self.held[name], Exception):
            raise self.held[name]
        return self.held[name]

    def _index(self, event_id: str) -> bytes | None:
        assert event_id == DECISION["transaction_id"]
        found = self._ask("index")
        return None if found is None else json.dumps(found).encode()

    def _archive(self, event_id: str) -> bytes | None:
        assert event_id == DECISION["transaction_id"]
        found = self._ask("archive")
        return None if found is None else json.dumps(found).encode()

    def _read(self, partition: int, offset: int) -> Any:
        assert (partition, offset) == (DECISION["source_partition"], DECISION["source_offset"])
        return self._ask("log")


def evidence(decision: Any = DECISION, event: Any = EVENT) -> dict[str, Any]:
    return {"decision": decision and {"recorded": decision}, "event": event and {"record": event}}


def test_a_decision_that_is_indexed_needs_no_archive() -> None:
    stores = Stores(indexed=DECISION, logged=EVENT, archived=Refused("no archive"))
    found = stores.find()
    assert (found.event_id, found.key, dict(found.decision)) == (EVENT["transaction_id"], EVENT["card_id"], DECISION)
    assert found.label is not None
    assert found.label["device_id"] == "d1"
    assert found.expected_loss == pytest.approx(DECISION["score"] * 20_000)
    assert stores.asked == ["index", "log"]


@pytest.mark.parametrize(
    ("stores", "device", "stake"),
    [
        (Stores(indexed=WITHOUT, archived=evidence()), "d1", 20_000),
        (Stores(archived=evidence(WITHOUT)), "d1", 20_000),
        (Stores(archived=evidence(WITHOUT, None)), None, 1),
        (Stores(indexed=WITHOUT), None, 1),
        (Stores(indexed=WITHOUT, logged=EVENT | {"card_id": "another"}, archived=evidence()), "d1", 20_000),
        (Stores(indexed=WITHOUT, logged=EVENT | {"card_id": "another"}), None, 1),
    ],
    ids=[
        "the event is archived",
        "both are archived",
        "the event is erased",
        "no event",
        "another one at its place",
        "and none archived",
    ],
)
def test_what_is_not_in_one_place_is_looked_for_in_the_next(stores: Stores, device: str | None, stake: int) -> None:
    found = stores.find()
    assert found.label is not None
    assert (found.event_id, found.label["device_id"]) == (DECISION["transaction_id"], device)
    assert found.expected_loss == pytest.approx(DECISION["score"] * stake)


def test_money_that_the_decision_keeps_counts_where_the_event_is_gone() -> None:
    found = Stores(indexed=DECISION | {"amount_minor": 7_000, "currency": "USD"}).find()
    assert found.expected_loss == pytest.approx(DECISION["score"] * 7_000)


@pytest.mark.parametrize("archived", [None, evidence(None, EVENT), evidence(None, None)])
def test_an_event_without_a_decision_is_not_found(archived: Any) -> None:
    assert Stores(archived=archived).find() is None


def test_without_an_archive_the_index_alone_knows() -> None:
    stores = Stores(logged=EVENT)
    finder = Finder(payments, indexed=lambda _: None, archived=None, read=stores._read)
    assert finder.find("t404") is None


@pytest.mark.parametrize(
    ("stores", "error"),
    [
        (Stores(indexed=Transient("redis: away")), Transient),
        (Stores(indexed=DECISION, logged=Transient("kafka: away")), Transient),
        (Stores(archived=Damaged("a file is damaged")), Damaged),
    ],
)
def test_what_does_not_answer_is_not_taken_for_nothing(stores: Stores, error: type[Exception]) -> None:
    with pytest.raises(error):
        stores.find()
