"""``weir cases``: the same cases as the API's, from a terminal."""

import getpass
import json
from dataclasses import replace

import pytest

import weir.cli
from tests.unit.cases.test_case import review
from weir.cases import cli
from weir.cases.case import Review
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


@pytest.fixture
def known(monkeypatch):
    """Decisions that are found, by the ids of their events."""
    known: dict[str, Review] = {}

    def find(settings, past, event_id):
        assert settings.stream.name == "transactions"
        assert past is not None, "there is an archive to ask"
        return known.get(event_id)

    monkeypatch.setattr(cli, "_find", find)
    return known


def build_known(event_id, key):
    made = review(event_id=event_id)
    decision = {"transaction_id": event_id, "event_time_ms": made.event_ms, "score": 0.02, "decision": "APPROVE"}
    decision |= {"decided_by": "model", "reasons": [], "tags": ["alert:MULE"]}
    return replace(made, key=key, decision=decision, label=None)


def test_a_case_is_opened_by_hand_once_and_found_by_its_event(run, known):
    known["t9"] = build_known("t9", "c9")
    code, said, _ = run("open", "t9", "--why", "the customer called")
    (case,) = json.loads(run("list", "--event", "t9", "--json")[1])["cases"]
    assert (code, said) == (0, f"{case['id']} is open")
    assert run("open", "t9", "--why", "again")[1] == f"it is in a case already: {case['id']} is open"
    run("claim", case["id"])
    run("verdict", case["id"], "legitimate", "--why", "a receipt")
    closed = f"{case['id']} is closed: legitimate, version 1 of its verdict"
    assert run("open", "t9", "--why", "again")[1] == f"it is in a case already: {closed}; another verdict corrects it"
    assert [each["state"] for each in json.loads(run("list", "--event", "t9", "--json")[1])["cases"]] == ["closed"]
    shown = run("show", case["id"])[1]
    assert "the customer called" in shown
    assert "alert:MULE" in shown


def test_a_case_is_linked_to_others_and_shows_what_was_decided_on_them(run, known):
    known["t9"] = build_known("t9", "c9")
    case_id = case_of(run)
    assert run("link", case_id, "t9", "--why", "the same device") == (0, f"{case_id} is open", "")
    shown = run("show", case_id)[1]
    assert "t9" in shown
    assert "APPROVE" in shown
    assert "the same device" in shown
    assert run("unlink", case_id, "t9")[0] == 0
    document = json.loads(run("show", case_id, "--json")[1])
    assert (document["related"], [act["act"] for act in document["acts"]]) == ([], ["opened", "linked", "unlinked"])


def test_an_event_without_a_decision_is_said_to_have_none(run, known):
    assert known == {}
    for command in (("open", "t404"), ("link", case_of(run), "t404")):
        code, out, told = run(*command, "--why", "called")
        assert (code, out) == (1, "")
        assert "no decision on this transaction" in told


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["show", "nothing"], "weir cases list"),
        (["claim", "nothing"], "weir cases list"),
        (["list", "--after", "nothing"], "--after"),
        (["list", "--limit", "0"], "1 to 500"),
        (["note", "nothing", "4111 1111 1111 1111"], "card number"),
        (["follow", "--since", "soon"], "12h or 7d"),
        (["open", "", "--why", "called"], "of 1 to"),
        (["open", "4111111111111111", "--why", "called"], "found a card number"),
        (["unlink", "nothing", "x" * 300], "of 1 to"),
        (["open", "t1", "--why", "4111 1111 1111 1111"], "card number"),
    ],
)
def test_what_makes_no_sense_is_refused(run, arguments, expected):
    code, out, told = run(*arguments)
    assert (code, out) == (2, "")
    assert expected in told
    assert "4111" not in told
