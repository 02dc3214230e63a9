"""What a process says it runs, held against the disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.payments import DECLARATIONS_HASH
from tests.unit.inference.bundles import link_champion, write_bundle
from weir.inference.champion import Champion
from weir.inference.inspect.cli import _build_processes_table
from weir.inference.processes import STALE_SECONDS, describe_running, judge_processes
from weir.infra.redis.process_store import KEPT_SECONDS, ProcessStore
from weir.infra.settings import Settings

NOW_MS = 1_790_000_000_000


class MemoryHash:
    """The few Redis commands of a hash."""

    def __init__(self) -> None:
        self.fields: dict[bytes, bytes] = {}
        self.expires: list[int] = []

    def hset(self, _: str, name: str, value: str) -> None:
        self.fields[name.encode()] = value.encode()

    def hdel(self, _: str, name: str) -> None:
        self.fields.pop(name.encode(), None)

    def hgetall(self, _: str) -> dict[bytes, bytes]:
        return self.fields

    def expire(self, _: str, seconds: int) -> None:
        self.expires.append(seconds)


def judged(**changes: Any) -> dict[str, Any]:
    report = {"seen_ms": NOW_MS, "model_sha256": "m", "rules_version": "1", "declarations_hash": DECLARATIONS_HASH}
    reports = {"api :8000": report | changes}
    found = judge_processes(
        reports, model_sha256="m", rules_version="1", now_ms=NOW_MS, declarations_hash=DECLARATIONS_HASH
    )
    return found[0] if found else {}


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "runs what is on disk"),
        ({"model_sha256": "x"}, "runs another model"),
        ({"rules_version": "2"}, "runs another rules or lists"),
        ({"model_sha256": "x", "declarations_hash": "0"}, "runs another model and declarations"),
        ({"seen_ms": NOW_MS - int(STALE_SECONDS * 1_000)}, "runs what is on disk"),
        ({"seen_ms": NOW_MS - 3_600_000}, "dead or cut off: silent for 3,600 s; then it ran what is on disk"),
        ({"seen_ms": NOW_MS + 5_000}, "runs what is on disk"),  # another machine's clock
    ],
)
def test_each_process_is_held_against_what_is_on_disk(changes: dict[str, Any], state: str) -> None:
    assert judged(**changes)["state"] == state


def test_the_long_dead_are_left_out() -> None:
    assert judged(seen_ms=NOW_MS - KEPT_SECONDS * 1_000 - 1) == {}


def test_a_report_says_what_the_process_has_loaded_and_not_what_the_disk_has(tmp_path: Path) -> None:
    link_champion(tmp_path, write_bundle(tmp_path / "models" / "tiny-1"))
    champion = Champion(Settings(home=tmp_path))
    link_champion(tmp_path, write_bundle(tmp_path / "models" / "tiny-2", version="2"))
    report = describe_running(champion, started_ms=1, now_ms=2)
    assert (report["model"], report["version"], report["rules_version"]) == ("tiny", "1", "1")
    assert json.loads(json.dumps(report)) == report


def test_reports_are_kept_by_name_until_taken_back_and_garbage_is_left_out() -> None:
    client = MemoryHash()
    store = ProcessStore(client, cluster="c")
    store.write("api", {"seen_ms": 1})
    store.write("scorer 0", {"seen_ms": 2})
    client.fields |= {b"a": b"{", b"b": b"[]", b"c": b"{}", b"\xff": b'{"seen_ms": "x"}'}
    assert store.read() == {"api": {"seen_ms": 1}, "scorer 0": {"seen_ms": 2}}
    store.remove("api")
    assert set(store.read()) == {"scorer 0"}
    assert set(client.expires) == {KEPT_SECONDS}


def test_a_table_of_hostile_reports_is_shown_escaped() -> None:
    row = judged(version="[red]\x1b[31m") | {"process": "[/] \x1b]0;x\x07"}
    table = _build_processes_table({"processes": [row], "processes_unknown": None})
    shown = [str(cell) for column in table.columns for cell in column.cells]
    assert not any("\x1b" in cell for cell in shown)
    assert any("[red]" in cell for cell in shown)
