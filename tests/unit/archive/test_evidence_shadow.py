"""The shadow's score is made again with the decision that it stood next to, and so is a canary's decision."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.golden import decided as golden
from tests.golden.decided import DECISION_TIME_MS, LISTS
from tests.golden.log import build_log
from tests.golden.product import Run
from tests.golden.records import Given as GivenRecord
from tests.golden.records import decode, parse_schema
from tests.golden.shipped import bundle_folder
from tests.unit.archive import decided
from tests.unit.archive.decided import DECISIONS_SCHEMA_ID, NEWEST, Logged, build_archive
from tests.unit.inference.bundles import AMOUNT, BURST, write_bundle
from weir.archive.evidence.case import collect, describe
from weir.archive.evidence.cli import main
from weir.archive.evidence.sample import Sampled, Sampler
from weir.archive.in_force.given import Given
from weir.archive.keeping import Keeper
from weir.archive.objects import Objects
from weir.archive.place import Place
from weir.archive.seals.chain import Chain
from weir.archive.seals.key import key_path, load_key
from weir.archive.table import find_table
from weir.inference.bundle import Bundle, load_bundle
from weir.inference.canary import Canary
from weir.inference.core.lists import Lists, parse_lists
from weir.inference.core.records import Shadowed
from weir.inference.core.rules import RuleSet
from weir.inference.decide import Decided, Decider
from weir.inference.rule_sets import rules_of
from weir.inference.shadow import ShadowScorer
from weir.infra.settings import Settings
from weir.schemas.streams.payments import payments

ROWS = 300
BATCH_ROWS = 60
FLIPPED, UNSCORED = 7, 1
"""The row of a batch whose recorded shadow score gets another bit, and the number of a batch without scores."""
WEIGHTS = {BURST: 0.75, AMOUNT: 0.001}
ALL = 1_000_000
Document = dict[str, Any]
Scores = npt.NDArray[np.float32]


@dataclass
class InForce:
    """A champion, a canary for some cards, and a shadow next to both."""

    bundle: Bundle
    shadow: Bundle
    canary: Canary
    lists: Lists = field(default_factory=lambda: parse_lists(LISTS, list(payments.id_field_of)))
    rules: RuleSet = field(default_factory=lambda: rules_of(payments))
    thresholds: None = None


def _write_shadow(folder: Path) -> Path:
    return write_bundle(folder, weights=WEIGHTS, name="challenger", version="2")


def _decide(models: Path, change: Callable[[int, Scores], Scores]) -> list[Logged]:
    """Decide golden rows in batches; ``change`` may change the shadow's scores of a batch before they are written."""
    shadow = load_bundle(_write_shadow(models / "shadow"), stream=payments)
    canary = load_bundle(write_bundle(models / "canary", name="canary", version="3"), stream=payments)
    now = InForce(load_bundle(bundle_folder(), stream=payments), shadow, Canary(canary, 0.4, "seed"))
    shutil.copytree(bundle_folder(), models / "golden")
    decider, writer = Decider(now, payments, ShadowScorer(now), now), golden.build_decider(DECISIONS_SCHEMA_ID)[1]
    rows = Run(1).take(build_log(1)[:ROWS]).rows
    found: list[Logged] = []
    for number, first in enumerate(range(0, len(rows), BATCH_ROWS)):
        given: list[Any] = [
            GivenRecord(decided._entry("features", n, row.key, row.value))
            for n, row in enumerate(rows[first : first + BATCH_ROWS])
        ]
        for made, _ in decider.decide_by_key(golden.build_reader().from_avro(given).batch):
            written = writer.to_avro(_change(made, number, change), decision_time_ms=DECISION_TIME_MS)
            for key, value, headers in zip(written.keys, written.values, written.headers, strict=True):
                found.append(Logged(decided._entry("decisions", len(found), key, value), list(headers)))
    return found


def _change(made: Decided, number: int, change: Callable[[int, Scores], Scores]) -> Decided:
    assert made.shadow is not None
    return replace(made, shadow=Shadowed(made.shadow.model, change(number, made.shadow.scores)))


