"""Models through the API: those in force, one with its card, how they were chosen, and what thresholds do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.unit.inference.bundles import write_bundle
from tests.unit.inference.published.models_twin import MemoryChoices, build_models
from tests.unit.inference.test_api import CARD_NUMBER, World
from tests.unit.inference.twins import Client, MemoryCurves, build_measured
from weir.inference.api.app import build_api
from weir.inference.api.models import document
from weir.inference.bundle import load_bundle
from weir.inference.canary import Canary
from weir.inference.champion import Champion
from weir.inference.core.thresholds import Cut, ThresholdTable
from weir.inference.model_card import CARD_FILE
from weir.inference.published.content import Standing
from weir.inference.published.gate import Gate
from weir.infra.settings import Settings
from weir.schemas.errors import Damaged, Refused, Transient, WeirError
from weir.schemas.streams.payments import payments
from weir.training.gates.card import write_gates

PATH = "/v1/models"
GATES = (Gate("PR-AUC", True, "+0.01", "at least 0"), Gate("latency", False, "25 µs", "at most 20 µs"))


class Following:
    """What follows what is published, as a test says."""

    def __init__(self) -> None:
        self.standing = Standing()

    def close(self) -> None:
        """Nothing is open."""


class Models:
    """An API of a champion, a canary and a shadow."""

    def __init__(self, home: Path) -> None:
        self.world = World(home)
        self.home, self.curves, self.choices = home, MemoryCurves(), MemoryChoices()
        self.curves.measured = build_measured()
        self.following = Following()
        self.folders = {version: write_bundle(home / "models" / f"tiny-{version}", version=version)
                        for version in ("2", "3")}  # fmt: skip
        self.following.standing = Standing(
            shadow=load_bundle(self.folders["2"], stream=payments),
            canary=Canary(load_bundle(self.folders["3"], stream=payments), 0.05, "0" * 32),
        )
        self.client = self.open()

    def open(self, **parts: Any) -> Client:
        champion = Champion(Settings(home=self.home), published=self.following)
        desk = build_models(self.choices, self.home)
        served = replace(self.world.served, champion=champion, models=desk, curves=self.curves)
        return Client(build_api(replace(self.world.parts, streams=[replace(served, **parts)])))


@pytest.fixture
def models(tmp_path: Path) -> Iterator[Models]:
    made = Models(tmp_path)
    with closing(made.world.guard):
        yield made


def test_each_model_in_force_is_told_with_its_share(models: Models) -> None:
    write_gates(models.folders["2"], GATES, "1", at_seconds=0)
    roles = models.client.get(PATH).json()["roles"]
    assert [(each["role"], each["version"], each["share"]) for each in roles] == [
        ("champion", "1", 0.95), ("canary", "3", 0.05), ("shadow", "2", None),
    ]  # fmt: skip
    for each in roles:
        jsonschema.validate(each, document.ROLE)
    shadow = roles[2]
    manifest = (models.folders["2"] / "manifest.json").read_bytes()
    assert shadow["content"] == hashlib.sha256(manifest).hexdigest()
    assert (shadow["gates_passed"], shadow["gates_failed"]) == (1, ["latency"])
    assert (shadow["metrics"], shadow["training_interval_ms"]) == ({"pr_auc": 0.5}, [0, 1])
    models.following.standing = Standing()
    assert [each["share"] for each in models.client.get(PATH).json()["roles"]] == [1.0]


def test_one_model_is_shown_with_its_card_and_its_gates(models: Models) -> None:
    (models.folders["2"] / CARD_FILE).write_text("# tiny 2\n\n| figure | value |\n|---|---|\n")
    write_gates(models.folders["2"], GATES, "1", at_seconds=0)
    (models.folders["2"] / "drift.json").write_text('{"drifted": ["score"]}')
    found = models.client.get("/v1/streams/transactions/models/2").json()
    jsonschema.validate(found, document.MODEL)
    assert found["card"].startswith("# tiny 2")
    assert found["gates"][1] == {"name": "latency", "passed": False, "found": "25 µs", "wanted": "at most 20 µs"}
    assert found["gates_run"] == "Run on 1970-01-01 00:00 UTC, against the champion 1."
    assert (found["roles"], found["drift"]) == ([{"role": "shadow", "share": None}], {"drifted": ["score"]})
    assert len(found["features"]) == len(payments.feature_names)
    for name in ("tiny-2", found["content"][:12]):
        assert models.client.get(f"{PATH}/{name}").json() == found


def test_a_model_without_a_card_says_so(models: Models) -> None:
    found = models.client.get(f"{PATH}/1").json()
    assert (found["card"], found["gates"], found["gates_run"], found["drift"]) == (None, [], "", None)


def test_another_name_is_told_which_models_there_are(models: Models) -> None:
    for path in (f"{PATH}/{CARD_NUMBER}", f"{PATH}/{CARD_NUMBER}/thresholds"):
        answer = models.client.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
        assert all(version in answer.json()["error"]["message"] for version in "123")
        assert CARD_NUMBER not in answer.text


def test_published_thresholds_are_those_that_a_model_decides_by(models: Models) -> None:
    standing = models.following.standing
    models.following.standing = replace(standing, thresholds=ThresholdTable("7", Cut(0.25, 0.75)))
    assert models.client.get(f"{PATH}/2").json()["thresholds"] == {"review": 0.25, "decline": 0.75}
    models.client.get(f"{PATH}/2/thresholds")
    assert models.curves.asked == [("transactions", "tiny", "2", (0.25, 0.75), document.DAYS)]


def test_what_thresholds_do_is_told_with_the_currency(models: Models) -> None:
    found = models.client.get(f"{PATH}/1/thresholds?days=7").json()
    jsonschema.validate(found, document.THRESHOLDS)
    assert (found["name"], found["version"], found["currency"], found["note"]) == ("tiny", "1", "USD", "")
    assert found["points"] == build_measured()["points"]
    assert models.curves.asked[0][-1] == 7
    models.curves.measured = build_measured(has_money=False)
    assert models.client.get(f"{PATH}/1/thresholds").json()["currency"] is None


@pytest.mark.parametrize(
    ("measured", "said"),
    [({"events": 0, "known": 0, "points": []}, "old enough"), ({"known": 0, "points": []}, "what it turned out to be")],
)
def test_without_anything_known_a_sentence_says_why(models: Models, measured: dict[str, Any], said: str) -> None:
    models.curves.measured = build_measured(**measured)
    found = models.client.get(f"{PATH}/1/thresholds").json()
    assert said in found["note"]
    assert found["points"] == []


@pytest.mark.parametrize("query", ["days=0", "days=367", "days=x"])
def test_days_are_bounded(models: Models, query: str) -> None:
    answer = models.client.get(f"{PATH}/1/thresholds?{query}")
    assert (answer.status_code, answer.json()["error"]["fields"][0]["field"]) == (422, "days")
    assert models.curves.asked == []


def test_without_an_archive_there_is_nothing_to_measure(models: Models) -> None:
    models.curves.measured = None
    for client in (models.client, models.open(curves=None)):
        answer = client.get(f"{PATH}/1/thresholds")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "no_archive")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Transient("thresholds: 4 requests are waiting already", cause="busy"), "busy"),
        (Transient("thresholds: no answer within 8 s"), "unavailable"),
        (Damaged("a file is missing"), "damaged"),
        (Refused("of another version"), "refused"),
    ],
)
def test_what_the_archive_lacks_is_told(models: Models, error: WeirError, code: str) -> None:
    models.curves.error = error
    answer = models.client.get(f"{PATH}/1/thresholds")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, code)


def test_the_history_tells_who_chose_which_model(models: Models) -> None:
    models.choices.choose("champion", "1")
    models.choices.choose("canary", "3", who="ben", why="on a few cards first")
    models.choices.choose("canary", "none", who="weir models watch", why="declines 3 points more")
    found = models.client.get(f"{PATH}/history").json()
    jsonschema.validate(found, document.HISTORY)
    assert [(each["role"], each["version"], each["who"], each["state"]) for each in found["history"]] == [
        ("canary", "none", "weir models watch", "in force"),
        ("canary", "3", "ben", ""),
        ("champion", "1", "anna", "in force"),
    ]


def test_a_canary_and_a_champion_are_taken_back_once(models: Models) -> None:
    for version in ("1", "2"):
        models.choices.choose("champion", version)
    models.choices.choose("canary", "3")

    def post(**changes: Any) -> Any:
        body = {"by": "anna", "role": "champion", "version": "2", "why": "too many reviews"}
        return models.client.post(f"{PATH}/rollback", json=body | changes)

    assert post(role="canary", version="3").json() == {"version": "none", "action": "rollback", "role": "canary"}
    done = post()
    jsonschema.validate(done.json(), document.DONE)
    assert (done.status_code, done.json()["version"]) == (200, "1")
    again = post()
    assert (again.status_code, again.json()["error"]["code"]) == (404, "unknown_version"), "a second click is no toggle"
    assert post(role="shadow", version="none").status_code == 404
    for changes in ({"role": "king"}, {"role": None}, {"why": ""}, {"version": 7}, {"force": "x"}):
        assert post(**changes).status_code == 422
    assert [(act.action, act.who) for act in models.choices.acts[3:]] == [("rollback", "anna")] * 2


def test_with_kafka_away_the_history_says_so_and_models_are_shown(models: Models) -> None:
    models.choices.away = Transient("kafka: nobody answers")
    assert models.client.get(f"{PATH}/history").status_code == 503
    assert [models.client.get(path).status_code for path in (PATH, f"{PATH}/1")] == [200, 200]


def test_examples_have_the_shape_that_the_document_shows() -> None:
    for example, shape in (
        (document.build_shown(payments), document.MODEL),
        (document.HISTORY_SHOWN, document.HISTORY),
        (document.THRESHOLDS_SHOWN, document.THRESHOLDS),
    ):
        jsonschema.validate(json.loads(json.dumps(example)), shape)
