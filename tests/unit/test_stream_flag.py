"""Every command that works on a stream's topics or state takes ``--stream``, and refuses a name that is none."""

from __future__ import annotations

import contextlib
import io
import re
from functools import cache
from pathlib import Path

import pytest

import weir.cli
from tests.house.source import name_of, product_files
from weir.schemas.project import load_shipped, shipped_names

OF_NO_STREAM = {
    "init": "makes a project",
    "check": "looks at every stream of a project",
    "up": "starts servers",
    "down": "stops servers",
    "status": "shows servers",
    "logs": "shows logs of servers",
    "doctor": "looks at this machine and every stream of a project",
    "clean": "frees space in a home",
    "demo": "runs a project whole",
    "bench": "measures on servers of its own",
    "benchmark": "runs protocols that each bring a stream",
    "completion": "prints a script",
    "audit": "is of every stream of a deployment",
    "backup": "is of every stream of a deployment",
    "restore": "is of every stream of a deployment",
    "redteam": "attacks with card payments",
    "sessionise": "reads the shipped clicks and writes the shipped sessions",
}
"""Commands that need no name of a stream, and why; one of them may take it all the same."""
ACTIONS = {
    "publish": ["events.csv"],
    "gdpr": ["export --out FILE", "erase", "again", "check"],
    "topics": ["create", "check", "repair"],
    "schemas": ["check", "register"],
    "features": ["list", "docs"],
    "dlq": ["list", "show", "stats", "replay", "discard", "auto"],
    "offsets": ["show", "recover", "drop-view"],
    "rules": ["check", "test", "show", "history", "diff", "publish FILE --why a-test", "rollback none --why a-test"],
    "lists": [
        "show",
        "history",
        "publish FILE --why a-test",
        "rollback none --why a-test",
        "add block card c-1 --why a-test",
        "remove block card c-1 --why a-test",
    ],
    "cases": [
        "follow",
        "list",
        "show ID",
        "claim ID",
        "release ID",
        "note ID TEXT",
        "verdict ID fraud --why a-test",
    ],
    "keys": ["create NAME --scopes read"],
    "models": [
        "list",
        "show",
        "history",
        "promote VERSION --why a-test",
        "compare VERSION",
        "import FILE --name mine",
        "rollback none --why a-test",
    ],
    "thresholds": ["show", "history", "diff", "publish FILE --why a-test", "rollback none --why a-test"],
    "inspect": ["entity device d-1", "card c-1", "decision t-1", "stream", "model", "lag"],
}
SHIPPED = sorted(load_shipped(name).stream.name for name in shipped_names())
COMMANDS = [
    [verb, *action.split()] for verb in weir.cli.VERBS if verb not in OF_NO_STREAM for action in ACTIONS.get(verb, [""])
]


@cache
def _help(verb: str, *action: str) -> str:
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
        weir.cli._load(verb).main([verb, *action[:1], "--help"])
    return shown.getvalue()


def test_the_commands_of_no_stream_are_there() -> None:
    assert set(OF_NO_STREAM) <= set(weir.cli.VERBS)


def test_no_command_declares_the_flag_by_itself() -> None:
    typed = re.compile(r"add_argument\(\s*[\"']--stream\b")
    assert [name_of(path) for path in product_files() if typed.search(path.read_text())] == []


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_of_a_stream_says_that_it_takes_its_name(command: list[str]) -> None:
    assert "--stream NAME" in _help(*command)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    ("name", "hint"), [("click", "; did you mean 'clicks'?"), ("nosuch", f"; there are {', '.join(SHIPPED)}")]
)
def test_a_name_that_no_stream_has_is_refused_with_those_that_there_are(
    command: list[str],
    name: str,
    hint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert weir.cli.main([*command, "--stream", name]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line == f"weir {command[0]}: expected the name of a stream, found {name!r}{hint}"


def test_in_a_project_its_streams_are_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEIR_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert weir.cli.main(["init", "shop", "--like", "transfers"]) == 0
    monkeypatch.chdir(tmp_path / "shop")
    assert weir.cli.main(["dlq", "list", "--stream", "clicks"]) == 2
    assert "found 'clicks'; there are transfers" in capsys.readouterr().err