def _build(home: Path, change: Callable[[int, Scores], Scores]) -> list[Document]:
    """Archive decisions and what made them, as an archiver does; return the decisions as another library reads them."""
    decisions = _decide(home / "models", change)
    root = build_archive(home, records={"features": decided.topics()["features"], "decisions": decisions})
    for folder in ("_bundles", "_objects", "_seals"):
        shutil.rmtree(root / folder)
    place = Place(str(root))
    key = load_key(key_path(home))
    keeper = Keeper(Objects(place), Chain(place), key, {"decisions": [home / "models"]}, {})
    table = find_table(place.below("decisions"))
    assert table is not None
    keeper.after_commit(table)
    shutil.rmtree(home / "models")
    schema = parse_schema(NEWEST["decisions"])
    return [decode(each.entry.value or b"", schema) for each in decisions]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Document]]:
    """A home whose archive has a shadow and a canary in it, and no model anywhere else."""
    home = tmp_path_factory.mktemp("home")
    return home, _build(home, lambda _, scores: scores)


@pytest.fixture
def home(built: tuple[Path, list[Document]], tmp_path: Path) -> Path:
    return Path(shutil.copytree(built[0], tmp_path / "home"))


def _answer(home: Path, event_id: str) -> Document:
    settings, root = Settings(home=home), Place(str(home / "archive"))
    found: Document = describe(settings, root, collect(settings, root, event_id))["decision"]
    return found


def _sample(home: Path) -> Sampled:
    return Sampler(Settings(home=home), Place(str(home / "archive")), Given()).run(ALL)


def _of_each_kind(decisions: list[Document]) -> dict[tuple[str, str], Document]:
    """A decision of each model and outcome."""
    return {(each["model_name"], each["decision"]): each for each in decisions}


def test_shadow_and_decision_are_equal_bit_for_bit_for_the_champions_keys_and_the_canarys(
    built: tuple[Path, list[Document]],
) -> None:
    home, decisions = built
    kinds = _of_each_kind(decisions)
    assert {model for model, _ in kinds} == {"golden", "canary"}
    assert len({each["shadow_score"] for each in decisions}) > 10
    for (model, _), recorded in kinds.items():
        found = _answer(home, recorded["transaction_id"])
        assert found["is_same"] is True, (found["note"], found["differences"])
        assert found["in_force"]["model"]["name"] == model
        shadow = found["shadow"]
        assert (shadow["name"], shadow["version"], shadow["is_same"], shadow["note"]) == ("challenger", "2", True, "")
        assert shadow["recorded"] == shadow["computed"] == recorded["shadow_score"]
        assert found["computed"]["shadow_score"] == recorded["shadow_score"]
        assert len(shadow["sha256"]) == 64


def test_the_shadows_score_is_that_of_its_own_arithmetic_over_the_logged_features(
    built: tuple[Path, list[Document]],
) -> None:
    home, decisions = built
    settings, root = Settings(home=home), Place(str(home / "archive"))
    for recorded in list(_of_each_kind(decisions).values()):
        answer = describe(settings, root, collect(settings, root, recorded["transaction_id"]))
        vector = answer["features"]["vector"]
        raw = -4.0 + sum(weight * (vector[name] or 0.0) for name, weight in WEIGHTS.items())
        assert answer["decision"]["shadow"]["computed"] == pytest.approx(1 / (1 + np.exp(-raw)), rel=1e-5)


