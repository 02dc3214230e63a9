"""Every command that a document shows: in its blocks, line by line, and in its sentences."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

from tests.house.source import ROOT, name_of

RECORDS = {"docs/results/field.md", "CHANGELOG.md"}
"""What was, in the words of then; their commands may be gone."""
_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`((?:[A-Z_]+=\S+ )*(?:weir|make|\.venv/bin/\S+|python -m) [^`]+)`")
_HERE = re.compile(r"<<(\w+)\n.*?^\1$", re.MULTILINE | re.DOTALL)
_OURS = re.compile(r"(?:^|[\s(;&|])((?:weir|make|\.venv/bin/\w[\w-]*|python -m) [^|&;()>#]*)")
_BEGINS = re.compile(r"^(?:[A-Z_]+=\S+ )*(?:\.venv/bin/|weir |make |\. |source |curl |zcat |cat )")


def pages() -> list[Path]:
    """Return the documents whose commands must work now."""
    found = [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / ".github").rglob("*.md"),
        ROOT / "tests/README.md",
    ]
    return sorted(path for path in found if name_of(path) not in RECORDS)


def scripts(text: str) -> Iterator[tuple[str, str]]:
    """Yield the language and the text of each block that holds commands; of a ``console``, its commands alone."""
    for _, language, body in _BLOCK.findall(text):
        lines = textwrap.dedent(body)
        if language == "console":
            yield language, "".join(f"{line}\n" for line in re.findall(r"^\$ (.*)$", lines, re.MULTILINE))
        elif language == "sh" or (not language and _BEGINS.match(lines)):
            yield language, lines


def commands(text: str) -> list[str]:
    """Return our own commands of a document, without what is piped, chained or said of them.

    >>> commands("Run `weir up`, or\\n```sh\\ncurl -s x | weir publish -  # sent\\nA=1 make demo && weir down\\n```\\n")
    ['weir publish -', 'make demo', 'weir down', 'weir up']
    """
    found = [command for _, script in scripts(text) for command in _of_lines(_HERE.sub("", script))]
    inline = (command for named in _INLINE.findall(_BLOCK.sub("", text)) for command in _of_lines(named))
    return [*found, *(command for command in inline if not re.search(r"[<…]", command))]


def _of_lines(script: str) -> Iterator[str]:
    for line in script.splitlines():
        for command in _OURS.findall(re.sub(r"(^|\s)#.*", "", line)):
            yield " ".join(command.split())
