"""How an archiver is wired: which topics, where the archive is, where each partition begins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from pydantic import SecretStr

from tests.unit.archive.test_table import add, reopen
from weir.archive import run, status
from weir.archive.cli import _build_parser
from weir.archive.place import Place
from weir.archive.run import _begin, find_root, list_followed
from weir.archive.status import read_standings
from weir.archive.table import ArchiveTable, Overtaken
from weir.infra.settings import ArchiveSettings, Settings
from weir.schemas.errors import Refused, Transient
from weir.schemas.project import load_shipped
from weir.schemas.streams.payments import payments

SECRET = "kept-secret"


def settings_with(**archive: Any) -> Settings:
    return Settings(home=Path("home"), archive=ArchiveSettings(**archive))


def test_every_topic_of_a_stream_is_followed_and_dead_letters_are_not_decoded() -> None:
    found = {each.topic: bool(each.schema) for each in list_followed(Settings(), [payments])}
    decoded = dict.fromkeys(("transactions", "labels", "features", "decisions"), True)
    assert found == decoded | dict.fromkeys(("transactions.dlq", "labels.dlq", "features.dlq"), False)
    kinds = {each.topic: each.kind for each in list_followed(Settings(), [payments])}
    assert kinds == {
        "transactions": "events", "labels": "labels", "features": "features", "decisions": "decisions",
        "transactions.dlq": "dead_letters", "labels.dlq": "dead_letters", "features.dlq": "dead_letters",
    }  # fmt: skip
    assert [ArchiveSettings(keep_labels_days=7).keep_days(kind) for kind in ("events", "labels")] == [0, 7]


def test_a_stream_without_labels_has_no_topics_of_labels() -> None:
    clicks = load_shipped("clicks").stream
    found = [each.topic for each in list_followed(Settings(), [clicks])]
    assert not any("labels" in topic for topic in found) or clicks.labels
    assert f"{clicks.name}.features" in found


def test_the_archive_is_in_the_home_in_the_settings_root_or_where_the_command_says() -> None:
    assert find_root(settings_with()).uri == "home/archive"
    assert find_root(settings_with(root="s3://bucket/a")).uri == "s3://bucket/a"
    assert find_root(settings_with(root="s3://bucket/a"), "elsewhere").uri == "elsewhere"


@pytest.mark.parametrize("text", ["{", "[]", '"text"', '{"AWS_REGION": 1}', f"{SECRET}"])
def test_options_of_a_store_that_are_no_texts_are_refused_without_showing_them(text: str) -> None:
    with pytest.raises(Refused, match="expected a JSON object whose values are texts") as refused:
        find_root(settings_with(storage_options=SecretStr(text)))
    assert SECRET not in str(refused.value)


def test_options_of_a_store_are_passed_on_and_never_shown() -> None:
    options = {"AWS_SECRET_ACCESS_KEY": SECRET}
    place = find_root(settings_with(storage_options=SecretStr(json.dumps(options)))).below("transactions")
    assert place.options == options
    assert SECRET not in repr(place)


class History:
    """A log that begins somewhere."""

    def __init__(self, low: int) -> None:
        self._low = low

    def low(self, partition: object) -> int:
        del partition
        return self._low


@pytest.fixture
def table(tmp_path: Path) -> ArchiveTable:
    """Archived up to offset 10."""
    table = reopen(Place(str(tmp_path / "archive")).below("payments"))
    table.begin([0])
    add(table, 0, 10)
    return table


def begin(table: ArchiveTable, low: int, ends: dict[int, int], *, accept_loss: bool = False) -> dict[int, int]:
    return _begin(table, History(low), sorted(ends), ends, accept_loss=accept_loss)  # type: ignore[arg-type]


def test_a_partition_begins_where_it_is_archived_and_a_new_one_at_its_first_record(table: ArchiveTable) -> None:
    assert begin(table, 4, {0: 20, 1: 9}) == {0: 10, 1: 4}
    assert begin(table, 10, {0: 10}) == {0: 10}


def test_a_log_that_forgot_records_is_refused_unless_that_is_accepted(table: ArchiveTable) -> None:
    with pytest.raises(Refused, match="found 15: 5 offsets expired before that"):
        begin(table, 15, {0: 20})
    assert begin(table, 15, {0: 20}, accept_loss=True) == {0: 15}


def test_a_log_that_ends_below_what_is_archived_is_refused(table: ArchiveTable) -> None:
    with pytest.raises(Refused, match="found its end at 7: the brokers lost records"):
        begin(table, 0, {0: 7})


@pytest.mark.usefixtures("table")
def test_the_status_of_a_table_has_its_rows_and_the_lag_that_the_brokers_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "end_offsets", lambda *_: {0: 12, 1: 3})
    (found,) = read_standings(Place(str(tmp_path / "archive")), Settings().kafka)
    assert (found.topic, found.rows, found.files, found.batch, found.lag) == ("payments", 10, 1, 1, 5)
    assert found.newest is not None
    assert found.newest.startswith("1970-01-01T00:00:00")


@pytest.mark.usefixtures("table")
def test_what_is_kept_next_to_the_tables_is_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "end_offsets", lambda *_: {0: 12})
    write_deltalake(str(tmp_path / "archive" / "_seals"), pa.table({"a": [1]}))
    assert [each.topic for each in read_standings(Place(str(tmp_path / "archive")), Settings().kafka)] == ["payments"]


@pytest.mark.usefixtures("table")
def test_the_status_is_shown_without_brokers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def be_away(*_: object) -> None:
        raise Transient("kafka: no answer")

    monkeypatch.setattr(status, "end_offsets", be_away)
    assert [each.lag for each in read_standings(Place(str(tmp_path / "archive")), Settings().kafka)] == [None]


def test_a_folder_without_an_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="expected an archive"):
        list(read_standings(Place(str(tmp_path / "nowhere")), Settings().kafka))


@pytest.mark.parametrize("text", ["-1", "a", "0,,1", ""])
def test_partitions_that_are_no_numbers_are_misuse(text: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        _build_parser().parse_args(["--partitions", text])
    assert _build_parser().parse_args(["--partitions", "0,3"]).partitions == frozenset({0, 3})


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Where a table is made."""
    return Place(str(tmp_path / "root" / "table"))


