"""An archive teaches a model the very rows that the topics do, from whatever time on is asked."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from confluent_kafka import KafkaError

import weir.cli
from tests.golden.decided import DECISION_TIME_MS
from tests.unit.archive.decided import WRITERS, topics
from weir.infra.settings import Settings
from weir.schemas.avro.codec import WriterSchema
from weir.schemas.errors import PoisonRecord
from weir.train import open_archive
from weir.training import topics as of_topics


class _Registry:
    """The schemas of the golden log."""

    def __init__(self, settings: Any) -> None:
        del settings

    def writer_schema(self, schema_id: int, subject: str) -> WriterSchema | PoisonRecord:
        del subject
        if schema_id not in WRITERS:
            return PoisonRecord("unknown_schema_id", "expected a registered schema id, found another")
        return WriterSchema(schema_id, subject_ok=True, schema=WRITERS[schema_id])

    def close(self) -> None:
        """Nothing is open."""


class _Consumer:
    """The golden log's topics, each of one partition and read in one go."""

    def list_topics(self, topic: str, timeout: float) -> Any:
        del timeout
        return SimpleNamespace(topics={topic: SimpleNamespace(error=None, partitions={0: None})})

    def assign(self, partitions: list[Any]) -> None:
        self._topic = partitions[0].topic

    def consume(self, count: int, timeout: float) -> list[Any]:
        del count, timeout
        end = SimpleNamespace(code=lambda: KafkaError._PARTITION_EOF)
        return [*(_message(each.entry.value) for each in topics()[self._topic]), _message(None, end)]

    def close(self) -> None:
        """Nothing is open."""


def _message(value: bytes | None, error: Any = None) -> Any:
    return SimpleNamespace(partition=lambda: 0, value=lambda: value, error=lambda: error, headers=lambda: None)


@pytest.fixture
def settings(built: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(of_topics, "Registry", _Registry)
    monkeypatch.setattr(of_topics, "build_consumer", lambda *_, **__: _Consumer())
    monkeypatch.setenv("WEIR_HOME", str(built))
    return Settings(home=built)


def test_an_archive_gives_the_dataset_of_the_topics_row_for_row(settings: Settings) -> None:
    examples, labels = of_topics.load_topics(settings)
    archived, archived_labels = of_topics.load_logged(settings, open_archive(settings, "archive", 0))
    assert len(examples) > 400
    assert np.array_equal(archived.features, examples.features, equal_nan=True)
    assert archived.event_time_ms.tolist() == examples.event_time_ms.tolist()
    assert archived.keys.equals(examples.keys)
    assert archived_labels.combine_chunks().equals(labels.combine_chunks())
    assert len(labels) > 10


def test_a_time_leaves_out_what_was_appended_before_it(settings: Settings) -> None:
    read = open_archive(settings, "archive", DECISION_TIME_MS + 100)
    archived, labels = of_topics.load_logged(settings, read)
    whole, all_labels = of_topics.load_logged(settings, open_archive(settings, "archive", 0))
    assert len(archived) == len(whole) - 100
    assert set(archived.keys.to_pylist()) < set(whole.keys.to_pylist())
    assert len(labels) == len(all_labels)


def test_a_person_who_was_erased_teaches_nothing(
    built: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    shutil.copytree(built, home)
    monkeypatch.setenv("WEIR_HOME", str(home))
    whole, _ = of_topics.load_logged(settings, open_archive(settings, "archive", 0))
    card = whole.keys[0].as_py().split("\x1f")[0]
    assert weir.cli.main(["archive", "erase", "--entity", f"card={card}", "--why", "asked", "--apply"]) == 0
    kept, _ = of_topics.load_logged(settings, open_archive(settings, str(home / "archive"), 0))
    others = [key for key in whole.keys.to_pylist() if not key.startswith(f"{card}\x1f")]
    assert kept.keys.to_pylist() == others
    assert len(others) < len(whole)


def test_flags_that_make_no_sense_are_refused_in_a_sentence(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for flags, said in (
        (["--since", "90d"], "--since: expected --from with it"),
        (["--from", str(tmp_path)], "expected the table of topic features in"),
        (["--from", "archive", "--since", "2100-01-01"], "expected rows of declarations"),
    ):
        assert weir.cli.main(["train", *flags]) == 2
        assert said in capsys.readouterr().err
    for flags in (["--from", "archive", "--from-topics"], ["--from", "archive", "--since", "soon"]):
        with pytest.raises(SystemExit, match="2"):
            weir.cli.main(["train", *flags])
    assert settings.stream.name == "transactions"
