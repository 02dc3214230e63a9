"""The list of erasures, and how long topics keep records."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from weir.gdpr.cli import main
from weir.gdpr.erasures import Entry, add_entry, list_path, read_entries
from weir.gdpr.topics import judge
from weir.infra.kafka.topics import TopicState
from weir.schemas.errors import Refused

DAY_MS = 86_400_000


def test_the_newest_erasure_of_an_id_counts_and_one_that_was_cut_off_is_passed_by(tmp_path: Path) -> None:
    assert read_entries(tmp_path) == []
    add_entry(tmp_path, Entry(2, "card", "a"))
    add_entry(tmp_path, Entry(1, "card", "a"))
    add_entry(tmp_path, Entry(3, "device", "b"))
    with list_path(tmp_path).open("ab") as file:
        file.write(b'{"at_ms": 9, "ki')
    assert read_entries(tmp_path) == [Entry(2, "card", "a"), Entry(3, "device", "b")]
    assert list_path(tmp_path).stat().st_mode & 0o077 == 0


def test_a_line_that_is_no_erasure_is_refused_with_its_number(tmp_path: Path) -> None:
    list_path(tmp_path).write_text(json.dumps({"at_ms": 1}) + "\n" + json.dumps({"at_ms": 1}) + "\n")
    with pytest.raises(Refused, match="on line 1 of"):
        read_entries(tmp_path)


@pytest.mark.parametrize(
    ("policy", "days", "is_in_bounds"),
    [("delete", 60, True), ("delete", 61, False), ("delete", None, False), ("compact", 7, False)],
)
def test_a_topic_that_keeps_records_for_longer_than_is_stated_is_named(
    policy: str, days: int | None, *, is_in_bounds: bool
) -> None:
    kept = str(days * DAY_MS) if days else "-1"
    state = TopicState(1, {"retention.ms": kept, "segment.ms": str(7 * DAY_MS), "cleanup.policy": policy})
    found = judge("t", state, without_ids=set(), published=set())
    assert (found.is_in_bounds, bool(found.why)) == (is_in_bounds, not is_in_bounds)
    assert found.roll_days == 7
    assert judge("t", state, without_ids={"t"}, published=set()).is_in_bounds
    assert judge("t", state, without_ids=set(), published={"t"}).is_in_bounds


@pytest.mark.parametrize("flags", [[], ["--entity", "card=a", "--customer", "b"], ["--entity", "crad=a"]])
def test_who_is_meant_is_said_once_and_is_of_a_kind_that_a_stream_has(
    flags: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    with pytest.raises(Refused, match="expected"):
        main(["gdpr", "erase", *flags])


def test_the_reason_of_an_erasure_does_not_hold_the_id_and_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    with pytest.raises(Refused, match="without the id"):
        main(["gdpr", "erase", "--entity", "card=a-card", "--why", "a-card asked", "--apply"])
    with pytest.raises(Refused, match="--why"):
        main(["gdpr", "erase", "--entity", "card=a-card", "--apply"])
    assert read_entries(tmp_path) == []
