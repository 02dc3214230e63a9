"""What documents for developers hold: blocks of code by their language, and the files that they name."""

from __future__ import annotations

import re
import textwrap

from tests.house.source import ROOT

_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_PATH = re.compile(r"`((?:[a-z_]+/)+[\w.*-]*|[A-Z]+\.md|Makefile)`")
_SPEAKER = "## "


def section(text: str, title: str) -> str:
    """Return what stands under a heading, up to the next one of its rank.

    >>> section("## a\\n1\\n## b\\n2\\n", "b")
    '2\\n'
    """
    return text.partition(f"{_SPEAKER}{title}\n")[2].partition(f"\n{_SPEAKER}")[0]


def blocks(text: str, language: str) -> list[str]:
    """Return the blocks of a language, without what sets them in."""
    return [textwrap.dedent(body) for _, found, body in _BLOCK.findall(text) if found == language]


def missing_paths(text: str) -> list[str]:
    """Return the files and folders that a text names and that are not there; what is in ``build/`` is made."""
    named = {name for name in _PATH.findall(text) if not name.startswith("build/")}
    return sorted(name for name in named if not any(ROOT.glob(name.rstrip("/"))))
