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
    "docs/backup.md": "tests/integration/test_backup.py",
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
    "docs/upgrading.md": "tests/integration/test_readers.py",
    "docs/whatif.md": "tests/unit/archive/test_whatif_page.py",
    "docs/where-to-look.md": "tests/integration/test_readers.py",
}
_DEMO = "tests/integration/test_demo_live.py runs what it starts"
_SHELL = "for the prompt of a person; a test's script has the environment's programs on its path"
_FOREVER = "run until they are ended; tests/integration/services.py starts and ends them so"
NOT_AS_THEY_STAND = {
    ("CONTRIBUTING.md", "make setup"): "each is run by CI; the demo: " + _DEMO,
    ("CONTRIBUTING.md", "make faults-short"): "minutes; CI runs all of `make faults-short` and `make faults-mutants`",
    ("CONTRIBUTING.md", "NUMBA_DISABLE_JIT=1"): "waits at a breakpoint; the block before it runs a test so",
    ("CONTRIBUTING.md", "COLUMNS=1000"): "writes the file with which tests/upgrade/test_names.py compares the names",
    ("README.md", "make demo"): _DEMO,
    ("README.md", "make test"): "CI runs it; a test that runs all tests would run itself",
    ("README.md", ". .venv/bin/activate"): _SHELL,
    ("README.md", "weir train"): "minutes; docs/readers/data-scientist.md is followed to both",
    ("README.md", "weir topics create"): _FOREVER,
    ("docs/api.md", "weir keys create"): "tests/unit/access/test_cli.py",
    ("docs/api.md", "curl -N"): "never ends; tests/integration/test_api_decide.py reads such a stream",
    ("docs/api.md", "curl -s"): "a file of a reader's; tests/unit/inference/test_api_idempotency.py sends such",
    ("docs/archive.md", "weir archive"): "tests/integration/test_pages.py",
    ("docs/benchmarks.md", "weir benchmark handbook"): "minutes, on data as large as the published one",
    ("docs/cases.md", "weir cases follow"): _FOREVER,
    ("docs/cases.md", "weir cases list"): "tests/unit/cases/test_cli.py",
    ("docs/cases.md", "weir cases open"): "tests/integration/test_cases_live.py, of a payment of its own",
    ("docs/cases.md", "weir cases link"): "tests/unit/cases/test_cli.py, on a case of its own",
    ("docs/cases.md", "weir cases claim"): "tests/unit/cases/test_cli.py, on a case of its own",
    (
        "docs/changing-features.md",
        "weir features cut-over",
    ): "tests/integration/test_next_view.py changes over",
    ("docs/changing-features.md", "weir features drop"): "needs a view that was replaced; test_next_view.py has one",
    ("docs/console.md", "weir keys create"): "tests/e2e/console/test_console_live.py runs both",
    ("docs/console.md", "WEIR_CONSOLE__TLS"): "a certificate of a reader's; tests/integration/test_keys.py has its own",
    ("docs/errors.md", "curl -s"): "tests/unit/inference/test_api_errors.py asks so",
    ("docs/evidence.md", "weir rules show"): "the versions of a reader's own; test_pages.py shows such",
    ("docs/evidence.md", ".venv/bin/weir up && .venv/bin/weir archive"): "a card of the demo that printed it",
    ("docs/keys.md", "weir keys create"): "tests/unit/access/test_cli.py",
    ("docs/keys.md", "weir audit calls"): "tests/integration/test_api_audit.py",
    ("docs/keys.md", "weir keys rotate"): "tests/unit/access/test_cli.py",
    ("docs/keys.md", "WEIR_API__KEYS=required weir serve"): _FOREVER,
    ("docs/keys.md", "WEIR_API__KEYS=required WEIR_API__TLS"): "a certificate of a reader's; test_keys.py has its own",
    ("docs/keys.md", "curl -H"): "tests/integration/test_keys.py sends both headers",
    ("docs/choosing.md", "weir models canary"): "tests/unit/training/choosing/test_commands.py",
    ("docs/choosing.md", "weir up --with mlflow"): "tests/integration/test_embedded.py, test_model_registry.py",
    ("docs/choosing.md", "weir models check"): "tests/unit/training/choosing/test_commands.py",
    (
        "docs/choosing.md",
        "weir retrain --if-needed",
    ): "tests/unit/test_retrain.py and tests/integration/test_retrain.py",
    ("docs/models.md", "weir models import"): "a model of a reader's; tests/unit/training has such",
    ("docs/models.md", "weir monitor"): "tests/unit/test_monitor.py; one needs two days of decisions",
    ("docs/choosing.md", "weir models list"): "versions of a reader's own; test_published.py has such",
    (
        "docs/operations.md",
        "weir dlq replay --partition",
    ): "letters of a reader's own; tests/unit/streaming/test_dlq_repair.py",
    ("docs/publish.md", "weir publish payments.csv"): "tests/integration/test_pages.py",
    ("docs/privacy.md", "weir gdpr export"): "tests/integration/test_gdpr.py runs them on a customer of its own",
    ("docs/privacy.md", "weir gdpr again"): "tests/integration/test_gdpr.py",
    ("docs/publish.md", "weir publish fraudTrain.csv"): "a data set of others; test_publish_files.py has its layout",
    ("docs/publish.md", "weir publish history/"): "tests/integration/test_pages.py, but for the training",
    ("docs/publish.md", "weir train"): "a data set of others; test_publish_files.py has its layout",
    (
        "docs/training.md",
        "weir train",
    ): "minutes; tests/unit/training/search/test_run.py runs the same on a small history",
    ("docs/publishing.md", "weir rules publish"): "tests/integration/test_pages.py",
    ("docs/publishing.md", "weir rules history"): "tests/integration/test_pages.py",
    ("docs/publishing.md", "weir lists add"): "tests/integration/test_pages.py",
    ("docs/quality.md", "weir quality"): "tests/unit/test_quality.py, on simulated days; one needs weeks of labels",
    ("docs/readers/analyst.md", ". .venv/bin/activate"): _SHELL,
    ("docs/readers/consumer.md", ". .venv/bin/activate"): _SHELL,
    ("docs/readers/contributor.md", "make setup"): "CI begins with it",
    ("docs/readers/contributor.md", "make lint types imports unit"): "CI runs them",
    ("docs/readers/data-scientist.md", ". .venv/bin/activate"): _SHELL,
    (
        "docs/readers/lead.md",
        "weir archive",
    ): "tests/unit/test_quality.py, on simulated days; one needs weeks of labels",
    ("docs/readers/lead.md", "weir audit changes"): "tests/integration/test_api_audit.py",
    ("docs/readers/operator.md", ". .venv/bin/activate"): _SHELL,
    ("docs/readers/operator.md", "weir doctor"): "it finds what the machine has; the README's is run, whatever it says",
    ("docs/readers/operator.md", "weir run"): _FOREVER,
    ("docs/readers/producer.md", "make demo"): _DEMO,
    ("docs/readers/producer.md", ". .venv/bin/activate"): _SHELL,
    ("docs/readers/producer.md", "weir dlq replay"): "a letter of a reader's; tests/integration/test_dlq_replay.py",
    ("docs/redteam.md", "weir redteam"): "tests/unit/test_redteam.py, with fewer cards",
    ("docs/streams.md", "make setup peers"): "tests/integration/test_sessions_live.py, but for the first line",
}
"""Blocks of commands without a language, by page and how they begin: what runs them, or why nothing does."""
COMPLETE = {
    "weir inspect card": "weir inspect card CARD",
    "weir inspect": "weir inspect lag",
    "weir evidence verify --expect": "weir evidence verify --expect HASH",
    "weir publish": "weir publish FILE",
    "weir features backfill": "weir features backfill --transactions FILE --out FILE",
    "weir features backfill --from archive": "weir features backfill --from archive --out FILE",
    "weir train --history": "weir train --history DIR",
    "weir init": "weir init DIR --like payments",
    "weir models check": "weir models check BUNDLE",
    "weir models promote": "weir models promote BUNDLE --why WHY",
    "weir cases show": "weir cases show ID",
    "weir backup": "weir backup FILE",
    "weir restore": "weir restore FILE",
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


def test_every_other_block_of_commands_is_run_otherwise_or_has_its_reason() -> None:
    found = [
        (name_of(page), script) for page in pages() for language, script in scripts(page.read_text()) if not language
    ]
    used = [
        next((named for named in NOT_AS_THEY_STAND if named[0] == page and script.startswith(named[1])), (page, script))
        for page, script in found
    ]
    assert sorted(set(used)) == sorted(NOT_AS_THEY_STAND)
    named = re.findall(r"tests/\w+/\w+\.py", " ".join(NOT_AS_THEY_STAND.values()))
    assert [path for path in named if not (ROOT / path).is_file()] == []


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
