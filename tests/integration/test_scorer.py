import threading
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import first_in_ci
from tests.integration.decided import (
    await_true,
    build_rows,
    decode_decisions,
    publish_raw,
    publish_rows,
    read_decisions,
    read_topic,
)
from tests.integration.running import running
from tests.integration.services import Services
from tests.unit.inference.bundles import link_champion, write_bundle
from weir.inference.cli import run_index, run_scorer
from weir.inference.index import DecisionReader
from weir.infra.kafka.clients import ClientLost, header_text
from weir.infra.redis.client import connect
from weir.infra.redis.decision_store import decision_key
from weir.infra.settings import Settings
from weir.schemas.errors import Refused
from weir.streaming.dlq.letter import read_dead_letter

pytestmark = pytest.mark.server


@pytest.fixture
def scoring(deployment: Settings, tmp_path: Path) -> Settings:
    """A deployment with a champion of its own, in small batches."""
    link_champion(tmp_path, write_bundle(tmp_path / "models" / "tiny-1"))
    scorer = deployment.scorer.model_copy(update={"batch_records_max": 200})
    return deployment.model_copy(update={"home": tmp_path, "scorer": scorer})


def _await_decisions(settings: Settings, count: int) -> list[dict]:
    found: list[dict] = []

    def enough() -> bool:
        found[:] = read_decisions(settings)
        return len(found) >= count

    await_true(enough, f"{count} decisions")
    return found


def _assert_each_once(decisions: list[dict], count: int) -> None:
    ids = Counter(decision["transaction_id"] for decision in decisions)
    assert ids == Counter(f"t{n}" for n in range(count))


def test_each_feature_row_becomes_one_decision_with_its_coordinates(scoring: Settings) -> None:
    publish_rows(scoring, build_rows(0, 500, source_partition=1))
    with running(run_scorer, scoring, instance=0):
        decisions = _await_decisions(scoring, 500)
    _assert_each_once(decisions, 500)
    outcomes = {d["transaction_id"]: d["decision"] for d in decisions}
    assert all(outcomes[f"t{n}"] == ("DECLINE" if n % 5 == 0 else "APPROVE") for n in range(500))
    declined = next(d for d in decisions if d["decision"] == "DECLINE")
    assert declined["reasons"] == [{"code": "CARD_BURST", "detail": "card_event_count_5m = 9 (typical 1)"}]
    messages = read_topic(scoring, scoring.topics.decisions)
    for message, decision in zip(messages, decode_decisions(scoring, messages), strict=True):
        assert message.key().decode() == decision["card_id"]
        assert header_text(message, "weir.source.topic") == scoring.topics.transactions
        assert header_text(message, "weir.source.partition") == "1"
        assert header_text(message, "weir.source.offset") == str(decision["source_offset"])


@pytest.mark.parametrize("value", [None, b"", b"\x01garbage", b"\x00\x7f\xff\xff\xffx"])
def test_a_feature_row_that_cannot_be_read_is_a_dead_letter_and_the_batch_goes_on(
    scoring: Settings, value: bytes | None
) -> None:
    publish_rows(scoring, build_rows(0, 20))
    publish_raw(scoring, value, partition=1)
    publish_rows(scoring, build_rows(20, 20))
    with running(run_scorer, scoring, instance=0):
        decisions = _await_decisions(scoring, 40)
        await_true(lambda: bool(read_topic(scoring, scoring.topics.features_dlq)), "the dead letter")
    _assert_each_once(decisions, 40)
    (message,) = read_topic(scoring, scoring.topics.features_dlq)
    letter = read_dead_letter(message)
    assert message.partition() == 1
    assert (letter.key, letter.value or None) == (b"card-x", value or None)
    assert letter.source is not None
    assert letter.source.topic == scoring.topics.features
    assert (letter.stage, letter.group) == ("score", scoring.scorer.group)
    assert ("trace", b"abc") in letter.original_headers


@pytest.mark.parametrize("step", first_in_ci("committed", "gathered", "computed", "committing"))
def test_a_scorer_killed_at_any_step_decides_each_row_once(scoring: Settings, step: str) -> None:
    publish_rows(scoring, build_rows(0, 1_000))
    _run_until_killed(scoring, step, occurrence=2)
    assert len(read_decisions(scoring)) < 1_000
    with running(run_scorer, scoring, instance=0):
        decisions = _await_decisions(scoring, 1_000)
    _assert_each_once(decisions, 1_000)


