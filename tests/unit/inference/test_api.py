import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.payments import ENTITIES, FEATURE_NAMES
from tests.unit.inference import twins
from tests.unit.inference.bundles import link_champion, write_bundle
from tests.unit.inference.examples import DECISION, TRANSACTION
from tests.unit.inference.twins import Client, MemoryDecisions, MemoryPartials, MemoryPublisher, MemoryStream
from weir.inference.api.app import ApiParts, build_api
from weir.inference.api.circuit_breaker import CircuitBreaker
from weir.inference.api.examples import build_event
from weir.inference.api.lookup import read_newest_ms
from weir.inference.api.request import BadRequest, build_json_schema, event_fields, parse_event
from weir.inference.api.stream_paths import StreamParts
from weir.inference.api.web.listening import bind, check_host
from weir.inference.champion import Champion
from weir.infra.redis.partials_reader import Partials
from weir.infra.settings import ApiSettings, Settings
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.errors import Refused, Transient
from weir.schemas.placeholders import BUILT_IN
from weir.schemas.stream import Stream
from weir.schemas.streams.clicks import clicks
from weir.schemas.streams.payments import payments
from weir.schemas.streams.transfers import transfers
from weir.streaming.core.states import States
from weir.streaming.kernels import shipped_kernel

NOW_MS = 1_767_268_800_000
CARD_NUMBER = "4111111111111111"


class World:
    """An API over twins in memory."""

    def __init__(self, home: Path) -> None:
        link_champion(home, write_bundle(home / "models" / "tiny-1"))
        self.partials = MemoryPartials()
        self.decisions = MemoryDecisions(self.partials)
        self.publisher = MemoryPublisher()
        self.search = twins.MemorySearch()
        self.stream = MemoryStream(DECISION, self.decisions)
        self.guard = CircuitBreaker("redis", self.partials.ping, probe_seconds=0.01)
        self.champion = Champion(Settings(home=home))
        self.served = StreamParts(
            kernel=shipped_kernel(),
            reader=self.partials,
            decisions=self.decisions,
            champion=self.champion,
            publisher=self.publisher,
            models_dir=home / "models",
            decide=self.stream.parts,
            search=self.search,
        )
        self.parts = ApiParts(
            streams=[self.served],
            default=payments.name,
            redis=self.guard,
            checks={"redis": self.partials.ping, "kafka": lambda: None},
            now_ms=lambda: NOW_MS,
            placeholders=BUILT_IN,
        )
        self.app = build_api(self.parts)
        self.client = Client(self.app)

    def score(self, **changes: Any) -> Any:
        document = {name: value for name, value in (TRANSACTION | changes).items() if value is not ...}
        return self.client.post("/v1/score", json=document)

    def see(self, *times_ms: int) -> None:
        """Fold payments of the example's card, device and merchant as partition 0 would."""
        schema = BatchCodec("transactions").arrow_schema
        rows = [
            {f.name: None for f in event_fields(payments)}
            | TRANSACTION
            | {"transaction_id": f"t{time_ms}", "event_time_ms": time_ms, "outcome": "ACCEPTED"}
            for time_ms in times_ms
        ]
        batch = pa.RecordBatch.from_pylist(rows, schema=schema)
        append = np.array(times_ms, dtype=np.int64)
        digest = np.zeros(len(rows), np.uint32)
        events = shipped_kernel().build_events(
            batch, append_time_ms=append, partition=0, body_digest=digest, placeholders=BUILT_IN
        )
        fresh = {str(spec.entity): [b""] * len(events.entities[spec.entity].ids) for spec in ENTITIES}
        for entity, states in shipped_kernel().step(events, States(fresh)).states.items():
            for entity_id, partial in zip(events.entities[entity].ids, states, strict=True):
                self.partials.stored[str(entity), entity_id] = Partials([partial], [], True, [], {"t00": len(rows)})


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.guard.close()


def test_a_card_never_seen_has_empty_windows_and_is_not_known(world: World) -> None:
    answer = world.client.get("/v1/features/card/card-x").json()
    assert answer["known"] is False
    assert answer["complete"] is True
    assert answer["features"]["card_event_count_1h"] == 0.0
    assert answer["features"]["card_amount_mean_1d"] is None
    assert answer["freshness"] == {"newest_event_ms": None, "positions": {"t00": 7}}


