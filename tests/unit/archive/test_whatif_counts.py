"""Every figure of a what-if is counted a second time, over worlds of several seeds."""

from __future__ import annotations

import io
import json
from collections import Counter
from contextlib import redirect_stdout
from datetime import UTC, datetime
from typing import NamedTuple

import pytest

import weir.cli
from tests.unit.archive.counted import (
    HOLD_MS,
    HOUR_MS,
    OUTCOMES,
    Case,
    Row,
    World,
    build_world,
    count_cases,
    count_flips,
    find_verdicts,
    read_own_cut,
)

EXAMPLES_OF_EACH = 3


@pytest.fixture(scope="module", params=[1, 3])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    return build_world(request.param, tmp_path_factory.mktemp("home"))


def _run(world: World, *words: str) -> Row:
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said):
        patch.setenv("WEIR_HOME", str(world.home))
        code = weir.cli.main(["whatif", *words, "--rules", str(world.home / "rules.yaml"), "--json"])
    found: Row = json.loads(said.getvalue())
    assert (code, found["reproduction"]["differing"]) == (0, 0)
    assert found["judged"], found["notes"]
    return found


class Trial(NamedTuple):
    """What was tried on a world, as words of the command; its cases; and the document."""

    words: list[str]
    cases: list[Case]
    found: Row


@pytest.fixture(scope="module", params=["own thresholds", "other thresholds"])
def trial(request: pytest.FixtureRequest, world: World) -> Trial:
    """Try the rules of a world, with the model's thresholds or with others."""
    is_own = request.param == "own thresholds"
    cut, words = (read_own_cut(), []) if is_own else (world.cut, ["--thresholds", f"{world.cut[0]},{world.cut[1]}"])
    return Trial(words, count_cases(world, cut), _run(world, *words))


def test_decisions_flips_and_days_are_those_counted(trial: Trial) -> None:
    cases, found = trial.cases, trial.found
    assert found["judged"] == found["rows"] == len(cases)
    assert found["decided"] == {each: sum(case.was == each for case in cases) for each in OUTCOMES}
    assert found["would_be"] == {each: sum(case.now == each for case in cases) for each in OUTCOMES}
    assert found["flips"] == count_flips(cases)
    assert len(found["flips"]) > 1
    more = found["would_be"]["DECLINE"] - found["decided"]["DECLINE"]
    assert found["declined_points"] == pytest.approx(100 * more / len(cases))
    days = sorted({case.event.day for case in cases})
    assert list(found["days"]) == days
    assert len(days) > 5
    for day in days:
        own = [case for case in cases if case.event.day == day]
        declined = {"decided": [case.was for case in own], "would_be": [case.now for case in own]}
        assert found["days"][day] == {
            "rows": len(own),
            "declined": {side: outcomes.count("DECLINE") for side, outcomes in declined.items()},
            "flips": count_flips(own),
        }


def test_figures_and_money_are_those_counted(trial: Trial) -> None:
    cases, found = trial.cases, trial.found
    verdicts = Counter(case.event.verdict for case in cases)
    assert found["labels"] == {each: verdicts[each] for each in ("fraud", "good", "no_label", "too_young")}
    assert min(found["labels"].values()) > 10
    fraud, good = ([case for case in cases if case.event.verdict == each] for each in ("fraud", "good"))
    hurt = {}
    for side, name in (("decided", "was"), ("would_be", "now")):
        caught = [case for case in fraud if getattr(case, name) != "APPROVE"]
        missed = [case for case in fraud if getattr(case, name) == "APPROVE"]
        stopped = [case for case in good if getattr(case, name) != "APPROVE"]
        declined = [case for case in good if getattr(case, name) == "DECLINE"]
        hurt[side] = len(declined)
        assert found["figures"][side] == {
            "caught": len(caught),
            "let_through": len(missed),
            "hurt": len(declined),
            "precision": pytest.approx(len(caught) / (len(caught) + len(stopped))),
            "recall": pytest.approx(len(caught) / len(fraud)),
            "false_positive_rate": pytest.approx(len(stopped) / len(good)),
        }
        for word, some in (("caught", caught), ("let_through", missed), ("hurt", declined)):
            assert found["money"][side][word] == pytest.approx(sum(case.stake for case in some), abs=1), word
    more = 100 * (hurt["would_be"] - hurt["decided"]) / hurt["decided"] if hurt["decided"] else None
    assert found["figures"]["good_hurt_percent"] == (more if more is None else pytest.approx(more))
    assert (found["money"]["currency"], found["money"]["unit"]) == ("USD", "minor")


