"""Several streams behind one API: each answers by its name, and one that lacks something takes no other with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.inference.bundles import link_champion, write_bundle
from tests.unit.inference.examples import TRANSACTION
from tests.unit.inference.test_api import NOW_MS, World
from tests.unit.inference.twins import Client, MemoryDecisions, MemoryPartials, MemoryPublisher
from weir.inference.api.app import build_api
from weir.inference.api.reader import REFRESH_SECONDS, CurrentReader
from weir.inference.api.request import event_fields
from weir.inference.api.stream_paths import StreamParts
from weir.inference.champion import POLL_SECONDS, Champion
from weir.infra.settings import Settings
from weir.schemas.errors import Refused, Transient
from weir.schemas.streams.payments import payments
from weir.schemas.streams.transfers import transfers
from weir.streaming.kernels import kernel_of

REFUNDS = replace(payments, rules=(), name="refunds", event="refund")
"""Of the payments' shape, which is compiled already; ``event`` is in the names of its features."""
CARD = TRANSACTION["card_id"]


class Streams:
    """The payments, and refunds whose topics and model may be missing."""

    def __init__(self, home: Path) -> None:
        self.home, self.now = home, 0.0
        self.world = World(home)
        self.partials, self.publisher = MemoryPartials(), MemoryPublisher()
        self.decisions = MemoryDecisions(self.partials)
        self.topics_missing = ""

    def build_reader(self) -> MemoryPartials:
        if self.topics_missing:
            raise Refused(self.topics_missing)
        return self.partials

    def give_model(self) -> None:
        models = self.home / "models" / REFUNDS.name
        bundle = write_bundle(
            models / "tiny-1",
            names=REFUNDS.feature_names,
            weights={"card_event_count_5m": 1.0},
            declarations_hash=REFUNDS.declarations_hash,
            version="7",
        )
        models.joinpath("champion").symlink_to(bundle)

    def serve(self, default: str = payments.name) -> Client:
        settings = Settings(home=self.home).of_stream(REFUNDS)
        refunds = StreamParts(
            kernel=kernel_of(REFUNDS),
            reader=CurrentReader(self.build_reader, clock=lambda: self.now, required=False),
            decisions=self.decisions,
            champion=Champion(settings, required=False, monotonic=lambda: self.now),
            publisher=self.publisher,
            models_dir=self.home / "models" / REFUNDS.name,
        )
        parts = replace(self.world.parts, streams=[self.world.served, refunds], default=default)
        return Client(build_api(parts))


@pytest.fixture
def streams(tmp_path: Path) -> Iterator[Streams]:
    made = Streams(tmp_path)
    yield made
    made.world.guard.close()


def score(client: Client, path: str) -> Any:
    return client.post(path, json=TRANSACTION)


def test_each_stream_answers_of_its_own_state_by_its_own_model(streams: Streams) -> None:
    streams.give_model()
    streams.world.see(NOW_MS - 1_000)
    client = streams.serve()
    ours, theirs = (score(client, f"/v1/streams/{name}/score").json() for name in ("transactions", "refunds"))
    assert (ours["model"]["version"], theirs["model"]["version"]) == ("1", "7")
    assert (ours["features"]["card_event_count_1h"], theirs["features"]["card_event_count_1h"]) == (2.0, 1.0)
    assert "refund_amount" in theirs["features"]
    known = [
        client.get(f"/v1/streams/{name}/features/card/{CARD}").json()["known"] for name in ("transactions", "refunds")
    ]
    assert known == [True, False]
    assert score(client, "/v1/score").json() == ours


def test_each_stream_looks_its_own_decisions_up(streams: Streams) -> None:
    streams.world.decisions.stored["t1"] = b'{"decision":"REVIEW"}'
    streams.decisions.stored["t1"] = b'{"decision":"DECLINE"}'
    client = streams.serve()
    found = {path: client.get(f"{path}/t1").json()["decision"] for path in _paths("decisions")}
    assert list(found.values()) == ["REVIEW", "REVIEW", "DECLINE"]
    assert client.get("/v1/streams/refunds/decisions/t2").json()["error"]["code"] == "no_decision"


def _paths(what: str) -> list[str]:
    return [f"/v1/{what}", *(f"/v1/streams/{name}/{what}" for name in ("transactions", "refunds"))]


def test_each_stream_lists_its_own_models(streams: Streams) -> None:
    streams.give_model()
    client = streams.serve()
    versions = [client.get(path).json()["bundles"][0]["version"] for path in _paths("models")]
    assert versions == ["1", "1", "7"]


def test_a_published_event_goes_to_its_own_stream(streams: Streams) -> None:
    streams.give_model()
    assert score(streams.serve(), "/v1/streams/refunds/score?publish=true").status_code == 200
    assert (len(streams.publisher.published), len(streams.world.publisher.published)) == (1, 0)


def test_a_stream_without_a_model_is_503_with_the_reason_and_the_others_are_served(streams: Streams) -> None:
    client = streams.serve()
    for answer in (score(client, "/v1/streams/refunds/score"), client.get("/v1/streams/refunds/models")):
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "refused")
        assert "models/refunds/champion: expected manifest.json" in answer.json()["error"]["message"]
    assert score(client, "/v1/score").status_code == 200
    assert client.get("/v1/streams/refunds/features/card/c").status_code == 200  # it needs no model
    ready = client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["checks"]["model"].startswith("refunds: model bundle")