def test_a_sample_makes_every_shadow_again(
    built: tuple[Path, list[Document]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home, decisions = built
    count = len(decisions)
    found = _sample(home)
    assert (found.made, found.shadows_made, found.different) == (count, count, [])
    assert not found.not_made
    assert not found.shadows_not_made
    monkeypatch.setenv("WEIR_HOME", str(home))
    assert main(["evidence", "again"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [f"{count} decisions made again, 0 differ", f"{count} of them with the score of their shadow"]


def _flip_once() -> Callable[[int, Scores], Scores]:
    """Return what changes one bit of one score."""
    flipped: list[int] = []

    def flip(number: int, scores: Scores) -> Scores:
        if flipped:
            return scores
        flipped.append(number)
        bits = scores.copy().view(np.uint32)
        bits[FLIPPED] ^= 1
        return bits.view(np.float32)

    return flip


def test_a_recorded_shadow_score_with_one_other_bit_is_named(
    built: tuple[Path, list[Document]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    decisions = _build(tmp_path, _flip_once())
    pairs = zip(built[1], decisions, strict=True)
    ((was, now),) = [(was, now) for was, now in pairs if was["shadow_score"] != now["shadow_score"]]
    found = _answer(tmp_path, now["transaction_id"])
    difference = {"recorded": now["shadow_score"], "computed": was["shadow_score"]}
    assert (found["is_same"], found["differences"], found["note"]) == (False, {"shadow_score": difference}, "")
    assert found["shadow"]["is_same"] is False
    sampled = _sample(tmp_path)
    assert [each["differences"] for each in sampled.different] == [{"shadow_score": difference}]
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    assert main(["evidence", now["transaction_id"]]) == 1
    assert "differs in shadow_score" in capsys.readouterr().out
    assert main(["evidence", "again"]) == 1
    named = f"decisions[0]@{sampled.different[0]['at']['offset']}: differs in shadow_score"
    assert named in capsys.readouterr().out.splitlines()


def _lose_shadow(home: Path) -> None:
    (folder,) = [each for each in (home / "archive" / "_bundles").rglob("*.json") if "challenger" in each.read_text()]
    folder.unlink()


def test_a_shadow_whose_bundle_is_gone_is_said_and_the_decision_is_made_again_without_it(
    built: tuple[Path, list[Document]], home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _lose_shadow(home)
    said = "expected the bundle of model challenger 2 in the archive, found none; put its folder into"
    for recorded in _of_each_kind(built[1]).values():
        found = _answer(home, recorded["transaction_id"])
        assert (found["is_same"], found["computed"]["score"]) == (True, recorded["score"])
        assert (found["shadow"]["is_same"], found["shadow"]["computed"]) == (None, None)
        assert (found["shadow"]["recorded"], found["computed"]["shadow_score"]) == (recorded["shadow_score"], None)
        assert said in found["shadow"]["note"]
    sampled = _sample(home)
    assert (sampled.made, sampled.shadows_made, sampled.different) == (len(built[1]), 0, [])
    ((why, count),) = sampled.shadows_not_made.items()
    assert (said in why, count) == (True, len(built[1]))
    monkeypatch.setenv("WEIR_HOME", str(home))
    assert main(["evidence", built[1][0]["transaction_id"]]) == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "equal, bit for bit; the shadow's score is not computed" in shown
    assert "not computed: expected the bundle of model challenger 2 in the archive" in shown
    assert main(["evidence", "again"]) == 0
    assert f"{len(built[1])} shadow scores not made again: {said}" in capsys.readouterr().out


def test_a_shadow_whose_bytes_were_changed_scores_nothing(built: tuple[Path, list[Document]], home: Path) -> None:
    (manifest,) = [
        json.loads(each.read_bytes())
        for each in (home / "archive" / "_bundles").rglob("*.json")
        if "challenger" in each.read_text()
    ]
    model = home / "archive" / "_objects" / manifest["model_sha256"]
    model.write_bytes(model.read_bytes() + b"\0")
    found = _answer(home, built[1][0]["transaction_id"])
    assert (found["is_same"], found["shadow"]["is_same"]) == (True, None)
    assert "found other bytes" in found["shadow"]["note"]


def test_a_shadow_that_was_put_back_into_the_home_scores_again(built: tuple[Path, list[Document]], home: Path) -> None:
    _lose_shadow(home)
    _write_shadow(home / "models" / "back")
    assert _answer(home, built[1][0]["transaction_id"])["shadow"]["is_same"] is True


def test_a_batch_whose_shadow_failed_is_told_apart_from_one_that_differs(tmp_path: Path) -> None:
    def fail_once(number: int, scores: Scores) -> Scores:
        return np.full_like(scores, np.nan) if number == UNSCORED else scores

    decisions = _build(tmp_path, fail_once)
    without = [each for each in decisions if each["shadow_score"] is None]
    assert len(without) == BATCH_ROWS
    found = _answer(tmp_path, without[0]["transaction_id"])
    assert (found["is_same"], set(found["differences"])) == (False, {"shadow_score"})
    assert found["note"].startswith("the shadow gave no score then, and gives one now")
    sampled = _sample(tmp_path)
    assert (sampled.unscored, sampled.unexplained, sampled.different) == (BATCH_ROWS, 0, [])
