"""The whole loop on real servers: drift, retrained, attackers, gates, shadow, canary, promoted, guard, rolled back.

    champion   ---old-------------------------------------new------------------------------
    shadow              ---new---
    canary                        ---new on half the keys---     ---bad on half---ROLLED BACK
    drift      planted, seen

Drift is two planted days that the judge of ``weir monitor`` sees: a broker stamps records with the time of now, so no
test on real servers has days. All else is what runs in production.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import weir.cli
from tests.conftest import environment_of
from tests.integration.outputs import Outputs
from tests.integration.payments import Publisher, build_payment
from tests.integration.services import Services
from tests.integration.test_exactly_once import deploy
from tests.integration.test_retrain_by_config import write_config
from tests.unit.inference.bundles import write_bundle
from tests.unit.training.drift.worlds import World
from weir import retrain
from weir.inference.published.publish import Publisher as VersionPublisher
from weir.inference.rule_sets import read_rules
from weir.training.drift.histograms import Histograms
from weir.training.drift.judge import find_drift
from weir.training.drift.view import build_document
from weir.training.gates.adversarial import COMPARED

pytestmark = [pytest.mark.server, pytest.mark.long, pytest.mark.timeout(900)]

CARDS = 400
AT_ONCE = 20
DECISIONS = 600
STEPS = ["labels", "train", "gates", "shadow", "canary", "promote"]


@pytest.fixture
def services(stack: Any, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A deployment with an archive and a history, whose champion `weir train` made of it by the config of the test.

    So what the gates compare are two models alike, at whatever hour the history ends.
    """
    settings = deploy(stack, request.node.name).model_copy(update={"home": tmp_path})
    archive = settings.archive.model_copy(update={"root": str(tmp_path / "archive")})
    running = Services(settings.model_copy(update={"archive": archive}), tmp_path / "logs")
    for name, value in environment_of(running.settings).items():
        monkeypatch.setenv(name, value)
    history = str(running.settings.history_dir)
    _weir("generate", "--to", "parquet", "--out", history, "--cards", "800", "--days", "90")
    _weir("train", "--history", history, "--config", str(write_config(tmp_path, monkeypatch)), "--no-track")
    yield running
    running.stop()


def _weir(*argv: str, code: int = 0) -> None:
    assert weir.cli.main(list(argv)) == code


@contextmanager
def _load(services: Services) -> Iterator[None]:
    """Publish payments of many cards all the while."""
    stop = threading.Event()
    failed: list[BaseException] = []

    def send() -> None:
        try:
            publisher = Publisher(services.settings)
            for turn in count():
                if stop.wait(0.2):
                    return
                numbers = range(turn * AT_ONCE, (turn + 1) * AT_ONCE)
                publisher.send_payments(
                    build_payment(f"t{n}", card_id=f"card-{n % CARDS}", customer_id=f"customer-{n % CARDS}")
                    for n in numbers
                )
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            failed.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert failed == []


def _plant_drift(*_: object) -> dict[str, Any]:
    """Return what the judge sees of two days in which one feature is another one."""
    world = World(3, shifted_from=0, shift=0.5)
    reference, days = world.build_reference(), []
    for number in (1, 0):
        values, scores, keys = world.build_day(number)
        day = Histograms([column.bins for column in reference.columns.values()])
        day.add([*values.T, scores], keys.tolist())
        days.append(day)
    return build_document("old", reference, days, find_drift(reference, days), until_ms=1_700_000_000_000)


def _deciding(outputs: Outputs, newest: int = 200) -> set[str]:
    return {row["model_version"] for row in outputs.decisions()[-newest:]}


def _evidence(services: Services) -> Sequence[dict[str, Any]]:
    found = sorted(services.settings.models_dir.glob("retraining/*/evidence.json"))
    return [json.loads(path.read_text()) for path in found]


def test_drift_is_answered_by_a_model_that_passed_every_step_and_a_bad_one_is_rolled_back(
    services: Services, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = services.settings
    old = json.loads((settings.models_dir / "champion" / "manifest.json").read_text())["version"]
    services.start("run")
    with closing(Outputs(settings)) as outputs, _load(services):
        services.await_true(lambda: len(outputs.decisions()) > 200, "decisions of the old model")
        assert _deciding(outputs) == {old}
        services.run("archive", "--until-caught-up")

        monkeypatch.setattr(retrain, "look_for_drift", _plant_drift)
        flags = ["--config", str(settings.home / "train.yaml"), "--share", "50%", "--patience", "4m"]
        flags += ["--shadow-decisions", str(DECISIONS), "--canary-decisions", str(DECISIONS)]
        assert weir.cli.main(["retrain", "--if-needed", *flags]) == 0, capsys.readouterr().out
        (run,) = _evidence(services)
        assert run["why"] == ["drift: 1 of 61 columns drifted: " + run["why"][0].rpartition(": ")[2]]
        assert [(step["step"], step["passed"]) for step in run["steps"]] == [(step, True) for step in STEPS]
        assert "; by train.yaml: lightgbm of trial " in run["steps"][1]["found"]
        (played,) = [each["found"] for each in run["steps"][2]["gates"] if each["gate"] == COMPARED]
        assert played.endswith(" times")
        assert {each.parent.name for each in settings.models_dir.glob("fraud-*/redteam.json")} == {
            f"fraud-{version}" for version in (old, run["version"])
        }
        new = run["version"]
        assert new != old
        services.await_true(lambda: _deciding(outputs) == {new}, "decisions of the new model alone")
        with VersionPublisher(settings, read_rules) as reader:
            kinds = [each.act.kind for alias in ("shadow", "canary") for each in reader.log.history(alias)]
            assert kinds == ["shadow", "shadow", "canary", "canary"]
            assert reader.standing.content("canary") == reader.standing.content("shadow") == "none"

        weights = {"card_event_count_5m": 0.0}
        bad = write_bundle(
            settings.models_dir / "tiny-bad", version="bad", weights=weights, thresholds={"review": 0.0, "decline": 0.0}
        )
        assert (
            weir.cli.main(
                [
                    "models",
                    "canary",
                    bad.name,
                    "--share",
                    "50%",
                    "--why",
                    "a test",
                    "--force",
                    "a test",
                    "--history",
                    "none",
                ]
            )
            == 1
        )
        with VersionPublisher(settings, read_rules) as reader:
            act = reader.log.history("canary")[-1].act
            assert (act.action, act.hash) == ("rollback", "none")
            assert act.why.startswith("guard: ")
        services.await_true(lambda: _deciding(outputs) == {new}, "decisions of the new model alone again")
        assert "bad" in {row["model_version"] for row in outputs.decisions()}