@pytest.mark.parametrize("by", ["channel", "device_id is None"])
def test_segments_are_those_counted(world: World, trial: Trial, by: str) -> None:
    cases, found = trial.cases, _run(world, *trial.words, "--by", by)["segments"]
    names = {True: "yes", False: "no"}
    split: dict[str, list[Case]] = {}
    for case in cases:
        name = names[case.event.row["device_id"] is None] if by.endswith("None") else case.event.row[by]
        split.setdefault(name, []).append(case)
    assert set(found) == set(split)
    assert list(found) == sorted(found, key=lambda name: (-found[name]["rows"], name))
    for name, own in split.items():
        fraud, good = ([case for case in own if case.event.verdict == each] for each in ("fraud", "good"))
        assert found[name] == {
            "rows": len(own),
            "changed": sum(case.was != case.now for case in own),
            "decided": {each: sum(case.was == each for case in own) for each in OUTCOMES},
            "would_be": {each: sum(case.now == each for case in own) for each in OUTCOMES},
            "fraud": len(fraud),
            "good": len(good),
            "caught": {
                "decided": sum(case.was != "APPROVE" for case in fraud),
                "would_be": sum(case.now != "APPROVE" for case in fraud),
            },
            "hurt": {
                "decided": sum(case.was == "DECLINE" for case in good),
                "would_be": sum(case.now == "DECLINE" for case in good),
            },
        }


def test_what_each_rule_holds_of_and_who_stopped_it_already_are_those_counted(world: World, trial: Trial) -> None:
    cases, found = trial.cases, {rule["name"]: rule for rule in trial.found["rules"]}
    tried = [rule for rule in world.after if rule.mode != "off"]
    assert list(found) == [rule.name for rule in tried]
    for rule in tried:
        hits = [case for case in cases if rule.holds(case.event.row)]
        held = {was.name: sum(was.holds(case.event.row) for case in hits) for was in world.before if was.mode != "off"}
        by_model = [case for case in hits if case.event.decision["decided_by"] == "model" and case.was != "APPROVE"]
        assert found[rule.name] == {
            "name": rule.name,
            "then": rule.then,
            "mode": rule.mode,
            "hits": len(hits),
            "decides": sum(case.by == rule.name for case in cases),
            "recorded": {each: sum(case.was == each for case in hits) for each in OUTCOMES} if hits else {},
            "stopped_by_model": len(by_model),
            "also_held": {name: count for name, count in held.items() if count},
            "fraud": sum(case.event.verdict == "fraud" for case in hits),
            "good": sum(case.event.verdict == "good" for case in hits),
        }
    assert any(rule["also_held"] and rule["stopped_by_model"] for rule in found.values())


def test_examples_are_decisions_that_flip_so(trial: Trial) -> None:
    cases, found = trial.cases, trial.found["examples"]
    of_place = {(case.event.decision["partition"], case.event.decision["offset"]): case for case in cases}
    for example in found:
        case = of_place[example["partition"], example["offset"]]
        assert example["flip"] == f"{case.was} → {case.now}"
        assert (example["decided_by"], example["would_decide"]) == (case.event.decision["decided_by"], case.by)
    shown = Counter(example["flip"] for example in found)
    assert shown == {flip: min(EXAMPLES_OF_EACH, count) for flip, count in count_flips(cases).items()}
    assert len({(example["partition"], example["offset"]) for example in found}) == len(found)


def test_labels_that_have_not_matured_give_no_figure_and_say_so(world: World) -> None:
    since = datetime.fromtimestamp((world.now_ms - HOLD_MS + HOUR_MS) / 1_000, UTC).isoformat()
    young = [event for event in world.rows if event.decision["append_ms"] >= world.now_ms - HOLD_MS + HOUR_MS]
    labelled = find_verdicts(world.home, world.now_ms)
    known = {labelled.get((each.row["card_id"], each.row["transaction_id"])) for each in young}
    assert {"fraud", "good"} <= known, "labels have come, and are too young to be believed"
    found = _run(world, "--since", since, "--by", "country")
    assert found["labels"] == {"fraud": 0, "good": 0, "no_label": 0, "too_young": len(young)}
    assert (found["figures"], found["money"]) == (None, None)
    assert found["notes"][-2:] == [
        f"{len(young)} events are too young for their labels to be known and are in no such figure",
        "no labels have matured, so there are no figures of what was caught or hurt",
    ]
    assert {(rule["fraud"], rule["good"]) for rule in found["rules"]} == {(0, 0)}
    assert all((of["fraud"], of["good"]) == (0, 0) for of in found["segments"].values())
    assert sum(found["would_be"].values()) == len(young)
