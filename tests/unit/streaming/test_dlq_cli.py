"""What ``weir dlq`` refuses before it asks a broker anything."""

from __future__ import annotations

import re
from collections.abc import Generator
from pathlib import Path
from types import SimpleNamespace
from typing import Self

import pytest

import weir.cli
from tests.unit.streaming.dead_letter_samples import letter
from weir.infra.settings import Settings
from weir.schemas.errors import Refused
from weir.streaming.dlq import cli as dlq_cli
from weir.streaming.dlq.letter import DeadLetter
from weir.streaming.dlq.log import DeadLetterLog, Selection
from weir.streaming.dlq.plan import Options
from weir.streaming.dlq.replay import Report, plan_steps


@pytest.fixture(autouse=True)
def _no_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))


class _Log:
    """A dead letter topic in memory, of which nothing is settled."""

    topic = "transactions.dlq"
    letters = (letter(reason="duplicate"), letter(reason="card_number"), letter(reason="kind 4111111111111111\x1b[2J"))
    done = SimpleNamespace(refresh=lambda: None, settlement=lambda _: None, attempts=lambda _: 0)

    def __init__(self, _settings: Settings, _topic: str) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def ends(self) -> dict[int, int]:
        return {3: 18}

    def scan(self, selection: Selection, *_: object) -> Generator[DeadLetter, None, None]:
        yield from filter(selection.matches, self.letters)


def _verbs_that_take_reasons() -> list[str]:
    (verbs,) = (action.choices for action in dlq_cli._parser()._actions if isinstance(action.choices, dict))
    return [verb for verb, parser in verbs.items() if "--reason" in parser.format_help()]


def test_five_verbs_take_reasons() -> None:
    assert _verbs_that_take_reasons() == ["list", "show", "stats", "replay", "discard"]


@pytest.mark.parametrize("asked", [["nosuch"], ["card_number", "nosuch"], ["card_numbr"]])
@pytest.mark.parametrize("verb", _verbs_that_take_reasons())
def test_a_reason_that_no_letter_has_is_refused_and_those_that_there_are_named(
    verb: str, asked: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dlq_cli, "DeadLetterLog", _Log)
    assert weir.cli.main(["dlq", verb, *(f"--reason={reason}" for reason in asked)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert re.search(
        r"transactions\.dlq has \(card_number, duplicate, kind [^)]*\), found '(nosuch|card_numbr)'", said.err
    )
    assert ("did you mean card_number?" in said.err) == (asked == ["card_numbr"])
    assert "4111111111111111" not in said.err
    assert "\x1b" not in said.err


@pytest.mark.parametrize("reason", ["card_number", "duplicate", "unknown_schema_id", "not_examined"])
@pytest.mark.parametrize("verb", _verbs_that_take_reasons())
def test_a_reason_that_a_letter_has_or_a_runbook_names_is_taken(
    verb: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dlq_cli, "DeadLetterLog", _Log)
    assert weir.cli.main(["dlq", verb, "--reason", reason]) == 0


@pytest.mark.parametrize("verb", _verbs_that_take_reasons())
def test_an_offset_without_its_partition_is_refused(verb: str) -> None:
    with pytest.raises(Refused, match="--partition"):
        dlq_cli.main(["dlq", verb, "--offset", "3"])


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["purge"],
        ["list", "--from", "yesterday"],
        ["list", "--apply"],
        ["replay", "--set", "a=1", "--hook", "x.py:f"],
        ["replay", "--app"],
    ],
)
def test_misuse_ends_with_exit_code_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        dlq_cli.main(["dlq", *arguments])
    assert ended.value.code == 2


def test_a_hook_that_is_not_there_is_refused() -> None:
    with pytest.raises(Refused, match="--hook"):
        dlq_cli.main(["dlq", "replay", "--hook", "missing.py:repair"])


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [
        ("1700000000000", 1_700_000_000_000),
        ("2023-11-14T22:13:20", 1_700_000_000_000),
        ("2023-11-14T23:13:20+01:00", 1_700_000_000_000),
        ("2023-11-14", 1_699_920_000_000),
    ],
)
def test_times_are_epoch_ms_or_iso_8601_in_utc_unless_they_say_otherwise(text: str, time_ms: int) -> None:
    assert dlq_cli._time_ms(text) == time_ms