def test_a_model_that_comes_is_taken_without_a_start(streams: Streams) -> None:
    client = streams.serve()
    assert score(client, "/v1/streams/refunds/score").status_code == 503
    streams.give_model()
    streams.now += POLL_SECONDS
    assert client.get("/readyz").json()["checks"]["model"] == "ok"
    assert score(client, "/v1/streams/refunds/score").status_code == 200


def test_the_api_is_not_ready_where_no_stream_has_a_model(streams: Streams) -> None:
    client = streams.serve()
    streams.world.champion._link_missing = "gone"
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"]["model"].startswith("transactions: gone; refunds: model bundle")


def test_a_stream_without_topics_is_503_with_the_reason_until_they_are_made(streams: Streams) -> None:
    streams.give_model()
    streams.topics_missing = "expected topic refunds, found none"
    client = streams.serve()
    for answer in (score(client, "/v1/streams/refunds/score"), client.get("/v1/streams/refunds/features/card/c")):
        assert (answer.status_code, answer.json()["error"]["message"]) == (503, "expected topic refunds, found none")
    assert client.get("/v1/features/card/c").status_code == 200
    assert client.get("/v1/streams/refunds/decisions/t").status_code == 404  # the index stands for itself
    streams.topics_missing = ""
    streams.now += REFRESH_SECONDS
    client.get("/v1/streams/refunds/features/card/c")
    _await_answer(client, "/v1/streams/refunds/features/card/c")


def _await_answer(client: Client, path: str) -> None:
    for _ in range(500):
        if client.get(path).status_code == 200:
            return
    raise AssertionError(f"{path} is not answered")


def test_brokers_that_are_away_end_the_start_of_any_stream() -> None:
    def build() -> MemoryPartials:
        raise Transient("kafka: away")

    with pytest.raises(Transient, match="away"):
        CurrentReader(build, required=False)


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("refund/score", "did you mean 'refunds'?"),
        ("refund/features/card/c", "did you mean 'refunds'?"),
        ("clicks", "there are refunds, transactions"),
        ("4111111111111111/score", "there are refunds, transactions"),
    ],
)
def test_a_wrong_name_is_not_found_and_the_nearest_is_named(streams: Streams, path: str, hint: str) -> None:
    client = streams.serve()
    for answer in (client.get(f"/v1/streams/{path}"), score(client, f"/v1/streams/{path}")):
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_stream")
        assert answer.json()["error"]["message"].endswith(hint)
        assert "411111" not in answer.text


def test_a_known_stream_without_such_a_path_is_an_ordinary_404(streams: Streams) -> None:
    assert streams.serve().get("/v1/streams/refunds/none").json()["error"]["code"] == "http"


def test_the_other_method_of_a_path_is_405(streams: Streams) -> None:
    assert streams.serve().get("/v1/streams/refunds/score").status_code == 405


def test_without_a_default_the_paths_without_a_name_say_so_in_one_sentence(streams: Streams) -> None:
    streams.give_model()
    client = streams.serve(default="")
    for answer in (score(client, "/v1/score"), client.get("/v1/features/card/c"), client.get("/v1/models")):
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "no_default_stream")
        assert "there are refunds, transactions" in answer.json()["error"]["message"]
        assert "default" in answer.json()["error"]["message"]
    assert score(client, "/v1/streams/refunds/score").status_code == 200
    assert client.get("/v2/none").json()["error"]["code"] == "http"


def test_the_document_lists_the_paths_of_each_stream_with_its_own_fields(tmp_path: Path) -> None:
    world = World(tmp_path)
    served = replace(world.served, kernel=kernel_of(transfers))
    document = build_api(replace(world.parts, streams=[world.served, served])).openapi()
    world.guard.close()
    own = f"/v1/streams/{transfers.name}"
    content = document["paths"][f"{own}/score"]["post"]["requestBody"]["content"]["application/json"]
    assert set(content["schema"]["properties"]) == {field.name for field in event_fields(transfers)}
    assert set(content["example"]) <= set(content["schema"]["properties"])
    (id_parameter,) = document["paths"][f"{own}/decisions/{{{transfers.id}}}"]["get"]["parameters"]
    assert (id_parameter["name"], id_parameter["schema"]["maxLength"]) == (transfers.id, 128)
    for path, methods in document["paths"].items():
        for operation in methods.values():
            where = "inference/api/stream_paths.py" if _tags(path) else "inference/api/app.py"
            assert operation.get("tags", []) == _tags(path), f"expected {path} among the routes of {where}"


def _tags(path: str) -> list[str]:
    if path.startswith("/v1/streams/"):
        return [path.split("/")[3]]
    return [payments.name] if path.startswith("/v1/") else []


def test_a_single_champion_that_is_required_is_refused(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path).of_stream(REFUNDS)
    with pytest.raises(Refused, match="models/refunds/champion: expected manifest"):
        Champion(settings)
    link_champion(tmp_path, write_bundle(tmp_path / "models" / "tiny-1"))
    assert Champion(Settings(home=tmp_path)).missing == ""
