"""A command that a document shows is one that works: it is run by a test, or its words are those of the real parser."""

from __future__ import annotations

import argparse
import importlib.util
import re
import shlex
from typing import Any

import pytest

import weir.cli
from tests.house.commands import commands, pages, scripts
from tests.house.remedies import targets
from tests.house.source import ROOT, name_of

# page -> the test that runs its `sh` and `console` blocks, as they stand there
RUN_BY = {
    "CONTRIBUTING.md": "tests/integration/test_contributing.py",
    "README.md": "tests/integration/test_readers.py",
    "docs/changing-features.md": "tests/unit/archive/test_changing_features_page.py",
    "docs/evidence.md": "tests/unit/archive/test_evidence_page.py",
    "docs/readers/analyst.md": "tests/integration/test_readers.py",
    "docs/readers/consumer.md": "tests/integration/test_readers.py",
    "docs/readers/contributor.md": "tests/integration/test_contributing.py",
    "docs/readers/data-scientist.md": "tests/integration/test_readers.py",
    "docs/readers/operator.md": "tests/integration/test_readers.py",
    "docs/readers/producer.md": "tests/integration/test_readers.py",
    "docs/rules.md": "tests/unit/test_rules_page.py",
    "docs/streams.md": "tests/unit/test_streams_page.py",
    "docs/whatif.md": "tests/unit/archive/test_whatif_page.py",
}
COMPLETE = {
    "weir inspect card": "weir inspect card CARD",
    "weir inspect": "weir inspect lag",
    "weir evidence verify --expect": "weir evidence verify --expect HASH",
    "weir publish": "weir publish FILE",
    "weir features backfill": "weir features backfill --transactions FILE --out FILE",
    "weir features backfill --from archive": "weir features backfill --from archive --out FILE",
    "weir train --history": "weir train --history DIR",
    "weir init": "weir init DIR --like payments",
}
"""Named without what it is about."""
NO_VERB = {"--version", "--help"}
COMMANDS = sorted({(name_of(page), command) for page in pages() for command in commands(page.read_text())})


class _Parsed(Exception):
    """The command line was understood; nothing is run."""


@pytest.fixture
def _parse_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(*given: Any, **named: Any) -> None:
        parse(*given, **named)
        raise _Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)


def _of(program: str) -> list[Any]:
    return [pytest.param(command, id=f"{page}: {command}") for page, command in COMMANDS if command.startswith(program)]


@pytest.mark.usefixtures("_parse_alone")
@pytest.mark.parametrize("command", [*_of("weir "), *_of(".venv/bin/weir ")])
def test_a_command_of_ours_is_understood(command: str) -> None:
    command = command.removeprefix(".venv/bin/")
    words = shlex.split(COMPLETE.get(command, command))[1:]
    if words[0] in NO_VERB:
        return
    assert words[0] in weir.cli.VERBS
    with pytest.raises(_Parsed):
        weir.cli.main(words)


@pytest.mark.parametrize("command", _of("make "))
def test_a_target_and_its_variables_are_those_of_the_makefile(command: str) -> None:
    words = shlex.split(command)[1:]
    named = {word.partition("=")[0] for word in words if "=" in word}
    assert {word for word in words if "=" not in word} <= targets()
    assert named <= set(re.findall(r"^([A-Z_]+) \?=", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("command", [*_of(".venv/bin/python "), *_of("python -m ")])
def test_a_module_that_is_run_exists_and_a_test_that_is_asked_for_too(command: str) -> None:
    words = shlex.split(command)
    module = words[words.index("-m") + 1]
    assert importlib.util.find_spec(module) is not None
    if module == "pytest":
        paths = [word for word in words if word.startswith("tests/")]
        assert [path for path in paths if not (ROOT / path).exists()] == []
        if "-k" in words:
            tests = "".join((ROOT / path).read_text() for path in paths)
            assert re.search(rf"def test_\w*{words[words.index('-k') + 1]}", tests)


def test_blocks_that_are_run_stand_in_pages_that_a_test_follows() -> None:
    run = {name_of(page) for page in pages() for language, _ in scripts(page.read_text()) if language}
    assert run == set(RUN_BY)
    assert [test for test in RUN_BY.values() if not (ROOT / test).is_file()] == []


def test_every_line_of_a_block_of_commands_is_read() -> None:
    assert len(COMMANDS) > 150
    assert ("README.md", "weir features backfill --transactions FILE --out F") in COMMANDS
    assert ("docs/operations.md", "weir offsets show") in COMMANDS


@pytest.mark.usefixtures("_parse_alone")
def test_a_flag_that_is_not_there_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    (command,) = commands("```\nweir publish FILE --dry-rum\n```\n")
    with pytest.raises(SystemExit):
        weir.cli.main(shlex.split(command)[1:])
    assert "--dry-rum" in capsys.readouterr().err
