"""Evidence for requests is answered in a child, which may be slow or die."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.golden.records import decode, parse_schema
from tests.unit.archive.decided import NEWEST, topics
from weir.archive.evidence.worker import WAITING_MAX, EvidenceWorker
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
