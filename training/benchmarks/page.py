"""The page of results, docs/results/learning.md: each benchmark writes a section, with command, machine and date."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Final

NAME: Final = "learning.md"
_PACKAGES: Final = ("lightgbm", "numpy", "scikit-learn", "xgboost-cpu")
_HEADING: Final = "\n## "
_EMPTY: Final = """# How well models learn

Made by the commands that it names; `docs/benchmarks.md` says what they do.
"""


def write_section(folder: Path, title: str, about: str, body: str) -> Path:
    """Put a section into the page in the place of the one of that title, or at the end; return the page."""
    page = folder / NAME
    folder.mkdir(parents=True, exist_ok=True)
    before = page.read_text(encoding="utf-8") if page.exists() else _EMPTY
    page.write_text(replace_section(before, title, f"{about}\n\n{body}"), encoding="utf-8")
    return page


def replace_section(page: str, title: str, body: str) -> str:
    r"""Return a page with one section of it replaced.

    >>> replace_section("# A\n\n## b\n\nold\n\n## c\n\nkept\n", "b", "new\n")
    '# A\n\n## b\n\nnew\n\n## c\n\nkept\n'
    >>> replace_section("# A\n", "b", "new\n")
    '# A\n\n## b\n\nnew\n'
    """
    head, *sections = page.rstrip("\n").split(_HEADING)
    titles = [section.partition("\n")[0] for section in sections]
    section = f"{title}\n\n{body.strip()}\n"
    if title in titles:
        sections[titles.index(title)] = section
    else:
        sections.append(section)
    return _HEADING.join(each.rstrip("\n") + "\n" for each in [head, *sections])


def describe(command: str, date: str) -> str:
    """Say by which command, when and on which machine figures were made."""
    packages = ", ".join(f"{name} {metadata.version(name)}" for name in _PACKAGES)
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"`{command}`, {date}: {machine}, load {os.getloadavg()[0]:.1f} at the end.\n{packages}."


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown; the first column is text, the others are figures.

    >>> print(table(["model", "AUC"], [["trees", ".87"]]), end="")
    | model | AUC |
    |---|---:|
    | trees | .87 |
    """
    rule = "|---|" + "---:|" * (len(heads) - 1)
    lines = [f"| {' | '.join(each)} |" for each in rows]
    return "\n".join([f"| {' | '.join(heads)} |", rule, *lines]) + "\n"