@pytest.mark.parametrize(
    ("stream", "topic", "done"),
    [
        ("", None, "transactions.dlq.done"),
        ("clicks", None, "clicks.dlq.done"),
        ("", "clicks.features.dlq", "clicks.dlq.done"),
        ("clicks", "clicks.dlq", "clicks.dlq.done"),
        ("", "labels.dlq", "transactions.dlq.done"),
        ("", "of-another-team", "transactions.dlq.done"),
        ("clicks", "of-another-team", "clicks.dlq.done"),
    ],
)
def test_what_was_done_is_kept_with_the_stream_that_is_named_or_that_the_topic_is_of(
    stream: str, topic: str | None, done: str
) -> None:
    assert dlq_cli._find_settings(stream, topic).topics.dlq_done == done


def test_a_topic_of_another_stream_is_refused() -> None:
    """Its letters would count as open, and be replayed again."""
    with pytest.raises(Refused, match=r"expected one of transfers \(transfers.dlq, .*found clicks.dlq of clicks"):
        dlq_cli._find_settings("transfers", "clicks.dlq")


def test_a_plan_of_which_a_letter_cannot_be_repaired_ends_with_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(dlq_cli, "DeadLetterLog", _Log)
    hook = tmp_path / "repair.py"
    hook.write_text("def repair(key, value, letter):\n    raise ValueError('no way')\n")
    asked = ["dlq", "replay", "--reason", "card_number"]
    assert weir.cli.main([*asked, "--hook", f"{hook}:repair"]) == 1
    assert "1 unrepairable\ntransactions.dlq-3-17: unrepairable: the hook raised" in capsys.readouterr().out
    assert weir.cli.main(asked) == 0
    said = capsys.readouterr().out
    assert said.endswith("1 replayed\ntransactions.dlq-3-17: replayed, reason card_number, key c1\n")


def test_a_plan_of_many_letters_lists_the_first_ones(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dlq_cli, "DeadLetterLog", _Log)
    monkeypatch.setattr(_Log, "letters", (letter(),) * 23)
    assert weir.cli.main(["dlq", "discard"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert (len(lines), lines[-1]) == (22, "... and 3 more")


def test_a_hook_is_called_once_for_each_letter_that_is_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is somebody's code, and may count, or ask a service."""
    monkeypatch.setattr(dlq_cli, "DeadLetterLog", _Log)
    calls, hook = tmp_path / "calls", tmp_path / "repair.py"
    body = f"    with open({str(calls)!r}, 'a') as calls:\n        calls.write('+')\n    raise ValueError\n"
    hook.write_text(f"def repair(*each):\n{body}")

    def apply(_settings: Settings, log: DeadLetterLog, selection: Selection, options: Options, total: int) -> Report:
        report = Report()
        for step in plan_steps(log, "", selection, options, {}):
            report.add(step)
        assert report.outcomes.total() == total
        return report

    monkeypatch.setattr(dlq_cli, "_apply", apply)
    assert weir.cli.main(["dlq", "replay", "--reason", "card_number", "--hook", f"{hook}:repair", "--apply"]) == 1
    assert calls.read_text() == "+"


@pytest.mark.parametrize("verb", _verbs_that_take_reasons())
def test_a_stage_that_no_letter_has_is_refused_and_those_that_there_are_named(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dlq_cli, "DeadLetterLog", _Log)
    assert weir.cli.main(["dlq", verb, "--stage", "validte"]) == 2
    said = capsys.readouterr().err
    assert "--stage: expected one that a letter of transactions.dlq has (validate), found 'validte'" in said
    assert "did you mean validate?" in said


@pytest.mark.parametrize("stage", ["decode", "validate", "deduplicate", "score"])
def test_a_stage_of_ours_is_taken_where_no_letter_has_it(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dlq_cli, "DeadLetterLog", _Log)
    assert weir.cli.main(["dlq", "list", "--stage", stage]) == 0
