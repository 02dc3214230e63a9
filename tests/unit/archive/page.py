"""A page's commands in this process: a start of the command line takes two seconds, and a page has a dozen of them."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

import weir.cli


class Said(NamedTuple):
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str


def run_line(line: str, capsys: pytest.CaptureFixture[str]) -> Said:
    """Run one command of a page: ours in this process, others as they are; ``> FILE`` at its end is understood."""
    words = [os.path.expandvars(word) for word in shlex.split(line, comments=True)]
    target = words.pop() if ">" in words else ""
    if target:
        words.remove(">")
    if words[0] == "weir":
        capsys.readouterr()
        said = Said(weir.cli.main(words[1:]), *capsys.readouterr())
    else:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        said = Said(done.returncode, done.stdout, done.stderr)
    if target:
        Path(target).write_text(said.out)
    return said


def run_block(script: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Run the commands of a block, which must all end well, and return what they print."""
    said = [(line, run_line(line, capsys)) for line in script.splitlines()]
    assert [(line, done) for line, done in said if done.code] == []
    return "".join(done.out for line, done in said if " > " not in line)
