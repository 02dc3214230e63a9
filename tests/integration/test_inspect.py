import json
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition

from tests.conftest import environment_of
from tests.integration.dead_letters import frame_payment, publish_dead_letters
from tests.unit.inference.bundles import link_champion, write_bundle
from weir.inference.inspect.cli import main
from weir.infra.kafka.clients import build_admin
from weir.infra.redis.client import connect
from weir.infra.redis.decision_store import decision_key, seal
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.schemas.contracts import subject
from weir.schemas.errors import Damaged, Refused, WeirError

pytestmark = pytest.mark.server


@pytest.fixture
def here(deployment: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """This process's environment names a deployment with a champion."""
    link_champion(tmp_path, write_bundle(tmp_path / "models" / "tiny-1"))
    settings = deployment.model_copy(update={"home": tmp_path})
    for name, value in environment_of(settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COLUMNS", "200")
    return settings


@pytest.mark.parametrize("stored", [b"", b"null", b"\xff\x00garbage", b'{"transaction_id":"t1"}', seal("t2", b"{}")])
def test_a_damaged_decision_is_told_and_not_shown(
    here: Settings, capsys: pytest.CaptureFixture[str], stored: bytes
) -> None:
    connect(here.redis).set(decision_key(here.cluster, "t1"), stored, ex=60)
    with pytest.raises(Damaged, match="expected the decision as it was written, found other bytes"):
        main(["inspect", "decision", "t1"])
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("what", ["card", "decision"])
def test_an_id_that_is_no_text_is_refused(what: str) -> None:
    with pytest.raises(Refused, match="expected an id of 1 to 128 bytes of UTF-8"):
        main(["inspect", what, "\udcff\udcfe"])


def test_a_decision_is_shown_with_its_reasons(here: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    decision = {
        "transaction_id": "t1",
        "decision": "DECLINE",
        "decided_by": "model",
        "score": None,
        "event_time_ms": 0,
        "reasons": [{"code": "CARD_BURST", "detail": "card_event_count_5m = 9 (typical 1)"}],
    }
    connect(here.redis).set(decision_key(here.cluster, "t1"), seal("t1", json.dumps(decision).encode()), ex=60)
    assert main(["inspect", "decision", "t1"]) == 0
    shown = capsys.readouterr().out
    assert "DECLINE by model" in shown
    assert "card_event_count_5m = 9 (typical 1)" in shown
    assert "1970-01-01T00:00:00.000Z" in shown
    assert main(["inspect", "decision", "t1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == decision


def test_a_decision_that_is_not_there_is_an_error_that_says_where_to_look(here: Settings) -> None:
    assert here.cluster
    with pytest.raises(WeirError, match="weir inspect lag"):
        main(["inspect", "decision", "t-none"])


def test_an_event_that_is_a_dead_letter_is_told_as_one_with_its_reason(here: Settings) -> None:
    with closing(Registry(here.registry)) as registry:
        schema_id = registry.latest_id(subject(here.topics.transactions))
    mine, other = (frame_payment(schema_id, transaction_id=name) for name in ("t-refused", "t-refused-too"))
    publish_dead_letters(here, [other, mine, None], reason="key_mismatch", partition=1)
    expired = TopicPartition(here.topics.dlq, 1, 1)  # the first letter is no longer kept
    admin = build_admin(here.kafka)
    admin.delete_records([expired])[expired].result(30)
    publish_dead_letters(here, [b"\x07garbage with t-broken in it"], reason="wrong_frame")
    with pytest.raises(WeirError, match=r"dlq-1-1, refused as key_mismatch: .* --partition 1 --offset 1`"):
        main(["inspect", "decision", "t-refused"])
    with pytest.raises(WeirError, match="refused as wrong_frame"):
        main(["inspect", "decision", "t-broken"])
    with pytest.raises(WeirError, match="not decided yet, expired or unknown"):
        main(["inspect", "decision", "t-ref"])


def test_the_lag_of_every_stage_is_shown_before_anything_was_committed(
    here: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", "lag", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    found = {(row["stage"], row["topic"], row["partition"]) for row in rows}
    names = here.topics
    stages = [("process", names.transactions), ("process", names.labels)]
    stages += [("score", names.features), ("index", names.decisions)]
    assert found == {(stage, topic, number) for stage, topic in stages for number in range(2)}
    assert {(row["committed"], row["lag_records"]) for row in rows} == {(None, 0)}


def test_the_model_in_force_is_shown(here: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "model"]) == 0
    shown = capsys.readouterr().out
    assert "champion tiny 1" in shown
    assert str(here.home) in shown


def test_a_card_never_seen_is_shown_as_such(here: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert here.cluster
    assert main(["inspect", "card", "c1"]) == 0
    shown = capsys.readouterr().out
    assert "never seen" in shown
    assert "incomplete: t00, t01, l00, l01" in shown


def test_a_card_number_is_refused_without_being_repeated(here: Settings) -> None:
    assert here.cluster
    with pytest.raises(Refused) as refused:
        main(["inspect", "card", "4111111111111111"])
    assert "4111" not in str(refused.value)


def test_an_unknown_thing_to_inspect_is_misuse() -> None:
    with pytest.raises(SystemExit) as ended:
        main(["inspect", "planet"])
    assert ended.value.code == 2