@pytest.mark.parametrize("occurrence", first_in_ci(2, 1))
def test_a_scorer_killed_inside_an_open_kafka_transaction_leaves_nothing_of_it_visible(
    scoring: Settings, occurrence: int
) -> None:
    publish_rows(scoring, build_rows(0, 600))
    _run_until_killed(scoring, "produced", occurrence=occurrence)
    with running(run_scorer, scoring, instance=0):
        decisions = _await_decisions(scoring, 600)
    _assert_each_once(decisions, 600)


def _run_until_killed(settings: Settings, step: str, *, occurrence: int) -> None:
    services = Services(settings, settings.home / "logs")
    services.await_killed(services.start_module("tests.integration.scorer_child", step, str(occurrence), "0", ready=""))


def test_a_new_bundle_under_load_drops_and_doubles_nothing(scoring: Settings, tmp_path: Path) -> None:
    done = threading.Event()
    published = [0]

    def load() -> None:
        while not done.is_set():
            publish_rows(scoring, build_rows(published[0], 100))
            published[0] += 100

    loader = threading.Thread(target=load)
    with running(run_scorer, scoring, instance=0):
        loader.start()
        try:
            _await_decisions(scoring, 100)
            link_champion(tmp_path, write_bundle(tmp_path / "models" / "broken", version="broken", model=b"x"))
            link_champion(tmp_path, write_bundle(tmp_path / "models" / "tiny-2", version="2"))
            await_true(lambda: read_decisions(scoring)[-1]["model_version"] == "2", "the new bundle deciding")
        finally:
            done.set()
            loader.join()
        decisions = _await_decisions(scoring, published[0])
    _assert_each_once(decisions, published[0])
    assert {decision["model_version"] for decision in decisions} == {"1", "2"}


def test_two_scorers_share_the_work_and_decide_each_row_once(scoring: Settings) -> None:
    publish_rows(scoring, build_rows(0, 400))
    with running(run_scorer, scoring, instance=0):
        _await_decisions(scoring, 100)
        with running(run_scorer, scoring, instance=1):
            publish_rows(scoring, build_rows(400, 400))
            _await_decisions(scoring, 800)
        publish_rows(scoring, build_rows(800, 200))
        decisions = _await_decisions(scoring, 1_000)
    _assert_each_once(decisions, 1_000)


def test_the_index_follows_the_decisions_and_a_repeat_writes_the_same_bytes(scoring: Settings) -> None:
    publish_rows(scoring, build_rows(0, 300))
    client = connect(scoring.redis)
    reader = DecisionReader(client, space=scoring.key_space)
    with running(run_scorer, scoring, instance=0, with_index=True):
        _await_decisions(scoring, 300)
        await_true(lambda: all(reader.read(f"t{n}") for n in range(300)), "every decision indexed")
    before = [reader.read(f"t{n}") for n in range(300)]
    other_group = scoring.scorer.model_copy(update={"index_group": f"{scoring.cluster}.index-again"})
    again = scoring.model_copy(update={"scorer": other_group})
    client.delete(*client.scan_iter(f"weir:{scoring.cluster}:deci*"))
    with running(run_index, again, instance=0):
        await_true(lambda: all(reader.read(f"t{n}") for n in range(300)), "every decision indexed again")
    assert [reader.read(f"t{n}") for n in range(300)] == before
    assert 0 < client.ttl(decision_key(scoring.cluster, "t0")) <= scoring.scorer.decision_ttl_days * 86_400


def test_a_scorer_whose_offsets_were_lost_does_not_decide_again_unless_told_to(scoring: Settings) -> None:
    publish_rows(scoring, build_rows(0, 20))
    with running(run_scorer, scoring, instance=0):
        _await_decisions(scoring, 20)
    lost = scoring.scorer.model_copy(update={"group": f"{scoring.cluster}.scorer-lost"})
    again = scoring.model_copy(update={"scorer": lost})
    with pytest.raises(Refused, match="no committed offsets"):
        run_scorer(again, instance=0, should_stop=lambda: False)
    with running(run_scorer, again, instance=0, decide_again=True):
        _await_decisions(scoring, 40)


def test_a_second_scorer_of_the_same_number_fences_the_first(scoring: Settings) -> None:
    publish_rows(scoring, build_rows(0, 20))
    fenced = pytest.raises(ClientLost)
    with fenced, running(run_scorer, scoring, instance=0) as first:
        _await_decisions(scoring, 20)
        with running(run_scorer, scoring, instance=0):
            publish_rows(scoring, build_rows(20, 20))
            decisions = _await_decisions(scoring, 40)
            _assert_each_once(decisions, 40)
            publish_rows(scoring, build_rows(40, 20))
            _assert_each_once(_await_decisions(scoring, 60), 60)
            await_true(lambda: bool(first), "the end of the first")
