"""Shells complete the commands that there are: bash is asked, zsh and fish where they are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import weir.cli
from weir.completion import SHELLS


def _script(shell: str) -> str:
    command = [sys.executable, "-m", "weir", "completion", shell]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def complete(typed: str, script: str) -> list[str]:
    """Ask bash what it would offer after ``typed``."""
    asked = (
        f"{script}\nread -ra COMP_WORDS <<< {typed!r}; [[ {typed!r} == *' ' ]] && COMP_WORDS+=('')\n"
        'COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _weir; printf "%s\\n" "${COMPREPLY[@]}"; complete -p weir'
    )
    done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    *offered, registered = done.stdout.splitlines()
    assert registered == "complete -o default -F _weir weir"
    return [word for word in offered if word]


def test_bash_completes_every_command_and_leaves_the_rest_to_files() -> None:
    script = _script("bash")
    assert complete("weir ", script) == list(weir.cli.VERBS)
    assert complete("weir de", script) == ["demo"]
    assert set(complete("weir d", script)) == {name for name in weir.cli.VERBS if name.startswith("d")}
    assert complete("weir nothing", script) == []
    assert complete("weir publish pay", script) == []


def test_bash_completes_the_names_of_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "bin"
    own.mkdir()
    (own / "weir").write_text(f'#!/bin/sh\nexec {sys.executable} -m weir "$@"\n')
    (own / "weir").chmod(0o755)
    monkeypatch.setenv("PATH", f"{own}:{os.environ['PATH']}")
    assert complete("weir dlq list --stream ", _script("bash")) == ["clicks", "transactions", "sessions", "transfers"]
    assert complete("weir process --stream tra", _script("bash")) == ["transactions", "transfers"]
    subprocess.run([sys.executable, "-m", "weir", "init", "shop", "--like", "clicks"], cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path / "shop")
    assert complete("weir offsets show --stream ", _script("bash")) == ["clicks"]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_names_every_command_and_is_sound(shell: str, tmp_path: Path) -> None:
    script = _script(shell)
    assert [name for name in weir.cli.VERBS if name not in script] == []
    if shutil.which(shell):
        (path := tmp_path / "script").write_text(script)
        subprocess.run([shell, "-n", str(path)], check=True, timeout=60)


def test_the_words_of_a_line_of_help_are_data_to_every_shell() -> None:
    hostile = {"up": 'it\'s `date` $(date) "x"'}
    for render in SHELLS.values():
        assert render(hostile).count("'\"'\"'") == (0 if render is SHELLS["bash"] else 1)


def test_a_shell_that_is_none_is_refused_with_those_that_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        weir.cli.main(["completion", "bahs"])
    assert refused.value.code == 2
    assert "did you mean bash?" in capsys.readouterr().err
