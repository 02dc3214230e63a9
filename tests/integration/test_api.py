import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.integration.decided import await_true, read_topic
from tests.unit.inference.bundles import link_champion, write_bundle
from tests.unit.inference.examples import TRANSACTION
from tests.unit.inference.twins import Client
from weir.inference.api.app import build_api
from weir.inference.api.serve import REDIS_SECONDS_MAX, STAGES, build_parts
from weir.infra.embedded.stack import Stack
from weir.infra.settings import Settings
from weir.monitoring.health import Health
from weir.schemas.avro.codec import BatchCodec, WriterSchema
from weir.schemas.contracts import schema_json
from weir.schemas.project import ServedStreams
from weir.schemas.streams.payments import payments
from weir.streaming.health.checks import start_watch

pytestmark = pytest.mark.server


@pytest.fixture
def api(deployment: Settings, tmp_path: Path) -> Iterator[Client]:
    link_champion(tmp_path, write_bundle(tmp_path / "models" / "tiny-1"))
    settings, health = deployment.model_copy(update={"home": tmp_path}), Health()
    with closing(start_watch(settings, stages=STAGES, health=health)):
        parts = build_parts(settings, ServedStreams((payments,), payments.name), health)
        client = Client(build_api(parts))
        assert client.post("/v1/score", json=TRANSACTION).status_code == 200  # the kernel is loaded
        yield client
        parts.close()


def test_a_deployment_without_a_processor_has_incomplete_windows(api: Client) -> None:
    answer = api.get("/v1/features/card/c1").json()
    assert answer["known"] is False
    assert answer["complete"] is False
    assert set(answer["incomplete_units"]) == {"t00", "t01", "l00", "l01"}


def test_a_published_what_if_is_in_the_log_as_a_transaction(api: Client, deployment: Settings) -> None:
    answer = api.post("/v1/score?publish=true", json=TRANSACTION).json()
    (message,) = read_topic(deployment, deployment.topics.transactions)
    assert answer["published"] == {
        "topic": deployment.topics.transactions,
        "partition": message.partition(),
        "offset": message.offset(),
    }
    assert message.key() == TRANSACTION["card_id"].encode()
    schema = WriterSchema(1, subject_ok=True, schema=schema_json("transactions"))
    (row,) = BatchCodec("transactions").decode([message.value()], lambda _: schema).batch.to_pylist()
    assert {name: row[name] for name in TRANSACTION} == TRANSACTION


def test_the_api_is_ready_when_redis_kafka_and_the_model_are_there(api: Client) -> None:
    await_true(lambda: api.get("/readyz").status_code == 200, "a look at everything", seconds=20)
    checks = api.get("/readyz").json()["checks"]
    assert checks == dict.fromkeys(["redis", "kafka", "registry", "host", "decide", "model"], "ok")


def test_a_redis_that_hangs_costs_one_timeout_and_then_nothing(api: Client, embedded_stack: Stack) -> None:
    embedded_stack.pause("redis")
    try:
        began = time.monotonic()
        answers = [_look_up(api) for _ in range(20)]
        taken = time.monotonic() - began
    finally:
        embedded_stack.resume("redis")
    assert {answer.status_code for answer in answers} == {503}
    assert "redis" in answers[0].json()["error"]["message"]
    assert taken < REDIS_SECONDS_MAX + 1.0
    await_true(lambda: _look_up(api).status_code == 200, "recovery", seconds=10)


def test_a_redis_that_dies_is_503_and_back_when_it_is_back(api: Client, embedded_stack: Stack) -> None:
    embedded_stack.kill("redis")
    try:
        assert _look_up(api).status_code == 503
        assert api.get("/v1/decisions/t1").status_code == 503
        assert api.post("/v1/score", json=TRANSACTION).status_code == 503
        assert api.get("/readyz").status_code == 503
        assert api.get("/healthz").status_code == 200
    finally:
        embedded_stack.restart("redis")
    await_true(lambda: _look_up(api).status_code == 200, "recovery", seconds=10)
    await_true(lambda: api.get("/readyz").status_code == 200, "readiness", seconds=20)


def _look_up(api: Client) -> httpx.Response:
    return api.get("/v1/features/card/c1")
