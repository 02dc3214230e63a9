"""How letters are put together to one transaction each."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.streaming.dead_letter_samples import letter
from weir.streaming.dlq import replay as dlq_replay
from weir.streaming.dlq.plan import Step
from weir.streaming.dlq.replay import _batches


def _lengths(*steps: Step) -> list[int]:
    return [len(batch) for batch in _batches(steps)]


def test_a_batch_ends_at_its_number_of_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dlq_replay, "BATCH_LETTERS_MAX", 2)
    assert _lengths(*[Step(letter(), "replayed")] * 5) == [2, 2, 1]


def test_a_batch_ends_at_its_bytes_original_headers_included(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dlq_replay, "BATCH_BYTES_MAX", 1_000)
    small, large = letter(), replace(letter(), original_headers=(("trace", b"x" * 1_000), ("none", None)))
    assert _lengths(*(Step(each, "replayed") for each in (small, large, small, small))) == [2, 2]