def test_live_windows_end_now_and_name_the_newest_event(world: World) -> None:
    world.see(NOW_MS - 7_200_000, NOW_MS - 60_000, NOW_MS - 1_000)
    answer = world.client.get(f"/v1/features/card/{TRANSACTION['card_id']}").json()
    assert answer["known"] is True
    assert answer["features"]["card_event_count_1h"] == 2.0
    assert answer["features"]["card_event_count_1d"] == 3.0
    assert answer["freshness"]["newest_event_ms"] == NOW_MS - 1_000


@pytest.mark.parametrize("spec", ENTITIES, ids=lambda spec: str(spec.entity))
def test_every_declared_entity_can_be_looked_up(world: World, spec: Any) -> None:
    world.see(NOW_MS - 1_000)
    answer = world.client.get(f"/v1/features/{spec.entity}/{TRANSACTION[spec.id_field]}").json()
    assert answer["known"] is True
    wanted = {name for name in FEATURE_NAMES if name.startswith(f"{spec.entity}_")}
    assert set(answer["features"]) == wanted


def test_windows_of_a_view_that_is_being_rebuilt_say_so(world: World) -> None:
    world.partials.incomplete = ["t01"]
    answer = world.client.get("/v1/features/card/c").json()
    assert (answer["complete"], answer["incomplete_units"]) == (False, ["t01"])


def test_an_unknown_kind_of_entity_is_answered_with_the_known_ones(world: World) -> None:
    answer = world.client.get("/v1/features/planet/mars")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "unknown_entity"
    assert all(str(spec.entity) in answer.json()["error"]["message"] for spec in ENTITIES)


@pytest.mark.parametrize("written", [CARD_NUMBER, "4111-1111-1111-1111", "4111%201111%201111%201111"])
def test_a_card_number_as_id_is_refused_and_not_repeated(
    world: World, written: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = world.client.get(f"/v1/features/card/{written}")
    assert answer.status_code == 422
    assert answer.json()["error"]["fields"][0]["field"] == "id"
    assert "1111" not in answer.text
    assert "411111" not in "".join(record.getMessage() for record in caplog.records if record.name != "httpx")


def test_an_id_that_is_too_long_is_refused(world: World) -> None:
    assert world.client.get("/v1/features/card/" + "x" * 129).status_code == 422


def test_an_id_may_hold_a_slash(world: World) -> None:
    assert world.client.get("/v1/features/ip/2001:db8::/32").json()["id"] == "2001:db8::/32"


def test_a_decision_is_returned_as_it_was_indexed(world: World) -> None:
    world.decisions.stored["t1"] = b'{"decision":"REVIEW"}'
    answer = world.client.get("/v1/decisions/t1")
    assert answer.json() == {"decision": "REVIEW"}
    assert answer.headers["content-type"] == "application/json"


def test_a_transaction_without_a_decision_is_not_found(world: World) -> None:
    answer = world.client.get("/v1/decisions/t1")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "no_decision")


def test_a_first_payment_is_scored_with_itself_in_its_windows(world: World) -> None:
    answer = world.score().json()
    assert answer["decision"] == "APPROVE"
    assert answer["features"]["card_event_count_5m"] == 1.0
    assert answer["score"] == pytest.approx(1 / (1 + np.e**3), rel=1e-5)
    assert answer["event_time_ms"] == NOW_MS
    assert answer["published"] is None
    assert answer["degraded"] is False


def test_a_burst_is_declined_with_its_numbers(world: World) -> None:
    world.see(*[NOW_MS - 60_000 + step for step in range(8)])
    answer = world.score().json()
    assert answer["decision"] == "DECLINE"
    assert answer["reasons"][0] == {"code": "CARD_BURST", "detail": "card_event_count_5m = 9 (typical 1)"}


def test_what_if_writes_nothing(world: World) -> None:
    world.see(NOW_MS - 1_000)
    before = dict(world.partials.stored)
    assert world.score().json() == world.score().json()
    assert world.partials.stored == before
    assert world.publisher.published == []


def test_a_score_made_without_part_of_the_view_is_degraded(world: World) -> None:
    world.partials.incomplete = ["t01"]
    answer = world.score().json()
    assert (answer["degraded"], answer["degraded_by"]) == (True, ["partial.t01"])


