"""The command line itself: what a mistyped word gets, and what the file system's refusals look like."""

from __future__ import annotations

import errno
import importlib
import importlib.metadata
import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import weir.cli
from tests.house.source import PROJECT, ROOT
from weir.infra.arguments import Parser, _flags
from weir.infra.embedded import doctor

DISK_ERRORS = (errno.EACCES, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP)


def _mistyped(word: str) -> list[str]:
    """A letter doubled, two letters exchanged: what fingers do."""
    return [word[:2] + word[1:], *([word[:-2] + word[-1] + word[-2]] if len(word) > 3 else [])]


@pytest.mark.parametrize("verb", weir.cli.VERBS)
def test_a_mistyped_verb_is_refused_with_the_nearest_one(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    for mistyped in {*_mistyped(verb)} - set(weir.cli.VERBS):
        assert weir.cli.main([mistyped]) == 2
        assert re.search(r"did you mean \w+\?", (error := capsys.readouterr().err)), error
        assert error.count("\n") == 1


@pytest.mark.parametrize("verb", [verb for verb in weir.cli.VERBS if verb != "doctor"])
def test_every_verb_refuses_a_misspelt_setting_with_the_nearest_one(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(weir.cli, "_load", lambda _: pytest.fail("it began"))
    monkeypatch.setenv("WEIR_KAFKA__BOOTSTRAP_SERVER", "elsewhere:9092")
    assert weir.cli.main([verb]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"weir {verb}: setting WEIR_KAFKA__BOOTSTRAP_SERVER is not known; did you mean ")
    assert "WEIR_KAFKA__BOOTSTRAP_SERVERS?" in error
    assert error.count("\n") == 1


def test_the_doctor_says_that_a_setting_is_misspelt_with_all_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEIR_KAFKA__BOOTSTRAP_SERVER", "elsewhere:9092")
    monkeypatch.setattr(doctor, "examine_all", lambda *_, **__: [])  # it would wait for servers that are not there
    assert weir.cli.main(["doctor", "--home", str(tmp_path)]) == 1
    assert re.search(r"FAIL settings +setting WEIR_KAFKA__BOOTSTRAP_SERVER is not known", capsys.readouterr().out)


@pytest.mark.parametrize("verb", weir.cli.VERBS)
def test_help_is_shown_whatever_the_environment_holds(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIR_KAFKA__BOOTSTRAP_SERVER", "elsewhere:9092")
    with pytest.raises(SystemExit) as ended:
        weir.cli.main([verb, "--help"])
    assert ended.value.code == 0


def test_an_environment_that_names_services_of_an_orchestrator_is_no_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEIR_REDIS_PORT_6379_TCP", "tcp://10.0.0.1:6379")
    assert weir.cli.main(["status", "--home", str(tmp_path / "none")]) == 1
    assert "there is no stack yet" in capsys.readouterr().err


class Seen(Exception):
    """Raised with the parser of a verb, before it does anything."""


def _parser_of(verb: str, monkeypatch: pytest.MonkeyPatch) -> Parser:
    def see(parser: Parser, *_: object) -> None:
        raise Seen(parser)

    monkeypatch.setattr(Parser, "parse_args", see)
    with pytest.raises(Seen) as seen:
        weir.cli.main([verb])
    parser = seen.value.args[0]
    assert isinstance(parser, Parser)
    return parser


@pytest.mark.parametrize("verb", weir.cli.VERBS)
def test_every_verb_guesses_what_a_mistyped_flag_was_meant_to_be(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = _parser_of(verb, monkeypatch)
    for flag in (flag for flag in _flags(parser) if flag.startswith("--")):
        for mistyped in {flag[:3] + flag[2:], flag[:-2] + flag[-1] + flag[-2]} - set(_flags(parser)):
            with pytest.raises(SystemExit) as ended:
                parser.error(f"unrecognized arguments: {mistyped}=5 x")
            assert ended.value.code == 2
            assert re.search(r"; did you mean --[a-z0-9-]+\?", capsys.readouterr().err), mistyped


def test_a_flag_that_is_cut_short_is_not_taken_for_another(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        weir.cli.main(["demo", "--sec", "5"])
    assert "did you mean" in capsys.readouterr().err


def test_the_version_is_that_of_the_project(capsys: pytest.CaptureFixture[str]) -> None:
    for word in ("--version", "-V", "version"):
        assert weir.cli.main([word]) == 0
        assert capsys.readouterr().out.startswith(f"weir {PROJECT['project']['version']}, Python 3.")


@pytest.mark.parametrize("code", [*DISK_ERRORS, errno.ENOSPC, errno.EDQUOT], ids=errno.errorcode.get)
def test_what_the_file_system_refuses_is_one_line(
    code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Module:
        @staticmethod
        def main(_argv: list[str]) -> int:
            raise OSError(code, os.strerror(code), "some/file")

    monkeypatch.setattr(importlib, "import_module", lambda _name: Module)
    full = code in {errno.ENOSPC, errno.EDQUOT}
    assert weir.cli.main(["status"]) == (1 if full else 2)
    error = capsys.readouterr().err
    assert error.startswith(f"weir status: some/file: {os.strerror(code).lower()}")
    assert error.count("\n") == 1
    assert ("weir doctor" in error) is full


def test_a_verb_that_this_installation_has_not_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(weir.cli.VERBS, "train", ("not_installed.cli", "help"))
    assert weir.cli.main(["train"]) == 2
    assert capsys.readouterr().err.startswith("weir train: this installation has no not_installed; ")


def test_a_copy_that_is_not_installed_has_a_version_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", fail)
    assert weir.cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("weir of a checkout, Python 3.")


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_name: str) -> Any:
        raise ConnectionResetError(errno.ECONNRESET, "reset")

    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(ConnectionResetError):
        weir.cli.main(["status"])


def test_help_loads_nothing_and_is_there_at_once() -> None:
    slow = "{'argparse', 'numpy', 'pydantic', 'rich'}"
    code = f"import sys, weir.cli; weir.cli.main(['--help']); sys.exit(str(sorted({slow} & set(sys.modules))))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-1", "cp1252", "utf-8"])
def test_no_id_ends_a_command_whatever_the_terminal_can_show(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    assert weir.cli.main(["--version"]) == 0
    sys.stdout.write("\u5361 \xe9 \udcff\n")
    sys.stdout.flush()
    assert written.getvalue().decode(encoding).splitlines()[-1].startswith(("\u5361", "\\u5361"))
