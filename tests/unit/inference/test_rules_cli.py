"""``weir rules check`` and ``weir rules test``: offline, everything at once, and an exit code for a build."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from weir.cli import main

RULES = """rules:
  - name: fast
    why: a script clicks faster than a person
    when: customer_event_count_1m >= 30 and not in_list("allow", customer_id)
    then: DECLINE
    examples:
      - {values: {customer_event_count_1m: 30, customer_id: c1}, hit: true}
      - {values: {customer_event_count_1m: 30}, hit: false, lists: {allow: [customer_id]}}
      - {values: {customer_event_count_1m: 29, customer_id: c1}, hit: false}
      - {values: {}, hit: false}
"""
UNTESTED = "  - {name: seen, why: looked at, when: score > 0.9, then: TAG, mode: shadow}\n"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weir.toml").write_text('name = "shop"\n')
    (tmp_path / "rules").mkdir()
    path = tmp_path / "rules" / "clicks.yaml"
    path.write_text(RULES)
    return path


@pytest.fixture
def in_project(file: Path) -> Path:
    streams = file.parent.parent / "streams"
    streams.mkdir()
    shipped = Path(__file__).parents[3] / "schemas" / "streams"
    for name in ("clicks.py", "clicks.avsc"):
        (streams / name).write_text((shipped / name).read_text())
    return file


def test_a_good_file_is_described_with_its_version(in_project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    in_project.write_text(RULES + UNTESTED)
    assert main(["rules", "check"]) == 0
    first, *rules = capsys.readouterr().out.splitlines()
    assert first.startswith("rules/clicks.yaml: 2 rules, no faults; 1 live, 1 shadow, 0 off; version ")
    assert rules == [
        "  DECLINE fast: customer_event_count_1m >= 30 and not in_list('allow', customer_id)",
        "  TAG     seen: score > 0.9",
    ]
    assert main(["rules", "check", "--json", str(in_project)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["faults"], [rule["name"] for rule in document["rules"]]) == ([], ["fast", "seen"])


def test_what_an_alert_does_is_said_where_one_is_live(in_project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alert = "  - {name: mule, why: a mule, when: score > 0.9, then: ALERT}\n"
    in_project.write_text(RULES + alert)
    assert main(["rules", "check"]) == 0
    *_, rule, said = capsys.readouterr().out.splitlines()
    assert rule == "  ALERT   mule: score > 0.9"
    assert said == (
        "an ALERT changes no decision: it notes alert:MULE in the decision's tags, of which `weir cases follow` opens "
        "a case whatever is decided"
    )
    in_project.write_text(RULES + alert.replace("}", ", mode: shadow}"))
    assert main(["rules", "check"]) == 0
    assert "opens" not in capsys.readouterr().out


@pytest.mark.parametrize("command", ["check", "test"])
def test_every_fault_is_said_and_the_exit_code_is_one(
    in_project: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    in_project.write_text(RULES.replace("count_1m >= 30 and", "cuont_1m >= 30 and").replace("DECLINE", "DENY"))
    assert main(["rules", command]) == 1
    *faults, end = capsys.readouterr().out.splitlines()
    assert [fault.split(": ")[0] for fault in faults] == ["rules/clicks.yaml:4:11", "rules/clicks.yaml:5:11"]
    assert "did you mean 'customer_event_count_1m'?" in faults[0]
    assert end == "2 faults in rules/clicks.yaml"
    assert main(["rules", command, "--json"]) == 1
    assert [fault["line"] for fault in json.loads(capsys.readouterr().out)["faults"]] == [4, 5]


def test_examples_that_hold_are_counted_and_rules_without_one_are_named(
    in_project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    in_project.write_text(RULES + UNTESTED)
    assert main(["rules", "test"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "rules/clicks.yaml: rule seen: no example",
        "rules/clicks.yaml: 4 of 4 examples as expected, of 2 rules",
    ]


def test_an_example_that_does_not_hold_is_shown_with_its_place(
    in_project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    in_project.write_text(RULES.replace("count_1m >= 30", "count_1m >= 31"))
    assert main(["rules", "test"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        (
            "rules/clicks.yaml:7:9: rule fast, example 1: expected a hit, found none: customer_event_count_1m 30, "
            "customer_id c1; customer_event_count_1m >= 31 and not in_list('allow', customer_id)"
        ),
        "rules/clicks.yaml: 3 of 4 examples as expected, of 1 rule",
    ]


def test_a_file_without_an_example_passes_no_test(in_project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    in_project.write_text("rules:\n" + UNTESTED)
    assert main(["rules", "test"]) == 1
    assert "no example, of 1 rule" in capsys.readouterr().out


def test_a_shipped_streams_file_is_named_and_needs_no_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(RULES)
    assert main(["rules", "check", "mine.yaml", "--stream", "clicks"]) == 0
    assert main(["rules", "check", "mine.yaml"]) == 1  # of the payments
    assert "expected a feature, a kept field or score, found 'customer_event_count_1m'" in capsys.readouterr().out


def test_without_a_file_the_rules_that_the_stream_declares_are_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["rules", "check"]) == 0
    said = capsys.readouterr().out
    assert "payments.py: 3 rules, no faults; 3 live, 0 shadow, 0 off; version 1\n" in said
    assert main(["rules", "test"]) == 1
    assert "no example, of 3 rules" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["check", "--stream", "clicks"], "expected a rules file at "),
        (["check", "gone.yaml"], "gone.yaml: no such file"),
        (["check", "bytes.yaml"], "bytes.yaml: expected text in UTF-8, found another byte at 7"),
        (["check", "--stream", "clock", "bytes.yaml"], "clock"),
    ],
)
def test_misuse_is_refused_with_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bytes.yaml").write_bytes(b"rules: \xff")
    assert main(["rules", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_file_that_is_too_large_is_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "large.yaml").write_text("é" * 10_000_000)
    assert main(["rules", "check", "large.yaml"]) == 1
    assert "expected at most 1,048,576 bytes" in capsys.readouterr().out