def test_a_transaction_without_device_and_address_lacks_their_features(world: World) -> None:
    answer = world.score(device_id=None, ip=...).json()
    assert answer["features"]["device_event_count_1h"] is None
    assert answer["features"]["ip_event_count_1h"] is None
    assert answer["features"]["card_event_count_1h"] == 1.0


@pytest.mark.parametrize("field", ["device_id", "ip", "customer_id", "merchant_id"])
def test_a_placeholder_is_scored_as_if_it_were_missing_and_passed_on_as_it_is(world: World, field: str) -> None:
    answer = world.client.post("/v1/score", json=TRANSACTION | {field: " Unknown "}).json()
    features = answer["features"]
    own = [value for name, value in features.items() if name.startswith(f"{field.removesuffix('_id')}_")]
    assert own
    assert set(own) == {None}
    assert features["card_event_count_1h"] == 1.0


@pytest.mark.parametrize("field", ["card_id", "transaction_id"])
def test_a_placeholder_as_the_id_of_a_card_or_a_transaction_is_refused(world: World, field: str) -> None:
    answer = world.client.post("/v1/score?publish=true", json=TRANSACTION | {field: "null"})
    assert answer.status_code == 422
    assert field in answer.text


def test_a_transaction_id_that_the_card_used_today_is_a_conflict(world: World) -> None:
    world.see(NOW_MS - 1_000)
    answer = world.score(transaction_id=f"t{NOW_MS - 1_000}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "duplicate")


def test_publish_also_publishes_and_returns_the_coordinates(world: World) -> None:
    answer = world.client.post("/v1/score?publish=true", json=TRANSACTION).json()
    assert answer["published"] == {"topic": "transactions", "partition": 0, "offset": 0}
    assert world.publisher.published[0]["event_time_ms"] == NOW_MS


def test_publishing_with_the_broker_away_is_unavailable_with_the_reason(world: World) -> None:
    world.publisher.away = "kafka: no answer"
    answer = world.client.post("/v1/score?publish=true", json=TRANSACTION)
    assert (answer.status_code, answer.json()["error"]["message"]) == (503, "kafka: no answer")


def test_redis_gone_gets_503_with_a_reason_and_recovers_by_itself(world: World) -> None:
    world.partials.away = "redis: reading partials: connection refused"
    for path in ("/v1/features/card/c", "/v1/decisions/t1"):
        answer = world.client.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
        assert "connection refused" in answer.json()["error"]["message"]
        assert answer.headers["retry-after"] == "1"
    assert world.score().status_code == 503
    assert world.client.get("/readyz").status_code == 503
    assert world.client.get("/healthz").status_code == 200
    world.partials.away = ""
    await_true(lambda: world.client.get("/v1/features/card/c").status_code == 200)
    assert world.client.get("/readyz").json() == {
        "ready": True,
        "checks": {"redis": "ok", "kafka": "ok", "model": "ok"},
    }


def test_a_view_that_only_an_operator_can_mend_gets_503_with_the_mend(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise Refused("redis: expected the position of unit t00 as three numbers; drop the view")

    monkeypatch.setattr(world.partials, "read_many", refuse)
    answer = world.client.get("/v1/features/card/c")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "refused")
    assert "drop the view" in answer.json()["error"]["message"]


def test_while_redis_is_gone_it_is_asked_by_the_probe_alone(world: World) -> None:
    world.partials.away = "gone"
    for _ in range(20):
        assert world.client.get("/v1/features/card/c").status_code == 503
    assert world.partials.asked == 1


def test_a_guard_that_is_closed_stops_probing() -> None:
    def fail() -> None:
        raise Transient("gone")

    guard = CircuitBreaker("redis", fail, probe_seconds=0.001)
    with pytest.raises(Transient):
        guard.call(fail)
    guard.close()
    assert guard.reason == "gone"


def test_models_are_listed_with_rules_and_thresholds(world: World) -> None:
    answer = world.client.get("/v1/models").json()
    assert answer["champion"]["version"] == "1"
    assert answer["champion"]["thresholds"] == {"review": 0.5, "decline": 0.9}
    assert answer["champion"]["metrics"] == {"pr_auc": 0.5}
    assert [bundle["version"] for bundle in answer["bundles"]] == ["1"]
    assert answer["rules"]


def test_metrics_have_routes_and_never_ids(world: World) -> None:
    world.client.get("/v1/features/card/card-very-secret")
    page = world.client.get("/metrics").text
    assert 'route="/v1/features/{entity}/{entity_id:path}"' in page
    assert "card-very-secret" not in page


def test_the_openapi_document_has_examples_and_the_contract_of_a_transaction(world: World) -> None:
    document = world.client.get("/openapi.json").json()
    score = document["paths"]["/v1/score"]["post"]
    content = score["requestBody"]["content"]["application/json"]
    assert set(content["schema"]["properties"]) == {field.name for field in event_fields(payments)}
    assert content["example"]["card_id"]
    for path, operations in document["paths"].items():
        if path.startswith("/v1/") and not path.endswith("/models"):
            for operation in operations.values():
                (content,) = operation["responses"]["200"]["content"].values()
                assert content["example"]


def test_another_host_name_is_not_served(world: World) -> None:
    assert world.client.get("/healthz", headers={"host": "evil.example"}).status_code == 400


def test_an_unknown_path_is_an_error_of_the_same_shape(world: World) -> None:
    answer = world.client.get("/v2/none")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "http")


