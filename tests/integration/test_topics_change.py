"""Topics that are not what a scorer left: others under their old names, or of more partitions."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions

from tests.integration.decided import await_true, build_rows, encode_rows, publish_raw, publish_rows, read_decisions
from tests.integration.running import running
from tests.unit.inference.bundles import link_champion, write_bundle
from weir.inference.cli import run_index, run_scorer
from weir.infra.kafka.admin import describe_topics
from weir.infra.kafka.clients import CLIENT_LOG, admin_config, build_consumer
from weir.infra.settings import Settings
from weir.schemas.errors import Refused

pytestmark = pytest.mark.server


@pytest.fixture
def scoring(deployment: Settings, tmp_path: Path) -> Settings:
    link_champion(tmp_path, write_bundle(tmp_path / "models" / "tiny-1"))
    return deployment.model_copy(update={"home": tmp_path})


def _commit(settings: Settings, group: str, topic: str, note: str) -> None:
    with closing(build_consumer(settings.kafka, group=group)) as consumer:
        consumer.commit(offsets=[TopicPartition(topic, 0, 5, metadata=note)], asynchronous=False)


def _notes(settings: Settings, group: str, topic: str) -> set[str]:
    places = [TopicPartition(topic, number) for number in range(2)]
    with closing(build_consumer(settings.kafka, group=group)) as consumer:
        return {found.metadata for found in consumer.committed(places, timeout=10) if found.offset > 0}


def test_offsets_of_another_topic_of_that_name_are_refused_by_scorer_and_index(scoring: Settings) -> None:
    """Kept by the brokers, mirrored or restored: begun at them, the new topic's first rows would be missed."""
    names, groups = scoring.topics, scoring.scorer
    publish_rows(scoring, build_rows(0, 60))
    _commit(scoring, groups.group, names.features, "id-of-the-old-topic")
    with pytest.raises(Refused, match=r"created again; .*WEIR_SCORER__GROUP.*--decide-again"):
        run_scorer(scoring, instance=0, should_stop=lambda: False)
    _commit(scoring, groups.index_group, names.decisions, "id-of-the-old-topic")
    with pytest.raises(Refused, match=r"created again; .*WEIR_SCORER__INDEX_GROUP"):
        run_index(scoring, instance=0, should_stop=lambda: False)


def test_scorer_and_index_commit_the_topics_ids_beside_their_offsets(scoring: Settings) -> None:
    names, groups = scoring.topics, scoring.scorer
    topics = describe_topics(scoring.kafka, [names.features, names.decisions])
    publish_rows(scoring, build_rows(0, 20))
    with running(run_scorer, scoring, instance=0, with_index=True):
        await_true(lambda: bool(_notes(scoring, groups.index_group, names.decisions)), "the index's offsets")
    assert _notes(scoring, groups.group, names.features) == {topics[names.features].topic_id}
    assert _notes(scoring, groups.index_group, names.decisions) == {topics[names.decisions].topic_id}


def test_partitions_added_while_a_scorer_was_down_are_decided_when_it_starts_again(scoring: Settings) -> None:
    kafka = scoring.kafka.model_copy(update={"session_timeout_ms": 6_000})  # the shortest: its old member has to go
    scoring = scoring.model_copy(update={"kafka": kafka})
    publish_rows(scoring, build_rows(0, 20))
    with running(run_scorer, scoring, instance=0):
        await_true(lambda: len(read_decisions(scoring)) == 20, "20 decisions")
    admin = AdminClient(admin_config(scoring.kafka), logger=CLIENT_LOG)
    for future in admin.create_partitions([NewPartitions(scoring.topics.features, 3)]).values():
        future.result(20)
    (value,) = encode_rows(scoring, build_rows(20, 1))
    publish_raw(scoring, value, partition=2)
    with running(run_scorer, scoring, instance=0):
        await_true(lambda: len(read_decisions(scoring)) == 21, "a decision from the third partition")
