"""The API's searches are answered in a child, by the archive that the settings name."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from tests.unit.archive.search_tables import T0_MS, DecidedTable, draw
from weir.archive.child import Child
from weir.archive.search.worker import SearchWorker, answer
from weir.inference.api.schema import DAYS, build_search
from weir.schemas.errors import Transient
from weir.schemas.search import Search
from weir.schemas.streams.payments import payments
from weir.schemas.wanted import Wanted


@pytest.fixture
def worker() -> Iterator[SearchWorker]:
    made = SearchWorker(seconds_max=120.0)
    yield made
    made.close()


def build(home: Path) -> DecidedTable:
    made, dice = DecidedTable(home / "archive"), random.Random(5)
    made.add([(T0_MS + number, draw(dice, number)) for number in range(30)])
    return made


def test_a_child_finds_and_counts_what_was_decided(
    tmp_path: Path, worker: SearchWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    assert worker.find(payments.name, Search()) is None
    assert worker.count_days(payments.name, 7) is None
    newest_first = [row for _, row in sorted(build(tmp_path).decisions.items(), reverse=True)]
    found = json.loads(worker.find(payments.name, Search(limit=5)) or b"")
    jsonschema.validate(found, build_search(payments))
    assert found["decisions"] == newest_first[:5]
    assert found["next"] is not None
    of_card = json.loads(worker.find(payments.name, Search(Wanted(ids={"card_id": "card-1"}))) or b"")
    assert of_card["decisions"] == [each for each in newest_first if each["card_id"] == "card-1"]
    assert of_card["next"] is None
    days = json.loads(worker.count_days(payments.name, 30) or b"")
    jsonschema.validate(days, DAYS)
    assert [day["number"] for day in days["days"]] == [30]
    assert sum(each["share"] for each in days["days"][0]["outcomes"].values()) == pytest.approx(1.0)


def test_one_that_finds_no_place_is_told_that_it_is_busy() -> None:
    child = Child("search", answer, waiting_max=1, seconds_max=0.0)
    child._places.acquire()
    with pytest.raises(Transient, match="1 requests are waiting already") as found:
        child.ask(payments.name, Search())
    assert found.value.cause == "busy"
    child._places.release()
    child._turn.acquire()
    with pytest.raises(Transient, match="others took 0 s") as found:
        child.ask(payments.name, Search())
    assert found.value.cause == "busy"
