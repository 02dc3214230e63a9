"""``weir cases``: the same cases as the API's, from a terminal."""

import getpass
import json

import pytest

import weir.cli
from tests.unit.cases.test_case import review
from weir.cases.intake import Intake
from weir.infra.database.engine import open_database
from weir.infra.settings import load_settings


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    engine = open_database(load_settings())
    decision = {"transaction_id": "t1", "event_time_ms": review().event_ms, "score": 0.61, "decided_by": "model"}
    decision["reasons"] = [{"code": "CARD_BURST", "detail": "9"}]
    made = review()
    kept = type(made)(**{**vars(made), "decision": decision, "label": None})
    Intake(engine, stream="transactions", topic_id="topic", burst_ms=0).take([kept], {0: 1})
    engine.dispose()


@pytest.fixture
def run(capsys):
    def run(*arguments):
        code = weir.cli.main(["cases", *arguments])
        written = capsys.readouterr()
        return code, written.out.strip(), written.err.strip()

    return run


def case_of(run):
    (case,) = json.loads(run("list", "--json")[1])["cases"]
    return case["id"]


def test_a_case_is_listed_shown_claimed_noted_released_and_decided(run):
    case_id, me = case_of(run), getpass.getuser()
    assert case_id in run("list")[1]
    assert run("claim", case_id) == (0, f"{case_id} is claimed, held by {me}", "")
    assert case_id in run("list", "--mine")[1]
    run("note", case_id, "the shop is known")
    assert run("release", case_id)[1] == f"{case_id} is open"
    code, _, told = run("verdict", case_id, "fraud", "--why", "the customer called")
    assert (code, "claimed" in told) == (1, True)
    run("claim", case_id)
    code, out, _ = run("verdict", case_id, "fraud", "--why", "the customer called")
    assert (code, out) == (0, f"{case_id} is closed: fraud, version 1 of its verdict")
    shown = run("show", case_id)[1]
    for part in ("t1", "CARD_BURST", "the shop is known", "the customer called", "makes no label of 1"):
        assert part in shown
    assert "no case" in run("list")[1]
    acts = [act["act"] for act in json.loads(run("show", case_id, "--json")[1])["acts"]]
    assert acts == ["opened", "claimed", "note", "released", "claimed", "fraud"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["show", "nothing"], "weir cases list"),
        (["claim", "nothing"], "weir cases list"),
        (["list", "--after", "nothing"], "--after"),
        (["list", "--limit", "0"], "1 to 500"),
        (["note", "nothing", "4111 1111 1111 1111"], "card number"),
        (["follow", "--since", "soon"], "12h or 7d"),
    ],
)
def test_what_makes_no_sense_is_refused(run, arguments, expected):
    code, out, told = run(*arguments)
    assert (code, out) == (2, "")
    assert expected in told
    assert "4111" not in told
