"""Evidence for requests is answered in a child, which may be slow or die."""

from __future__ import annotations

import json
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.golden.records import decode, parse_schema
from tests.unit.archive.decided import NEWEST, topics
from weir.archive.evidence.worker import WAITING_MAX, EvidenceWorker, find_evidence
from weir.cases.finding import Finder
from weir.inference.api.schema import build_evidence
from weir.schemas.errors import Transient
from weir.schemas.streams.payments import payments


@pytest.fixture
def worker(built: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("WEIR_HOME", str(built))
    made = EvidenceWorker(seconds_max=120.0)
    yield made
    made.close()


def _event_id() -> str:
    decided = decode(topics()["decisions"][0].entry.value or b"", parse_schema(NEWEST["decisions"]))
    return str(decided[payments.id])


def test_a_child_answers_is_replaced_when_it_died_and_says_what_is_not_there(worker: EvidenceWorker) -> None:
    answer = worker.answer(payments.name, _event_id())
    assert answer is not None
    assert json.loads(answer)["decision"]["is_same"] is True
    jsonschema.validate(json.loads(answer), build_evidence())
    assert worker.answer(payments.name, "nobody") is None
    assert worker._child._child is not None
    first = worker._child._child[0].pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    worker._child._child[0].join()
    assert worker.answer(payments.name, _event_id()) == answer
    assert worker._child._child[0].pid != first


def test_a_case_may_be_opened_of_what_the_archive_alone_knows(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIR_HOME", str(built))
    decided = decode(topics()["decisions"][0].entry.value or b"", parse_schema(NEWEST["decisions"]))
    rows = [decode(each.entry.value or b"", parse_schema(NEWEST["features"])) for each in topics()["features"]]
    (row,) = (
        each for each in rows if all(each[name] == decided[name] for name in ("source_partition", "source_offset"))
    )
    archived = partial(find_evidence, payments.name)
    finder = Finder(payments, indexed=lambda _: None, archived=archived, read=lambda *_: None)
    found = finder.find(decided[payments.id])
    assert found is not None
    assert (found.key, found.decision["decision"]) == (decided["card_id"], decided["decision"])
    assert found.label is not None
    assert {name: row[name] for name in ("card_id", "device_id", "merchant_id")}.items() <= found.label.items()
    assert finder.find("nobody") is None


def test_no_archive_is_refused_and_a_child_that_does_not_answer_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    slow = EvidenceWorker(seconds_max=0.0)
    with pytest.raises(Transient, match="no answer within 0 s"):
        slow.answer(payments.name, "t-1")
    assert slow._child._child is None


def test_more_requests_than_may_wait_are_told_to_ask_again() -> None:
    worker = EvidenceWorker()
    for _ in range(WAITING_MAX):
        worker._child._places.acquire()
    with pytest.raises(Transient, match="are waiting already"):
        worker.answer("transactions", "t")
    assert worker._child._child is None