def test_another_address_than_loopback_is_refused() -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "localhost"):
        with pytest.raises(Refused, match=r"expected host 127\.0\.0\.1"):
            check_host(host, ApiSettings())


def test_a_port_that_is_taken_is_refused_with_the_mend() -> None:
    with bind("127.0.0.1", 0) as taken, pytest.raises(Refused, match="choose another with --port"):
        bind("127.0.0.1", taken.getsockname()[1])


def test_answers_are_not_held_back_by_nagles_delay() -> None:
    with bind("127.0.0.1", 0) as listening:
        assert listening.proto == socket.IPPROTO_TCP  # what asyncio looks at before it sets TCP_NODELAY


def test_the_newest_time_is_read_as_the_kernel_writes_it(world: World) -> None:
    world.see(NOW_MS - 5)
    (partial,) = world.partials.stored["card", TRANSACTION["card_id"]].partials
    assert read_newest_ms(partial) == NOW_MS - 5


def await_true(condition: Any, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline


def test_the_default_stream_answers_by_its_name_as_it_does_without(world: World) -> None:
    world.see(NOW_MS - 1_000)
    card = TRANSACTION["card_id"]
    client, own = world.client, "/v1/streams/transactions"
    assert client.get(f"{own}/features/card/{card}").json() == client.get(f"/v1/features/card/{card}").json()
    by_name = client.post(f"{own}/score", json=TRANSACTION)
    assert by_name.json() == world.score().json()
    assert by_name.status_code == 200
    assert client.get("/v1/streams/clicks/features/card/c").status_code == 404


def test_the_document_of_a_stream_is_that_of_its_own_fields_and_entities(world: World) -> None:
    paths = world.client.get("/openapi.json").json()["paths"]
    for path in ("/score", "/features/{entity}/{entity_id}"):
        ours, old = paths[f"/v1/streams/transactions{path}"], paths[f"/v1{path}"]
        for method in ours:
            assert {**ours[method], "operationId": ""} == {**old[method], "operationId": ""}


@pytest.mark.parametrize("stream", [transfers, clicks], ids=lambda stream: stream.name)
def test_a_request_of_another_stream_is_read_by_its_own_contract(stream: Stream) -> None:
    example = build_event(stream)
    asked = build_json_schema(stream)
    assert set(asked["required"]) <= set(example)
    read = parse_event(stream, json.dumps(example).encode(), now_ms=NOW_MS)
    assert set(read) == set(asked["properties"])
    assert read[stream.time] == NOW_MS
    with pytest.raises(BadRequest) as refused:
        parse_event(stream, json.dumps({**example, stream.id: 5, "card_id": "c"}).encode(), now_ms=NOW_MS)
    assert {error.field for error in refused.value.errors} == {"$", stream.id}


def test_a_boolean_is_true_or_false_and_nothing_else() -> None:
    with pytest.raises(BadRequest, match="is_instant: expected true or false, found a number"):
        parse_event(transfers, json.dumps(build_event(transfers) | {"is_instant": 1}).encode(), now_ms=NOW_MS)
