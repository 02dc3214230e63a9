"""The site of the documents has every page, and its table of contents names no page that is not there."""

from __future__ import annotations

import re
from pathlib import Path

from tests.house.source import ROOT, name_of

CONFIG = (ROOT / "mkdocs.yml").read_text()
READERS = ("producer", "consumer", "data-scientist", "analyst", "lead", "operator", "contributor")


def _contents() -> list[str]:
    nav = CONFIG.partition("\nnav:\n")[2].partition("\n\n")[0]
    return re.findall(r": ([\w./-]+)$", nav, re.MULTILINE)


def _is_named(page: Path, names: list[str]) -> bool:
    return any(name_of(page) == name or f"{name_of(page.parent)}/" == name for name in names)


def test_every_page_is_in_the_table_of_contents() -> None:
    named = _contents()
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "tests" / "README.md"]
    assert [name_of(page) for page in pages if not _is_named(page, named)] == []
    assert not _is_named(ROOT / "docs" / "nothing.md", named)


def test_the_table_of_contents_names_what_is_there_once() -> None:
    named = _contents()
    assert [name for name in named if not (ROOT / name).exists()] == []
    assert len(named) == len(set(named)) > 15


def test_there_is_one_page_for_each_kind_of_reader_and_the_readme_leads_to_it() -> None:
    pages = {path.stem for path in (ROOT / "docs" / "readers").glob("*.md")}
    assert pages == set(READERS)
    linked = re.findall(r"\]\(docs/readers/([\w-]+)\.md\)", (ROOT / "README.md").read_text())
    assert sorted(linked) == sorted(READERS)


def test_the_site_asks_for_no_font_of_another_host() -> None:
    assert "  font: false\n" in CONFIG
    assert re.findall(r"https?://", CONFIG) == []