def _overtake(place: Place) -> tuple[Overtaken, ArchiveTable]:
    """Return what one of two archivers of a partition is told, and the table of the other one."""
    one, other = reopen(place), reopen(place)
    one.begin([0])
    other.begin([0])
    add(one, 0, 5)
    with pytest.raises(Overtaken) as told:
        add(other, 0, 5)
    return told.value, one


def test_an_archiver_that_commits_on_is_given_way_and_one_that_does_not_is_not(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_COMMIT_TAKES_SECONDS", 0.0)
    overtaken, other = _overtake(place)
    assert not run._is_at_work(overtaken, 0.1, lambda: False)
    add(other, 5, 5)
    assert run._is_at_work(overtaken, 60.0, lambda: False)


def test_who_commits_seldom_is_not_watched_for_as_long(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_COMMIT_TAKES_SECONDS", 0.0)
    monkeypatch.setattr(run, "_WATCHED_SECONDS_MAX", 0.05)
    overtaken, _ = _overtake(place)
    assert not run._is_at_work(overtaken, 3_600.0, lambda: False)


def test_of_two_archivers_that_overtook_each_other_one_continues(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    overtaken, _ = _overtake(place)
    told = [overtaken]
    monkeypatch.setattr(run, "_is_at_work", lambda *_: False)

    def archive(*_: object) -> None:
        if told:
            raise told.pop()

    monkeypatch.setattr(run, "_archive", archive)
    run.run_archiver(Settings(), run.Task([payments], place), should_stop=lambda: False)
    assert told == []
