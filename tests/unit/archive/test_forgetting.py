"""What is older than its kind is kept is removed whole, the chain says so, and nothing comes back."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.unit.archive.test_rows import DAY_MS, build_maker, build_raw
from tests.unit.archive.test_table import Killed, read, reopen
from weir.archive import joining
from weir.archive.forgetting import forget
from weir.archive.joining import join_day
from weir.archive.objects import Objects
from weir.archive.place import Place
from weir.archive.seals.chain import Chain
from weir.archive.seals.findings import CHANGED, NOT_REMOVED, REMOVED
from weir.archive.seals.key import SealKey, load_key
from weir.archive.seals.sealing import seal_new
from weir.archive.seals.verify import Verified, verify
from weir.archive.table import ArchiveTable
from weir.archive.upkeep import EVERY_SECONDS, FIRST_SECONDS, Upkeep, keep_up
from weir.infra.settings import ArchiveSettings
from weir.schemas.errors import Transient
from weir.streaming.stage import do_nothing

FIRST = date(2026, 3, 1)
FIRST_MS = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp() * 1_000)
NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
ROWS = 10


class Archive:
    """A table of five batches over four days: the third one begins on the second day and ends on the third."""

    def __init__(self, folder: Path) -> None:
        self.root = Place(str(folder / "archive"))
        self.place = self.root.below("payments")
        self.chain = Chain(self.root)
        self.key: SealKey = load_key(folder / "seals.pem")
        self.table = reopen(self.place)
        self.table.begin([0, 1])
        for batch, start in enumerate((0, DAY_MS, 2 * DAY_MS - ROWS // 2, 2 * DAY_MS + 50, 3 * DAY_MS)):
            raw = build_raw([b"t:%d" % number for number in range(ROWS)], first=100 * batch, append_ms=FIRST_MS + start)
            self.table.append([build_maker().make(raw)], dict.fromkeys((0, 1), 100 * batch + ROWS), do_nothing)
        self.seal()

    def seal(self) -> None:
        seal_new(self.chain, self.key, name="payments", table=self.table)

    def forget(self, keep_days: int, now: datetime = NOON, on_step: Any = do_nothing, table: Any = None) -> list[str]:
        steps = forget(
            table or self.table, keep_days=keep_days, chain=self.chain, key=self.key, now=now, on_step=on_step
        )
        return list(steps)

    def offsets(self) -> list[int]:
        return sorted(row["offset"] for row in read(self.place))

    def verify(self) -> Verified:
        return verify(self.chain, {"payments": reopen(self.place)}, Objects(self.root))


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


def offsets_of(*batches: int) -> list[int]:
    return [100 * batch + number for batch in batches for number in range(ROWS)]


@pytest.mark.parametrize("is_joined", [False, True])
def test_old_days_go_whole_and_the_chain_says_forgotten_and_not_changed(archive: Archive, *, is_joined: bool) -> None:
    if is_joined:
        for table in (archive.table,):
            for day in range(2):
                join_day(table, FIRST + timedelta(days=day), do_nothing)
    lines = archive.forget(2)
    assert lines == ["payments 2026-03-01: 10 rows removed, which were kept for 2 days"]
    assert archive.offsets() == offsets_of(1, 2, 3, 4)
    found = archive.verify()
    assert found.findings == []
    assert (found.tables["payments"].rows, found.tables["payments"].forgotten) == (40, 10)


def test_a_batch_with_rows_of_a_day_that_is_kept_stays_whole(archive: Archive) -> None:
    archive.forget(1)
    assert archive.offsets() == offsets_of(2, 3, 4)
    assert archive.verify().findings == []
    archive.forget(1, NOON + timedelta(days=1))
    assert archive.offsets() == offsets_of(4)
    found = archive.verify()
    assert (found.findings, found.tables["payments"].forgotten) == ([], 40)


def test_a_joined_file_with_rows_that_stay_is_written_again_with_them(archive: Archive) -> None:
    join_day(archive.table, FIRST + timedelta(days=1), do_nothing)
    archive.forget(1)
    assert archive.offsets() == offsets_of(2, 3, 4)
    assert archive.verify().findings == []


def test_all_days_may_go_and_no_row_comes_back(archive: Archive) -> None:
    archive.forget(1, NOON + timedelta(days=30))
    assert archive.offsets() == []
    assert archive.verify().findings == []
    again = reopen(archive.place)
    assert (again.begin([0]), again.batch) == ({0: 410}, 5)
    raw = build_raw([b"t:1"], first=500, append_ms=FIRST_MS + 40 * DAY_MS)
    again.append([build_maker().make(raw)], {0: 501}, do_nothing)
    archive.table = again
    archive.seal()
    assert archive.offsets() == [500]
    assert archive.verify().findings == []


def test_what_is_not_sealed_yet_stays(archive: Archive) -> None:
    raw = build_raw([b"t:1"], first=500, append_ms=FIRST_MS + 4 * DAY_MS)
    archive.table.append([build_maker().make(raw)], {0: 501}, do_nothing)
    archive.forget(1, NOON + timedelta(days=30))
    assert archive.offsets() == [500]


@pytest.mark.parametrize("step", ["retention_recorded", "retention_removed"])
def test_a_job_that_ends_between_its_steps_is_finished_by_the_next(archive: Archive, step: str) -> None:
    def end(name: str) -> None:
        if name == step:
            raise Killed

    with pytest.raises(Killed):
        archive.forget(1, on_step=end)
    kinds = {each.kind for each in archive.verify().findings}
    assert kinds == {NOT_REMOVED}
    archive.forget(1)
    assert archive.offsets() == offsets_of(2, 3, 4)
    assert archive.verify().findings == []
    assert archive.chain.read_length() == 6


def test_a_row_that_is_removed_without_a_record_or_changed_is_still_found(archive: Archive) -> None:
    archive.forget(2)
    delta = archive.table.delta
    delta.update_incremental()
    delta.delete("offset = 405")
    delta.update(updates={"value": "X'00'"}, predicate="offset = 301")
    found = {(each.kind, each.where) for each in archive.verify().findings}
    assert found == {(REMOVED, "payments[1]@405"), (CHANGED, "payments[1]@301")}


def test_of_two_jobs_at_once_each_day_goes_once(archive: Archive) -> None:
    done: list[str] = []

    def forget_too(step: str) -> None:
        if step == "retention_recorded" and not done:
            done.append("")
            done.extend(archive.forget(1, table=reopen(archive.place)))

    archive.forget(1, on_step=forget_too)
    assert len(done) == 3
    assert archive.offsets() == offsets_of(2, 3, 4)
    assert archive.verify().findings == []
    assert archive.chain.read_length() == 6


def test_upkeep_removes_joins_and_deletes_in_steps_and_what_fails_is_left_for_the_next_round(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    settings = ArchiveSettings(keep_events_days=2)
    upkeep = Upkeep([("events", archive.table)], settings, archive.chain, archive.key, monotonic=lambda: clock[0])
    upkeep.turn()
    assert archive.offsets() == offsets_of(0, 1, 2, 3, 4)
    with monkeypatch.context() as patched:
        patched.setattr("weir.archive.upkeep.utc_now", lambda: NOON)
        patched.setattr(ArchiveTable, "look", lambda _: fail())
        clock[0] = FIRST_SECONDS
        upkeep.turn()
    assert archive.offsets() == offsets_of(0, 1, 2, 3, 4)
    monkeypatch.setattr("weir.archive.upkeep.utc_now", lambda: NOON)
    clock[0] += EVERY_SECONDS
    for _ in range(20):
        upkeep.turn()
    assert archive.offsets() == offsets_of(1, 2, 3, 4)
    assert archive.verify().findings == []
    assert [each["partition.day"] for each in archive.table.list_files().to_pylist()].count(date(2026, 3, 2)) == 1


def test_a_large_day_is_joined_until_nothing_is_left_to_join(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "FILE_ROWS", 3 * ROWS)
    monkeypatch.setattr(joining, "MADE_MAX", 1)
    for batch in range(5, 14):
        raw = build_raw([b"t:1"] * ROWS, first=100 * batch, append_ms=FIRST_MS)
        archive.table.append([build_maker().make(raw)], dict.fromkeys((0, 1), 100 * batch + ROWS), do_nothing)
    before = archive.offsets()
    lines = list(keep_up([("events", archive.table)], ArchiveSettings(), archive.chain, archive.key, now=NOON))
    assert sum("became" in line for line in lines) > 3
    assert joining.find_days(archive.table, NOON) == []
    assert archive.offsets() == before


def fail() -> None:
    raise Transient("archive: away")


def test_of_each_kind_so_many_days_are_kept_as_the_settings_say(archive: Archive) -> None:
    settings = ArchiveSettings(keep_decisions_days=1)
    for kind, left in (("events", 5), ("decisions", 3)):
        assert all(
            "removed" in line or "became" in line or not line
            for line in keep_up([(kind, archive.table)], settings, archive.chain, archive.key, now=NOON)
        )
        assert len(archive.offsets()) == left * ROWS
