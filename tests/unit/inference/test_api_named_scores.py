"""Scores by a model that is named: each answers with its own number, and another name is told which there are."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.payments import FEATURE_NAMES
from tests.unit.inference.bundles import BURST, build_graph, link_to, write_bundle
from tests.unit.inference.examples import TRANSACTION
from tests.unit.inference.test_api import CARD_NUMBER, NOW_MS, World
from tests.unit.inference.test_api_models import Following
from tests.unit.inference.test_api_streams import REFUNDS
from tests.unit.inference.twins import Client, MemoryAudit
from weir.access.key import Key, Scope, build_key, hash_text, make_text
from weir.inference.api.app import build_api
from weir.inference.api.stream_paths import StreamParts
from weir.inference.bundle import Bundle, load_bundle
from weir.inference.canary import Canary
from weir.inference.champion import Champion
from weir.inference.published.content import Standing
from weir.infra.settings import Settings
from weir.schemas.streams.payments import payments
from weir.streaming.kernels import kernel_of

BIASES = {"1": -4.0, "2": -2.0, "3": 1.0, "7": 2.5}
"""By version: what each model adds to the burst, so that each has a number of its own."""
INFERENCE = "/api/v1/inference"
ROLES = {"champion": "1", "canary": "3", "shadow": "2"}


def write(home: Path, version: str, name: str, **changes: Any) -> Path:
    names = changes.pop("names", FEATURE_NAMES)
    graph = build_graph(names, {BURST: 1.0}, bias=BIASES[version])
    folder = home / "models" / f"{name}-{version}"
    return write_bundle(folder, model=graph, names=names, version=version, name=name, **changes)


def expected(version: str, burst: float) -> float:
    """What the model says of a burst, by hand."""
    return 1.0 / (1.0 + math.exp(-(BIASES[version] + burst)))


class Named:
    """Payments with a champion, a canary and a shadow, and refunds with a model of another name."""

    def __init__(self, home: Path) -> None:
        self.world = World(home)
        folders = {version: write(home, version, "fraud") for version in "123"}
        link_to(folders["1"], home / "models" / "champion")

        def load(version: str) -> Bundle:
            return load_bundle(folders[version], stream=payments)

        self.following = Following()
        self.following.standing = Standing(shadow=load("2"), canary=Canary(load("3"), 0.05, "0" * 32))
        champion = Champion(Settings(home=home), published=self.following)
        self.payments = replace(self.world.served, champion=champion)
        theirs = {"declarations_hash": REFUNDS.declarations_hash, "names": REFUNDS.feature_names}
        self.of_refunds = write(home / "refunds", "7", "churn", **theirs)
        settings = Settings(home=home).of_stream(REFUNDS)
        self.link = home / "models" / "refunds" / "champion"
        link_to(self.of_refunds, self.link)
        self.refunds = StreamParts(
            kernel=kernel_of(REFUNDS),
            reader=self.world.partials,
            decisions=self.world.decisions,
            champion=Champion(settings, required=False),
            publisher=self.world.publisher,
            models_dir=self.link.parent,
        )

    def open(self, **changes: Any) -> Client:
        return Client(build_api(replace(self.world.parts, streams=[self.payments, self.refunds], **changes)))


@pytest.fixture
def named(tmp_path: Path) -> Iterator[Named]:
    made = Named(tmp_path)
    made.world.see(NOW_MS - 1_000)  # with the event itself, two within the five minutes
    with closing(made.world.guard):
        yield made


def score(client: Client, path: str, **changes: Any) -> Any:
    return client.post(path, json=TRANSACTION | changes)


@pytest.mark.parametrize("path", ["/v1/models", "/v1/streams/transactions/models"])
@pytest.mark.parametrize(("role", "version"), ROLES.items())
def test_each_model_in_force_answers_with_its_own_score(named: Named, path: str, role: str, version: str) -> None:
    client = named.open()
    found = [score(client, f"{path}/{name}/score").json() for name in (role, version, f"fraud-{version}")]
    assert found[0] == found[1] == found[2]
    assert found[0]["model"] == {"name": "fraud", "version": version}
    assert found[0]["score"] == pytest.approx(expected(version, 2.0), rel=1e-5)
    assert found[0]["published"] is None
    assert named.world.publisher.published == []


def test_a_name_that_several_have_is_the_champions(named: Named) -> None:
    assert score(named.open(), "/v1/models/fraud/score").json()["model"]["version"] == "1"


def test_the_champion_answers_by_name_also_for_keys_that_the_canary_decides(named: Named) -> None:
    canary = named.following.standing.canary
    assert canary is not None
    named.following.standing = replace(named.following.standing, canary=Canary(canary.bundle, 1.0, "0" * 32))
    client = named.open()
    assert score(client, "/v1/score").json()["model"]["version"] == "3"
    assert score(client, "/v1/models/champion/score").json()["model"]["version"] == "1"


def test_models_of_one_moment_are_scored_together_each_by_itself(named: Named) -> None:
    client = named.open()
    body = {"events": [TRANSACTION | {"transaction_id": f"b{number}"} for number in range(3)]}
    for name, version in (("", "1"), ("fraud-detection", "1"), ("fraud", "1"), ("churn-score", "7")):
        query = f"?model={name}" if name else ""
        found = client.post(f"{INFERENCE}/batch-process{query}", json=body).json()["scores"]
        assert [each["transaction_id"] for each in found] == ["b0", "b1", "b2"]
        assert {each["model"]["version"] for each in found} == {version}, name
        assert "features" not in found[0]
    whole = client.post(f"{INFERENCE}/batch-process?features=true", json=body).json()["scores"]
    assert set(whole[0]["features"]) == set(payments.feature_names)


@pytest.mark.parametrize(
    ("name", "model"), [("fraud-detection", "fraud"), ("fraud", "fraud"), ("churn-score", "churn"), ("churn", "churn")]
)
def test_a_task_is_answered_by_the_stream_that_has_its_model(named: Named, name: str, model: str) -> None:
    version = "1" if model == "fraud" else "7"
    found = score(named.open(), f"{INFERENCE}/{name}").json()
    assert found["model"] == {"name": model, "version": version}
    assert found["score"] == pytest.approx(expected(version, 2.0), rel=1e-5)


def test_another_name_is_told_which_models_there_are_and_nothing_stands_in_for_it(named: Named) -> None:
    client = named.open()
    for name in ("segment", "champion", CARD_NUMBER):
        for path in (f"{INFERENCE}/{name}", f"{INFERENCE}/batch-process?model={name}"):
            answer = client.post(path, json=TRANSACTION)
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
            assert "(fraud, churn)" in answer.json()["error"]["message"]
            assert CARD_NUMBER not in answer.text
    for stream, names in (
        ("transactions", ("champion 1 (fraud)", "canary 3 (fraud)", "shadow 2 (fraud)")),
        ("refunds", ("champion 7 (churn)",)),
    ):
        answer = score(client, f"/v1/streams/{stream}/models/{CARD_NUMBER}/score")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
        assert all(name in answer.json()["error"]["message"] for name in names)
        assert CARD_NUMBER not in answer.text


def test_a_bundle_that_is_not_in_force_does_not_answer(named: Named) -> None:
    named.following.standing = Standing()
    client = named.open()
    assert client.get("/v1/models/3").status_code == 200, "its folder is there"
    for name in ("3", "canary", "shadow"):
        assert score(client, f"/v1/models/{name}/score").status_code == 404


def test_a_stream_without_a_model_has_none_that_answers(named: Named, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "empty").of_stream(REFUNDS)
    named.refunds = replace(named.refunds, champion=Champion(settings, required=False))
    client = named.open()
    answer = score(client, "/v1/streams/refunds/models/champion/score")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert "(none yet)" in answer.json()["error"]["message"]
    assert score(client, f"{INFERENCE}/churn-score").status_code == 404


def test_a_key_reaches_the_models_of_its_streams_alone(named: Named) -> None:
    keys: dict[str, Key] = {}

    def key(*streams: str) -> dict[str, str]:
        key_id, text = make_text()
        keys[text] = build_key(key_id, hash_text(text), "test", [Scope.SCORE], streams, now_ms=0, by="test")
        return {"x-api-key": text}

    audit = MemoryAudit()
    client = named.open(find_key=keys.get, audit=audit)
    theirs, all_streams = key("refunds"), key()

    def ask(path: str, headers: dict[str, str]) -> Any:
        return client.post(path, json=TRANSACTION, headers=headers)

    assert ask(f"{INFERENCE}/fraud-detection", all_streams).status_code == 200
    assert ask(f"{INFERENCE}/churn-score", theirs).status_code == 200
    assert [each.stream for each in audit.records] == ["transactions", "refunds"], "whose model it is"
    for path in (f"{INFERENCE}/fraud-detection", f"{INFERENCE}/batch-process?model=fraud"):
        answer = ask(path, theirs)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
        assert "(churn)" in answer.json()["error"]["message"]
    answer = ask(f"{INFERENCE}/batch-process", theirs)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "no_default_stream")
    assert "transactions" not in answer.text


@pytest.mark.parametrize("path", ["/v1/models/champion/score", f"{INFERENCE}/fraud", f"{INFERENCE}/batch-process"])
def test_a_wrong_body_is_refused_as_for_a_score(named: Named, path: str) -> None:
    client = named.open()
    wrong = client.post(path, json={"amount_minor": CARD_NUMBER})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (422, "invalid_request")
    assert CARD_NUMBER not in wrong.text
    text = client.post(path, content=b"{}", headers={"content-type": "text/plain"})
    assert (text.status_code, text.json()["error"]["code"]) == (415, "unsupported_media_type")
    named.world.partials.away = "redis: gone"
    body = {"events": [TRANSACTION]} if "batch" in path else TRANSACTION
    assert client.post(path, json=body).json()["error"]["code"] == "unavailable"
