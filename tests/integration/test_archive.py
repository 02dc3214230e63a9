"""The archive on real servers: each committed record has one row, whatever is killed, and other readers read it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition

from tests.conftest import create_deployment, settings_for
from tests.integration.archive_oracle import find_differences, read_table, read_topics
from tests.integration.decided import build_rows, publish_rows
from tests.integration.payments import Publisher, build_payment, frame, publish_labels
from tests.integration.services import Services
from weir.archive.place import Place
from weir.archive.run import Task, list_followed, run_archiver
from weir.infra.kafka.clients import build_admin, build_producer
from weir.infra.kafka.offsets import end_offsets
from weir.infra.settings import Settings
from weir.schemas.contracts import features_schema
from weir.schemas.errors import Refused
from weir.schemas.streams.payments import payments

pytestmark = pytest.mark.server
CHILD = "tests.integration.archive_child"
STEPS = ("archive_read:1", "archive_checked:2", "archive_written:2", "archive_committed:2")


@pytest.fixture
def archiving(stack: Settings, request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """A deployment whose archiver commits small batches under the test's folder."""
    settings = settings_for(stack, request.node.name)
    archive = settings.archive.model_copy(update={"root": str(tmp_path / "archive"), "commit_rows_max": 60})
    settings = settings.model_copy(update={"archive": archive})
    create_deployment(settings)
    return settings


@pytest.fixture
def services(archiving: Settings, tmp_path: Path) -> Iterator[Services]:
    running = Services(archiving, tmp_path / "logs")
    yield running
    running.stop()


def archive(settings: Settings, **options: object) -> None:
    task = Task([payments], Place(settings.archive.root), until_caught_up=True, **options)  # type: ignore[arg-type]
    run_archiver(settings, task, should_stop=lambda: False)


def publish_everything(settings: Settings, first: int, count: int) -> None:
    """Events of both versions, garbage, tombstones, aborted records, labels and feature rows."""
    publisher = Publisher(settings)
    numbers = range(first, first + count)
    sent = [build_payment(f"t{number}", card_id=f"card-{number % 17}") for number in numbers]
    values = [publisher.value(each, version=1 + number % 2) for number, each in enumerate(sent)]
    publisher.send([(each["card_id"], value) for each, value in zip(sent, values, strict=True)])
    publisher.send([("card-1", b"\x07garbage"), ("card-2", None), (None, b""), (b"\xff\xfe", frame(999_999, b"abc"))])
    abort(settings, values[0])
    label = {"card_id": "card-1", "merchant_id": "m", "event_time_ms": 1, "label_time_ms": 2}
    publish_labels(
        settings, [{"transaction_id": f"t{first}", "device_id": None, "is_fraud": True, "source": "x"} | label]
    )
    publish_rows(settings, build_rows(first, count))


def abort(settings: Settings, value: bytes) -> None:
    """Leave records in the log that no committed transaction has, and headers in one that has."""
    producer = build_producer(settings.kafka, transactional_id=f"{settings.cluster}.aborts")
    producer.init_transactions(30)
    for is_kept in (False, True):
        producer.begin_transaction()
        producer.produce(
            settings.topics.transactions, value, b"card-9", headers=[("kept", b"yes" if is_kept else b"no")]
        )
        producer.flush(30)
        (producer.commit_transaction if is_kept else producer.abort_transaction)(30)


def judge(settings: Settings) -> list[str]:
    servers = settings.kafka.bootstrap_servers
    topics = [each.topic for each in list_followed(settings, [payments])]
    return find_differences(settings.archive.root, servers, topics)


def test_every_committed_record_of_every_topic_has_one_row(archiving: Settings) -> None:
    publish_everything(archiving, 0, 150)
    archive(archiving)
    assert judge(archiving) == []
    publish_everything(archiving, 150, 50)
    archive(archiving)
    archive(archiving)
    assert judge(archiving) == []
    events = read_table(archiving.archive.root, archiving.topics.transactions)
    ids = {row["id"] for row in events}
    assert {f"t{number}" for number in range(200)} <= ids
    undecoded = [row for row in events if row["id"] is None]
    assert len(undecoded) == 8
    assert all(row["card_id"] is None and row["amount_minor"] is None for row in undecoded)
    assert all(row["amount_minor"] == 1_250 for row in events if row["id"] is not None)


@pytest.mark.long
@pytest.mark.parametrize("step", STEPS)
def test_an_archiver_killed_at_a_step_is_followed_by_one_that_adds_each_row_once(services: Services, step: str) -> None:
    settings = services.settings
    publish_everything(settings, 0, 150)
    services.await_killed(services.start_module(CHILD, step, ready=""))
    archive(settings)
    assert judge(settings) == []


def test_the_command_archives_joins_and_says_how_it_stands(services: Services) -> None:
    settings = services.settings
    for first in (0, 50):
        publish_everything(settings, first, 50)
        services.run("archive", "--until-caught-up")
    assert "2 files became 1" in services.run("archive", "optimize", "--today")
    publish_everything(settings, 100, 20)
    found = {each["topic"]: each for each in json.loads(services.run("archive", "status", "--json"))}
    events = found[settings.topics.transactions]
    assert (events["files"], events["rows"], events["stream"]) == (1, 110, payments.full_name)
    assert events["lag"] >= 25
    services.run("archive", "--until-caught-up")
    assert judge(settings) == []
    assert settings.topics.decisions in services.run("archive", "status")


def test_archivers_that_share_the_partitions_share_the_tables(archiving: Settings) -> None:
    publish_everything(archiving, 0, 150)
    archive(archiving, partitions=frozenset({1}))
    archive(archiving, partitions=frozenset({0}))
    assert judge(archiving) == []


def test_a_log_that_forgot_what_is_not_archived_refuses_the_start_and_the_flag_continues(archiving: Settings) -> None:
    publish_everything(archiving, 0, 40)
    archive(archiving)
    publish_everything(archiving, 40, 40)
    forget_all(archiving)
    with pytest.raises(Refused, match="expired before that; `weir archive --accept-loss` continues there"):
        archive(archiving)
    publish_everything(archiving, 80, 20)
    archive(archiving, accept_loss=True)
    rows = read_table(archiving.archive.root, archiving.topics.transactions)
    topic = archiving.topics.transactions
    kept = read_topics(archiving.kafka.bootstrap_servers, [topic])[topic]
    places = [(row["partition"], row["offset"]) for row in rows]
    assert len(places) == len(set(places))
    assert kept.keys() <= set(places)


def forget_all(settings: Settings) -> None:
    """Delete what the events' topic holds, as retention would."""
    ends = end_offsets(settings.kafka, settings.topics.transactions)
    wanted = [TopicPartition(settings.topics.transactions, number, end) for number, end in ends.items()]
    admin = build_admin(settings.kafka)  # held: its futures end with it
    for future in admin.delete_records(wanted).values():
        future.result(30)


def test_a_new_declaration_adds_columns_and_old_rows_have_null_there(
    archiving: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow = features_schema(payments).replace('"card_event_count_5m"', '"card_event_count_5m_before"')
    with monkeypatch.context() as patched:
        patched.setattr("weir.schemas.contracts.features_schema", lambda _: narrow)
        publish_rows(archiving, build_rows(0, 30))
        archive(archiving)
    publish_rows(archiving, build_rows(30, 30))
    archive(archiving)
    rows = {row["id"]: row for row in read_table(archiving.archive.root, archiving.topics.features)}
    assert rows["t5"]["card_event_count_5m"] is None
    assert rows["t35"]["card_event_count_5m"] == 9.0
    assert rows["t5"]["value"] is not None
    assert judge(archiving) == []
