"""A page of the documentation, followed to the letter: files are written, commands run, and what they say compared.

A file is a block that follows a line with its name alone, as in ```` `weir.toml`: ````. A command is a line of a
``console`` block that begins with ``$``; the lines after it are its output, in which a line of three dots stands for
any lines. A hash and a duration are not compared, nor a number of a demo.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"(?:^`([\w./-]+)`:\n\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)


@dataclass(frozen=True)
class Step:
    """A file to write or a command to run, with the text or the output that the page has of it."""

    file: str
    command: str
    text: str


def read_steps(page: str) -> Iterator[Step]:
    for file, language, text in _BLOCK.findall(page):
        if language == "sh":
            continue
        if language == "console":
            yield from (Step("", command, output) for command, output in _COMMAND.findall(text))
        else:
            yield Step(file, "", text)


def read_scripts(page: str) -> list[str]:
    """Return the ``sh`` blocks: each is a script as a whole, as what it starts runs on."""
    return [text for _, language, text in _BLOCK.findall(page) if language == "sh"]


def follow(page: Path, folder: Path, *, leave_out: tuple[str, ...] = ()) -> int:
    """Follow a page in an empty folder; commands that begin with ``leave_out`` are not run. Return how many were."""
    ran = 0
    for step in read_steps(page.read_text()):
        if step.command.startswith("cd "):
            folder /= step.command.removeprefix("cd ")
        elif step.file:
            (folder / step.file).write_text(step.text)
        elif step.command and not step.command.startswith(leave_out):
            _run(step, folder)
            ran += 1
    return ran


def _run(step: Step, folder: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTEST_ADDOPTS": "-p no:cacheprovider"}
    done = subprocess.run(["bash", "-c", step.command], cwd=folder, env=environment, capture_output=True, check=False)
    shown = done.stdout.decode()
    found, expected = _without_chance(shown), _without_chance(step.text)
    if step.command.startswith("weir demo"):
        found, expected = (re.sub(r" *\d[\d,.]*", " N", text) for text in (found, expected))
    pattern = re.escape(expected).replace(re.escape("...\n"), "(?:.*\n)*")
    assert re.fullmatch(pattern, found), (
        f"$ {step.command}\nfound:\n{found}{done.stderr.decode()}\nexpected:\n{expected}"
    )


def _without_chance(text: str) -> str:
    return re.sub(r"\bin \d+\.\d+s\b.*", "in 0s", re.sub(r"\b[0-9a-f]{16}\b", "HASH", text))
