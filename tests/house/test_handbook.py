"""Documents for developers name files that are there, and their drawings are about the code as it is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.faults.catalogue import CATALOGUE
from tests.faults.mutants import MUTANTS
from tests.faults.runs import load_catalogue
from tests.house.handbook import blocks, missing_paths, section
from tests.house.source import ROOMS, ROOT, name_of, product_files
from weir.infra.settings import Settings

PAGES = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/architecture.md", "tests/README.md"]


DOCUMENTS = sorted({*PAGES, "CHANGELOG.md", *(name_of(path) for path in (ROOT / "docs").rglob("*.md"))})


def _anchors(text: str) -> set[str]:
    """Return what a link can name of a page: its headings, as forges write them."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _read(page: str) -> str:
    return (ROOT / page).read_text()


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_exists(page: str) -> None:
    assert missing_paths(_read(page)) == []


@pytest.mark.parametrize("page", DOCUMENTS)
def test_every_link_of_a_page_leads_to_a_file_and_to_a_heading_of_it(page: str) -> None:
    for link, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", _read(page)):
        target = (ROOT / page).parent / link if link else ROOT / page
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target.read_text()), f"{link}#{anchor}"


def test_a_heading_is_named_as_forges_name_it() -> None:
    assert _anchors("# Weir\n## Where do I change…\ntext\n### What it's for, `a_b`\n") == {
        "weir",
        "where-do-i-change",
        "what-its-for-a_b",
    }


def test_the_list_of_decisions_has_each_with_its_title() -> None:
    titles = {path.name: path.read_text().partition("\n")[0] for path in (ROOT / "docs/adr").glob("0*.md")}
    listed = re.findall(r"^(\d+)\. \[(.*)\]\((.*)\)$", _read("docs/adr/README.md"), re.MULTILINE)
    assert {name: f"# {number}. {title}" for number, title, name in listed} == titles


@pytest.mark.parametrize("page", DOCUMENTS)
def test_every_block_is_closed(page: str) -> None:
    assert len(re.findall(r"^ *```", _read(page), re.MULTILINE)) % 2 == 0


def test_a_file_that_is_not_there_is_found() -> None:
    assert missing_paths("`streaming/core/kernel.py`, `streaming/core/nothing.py`, `tests/golden`, `NOTHING.md`") == [
        "NOTHING.md",
        "streaming/core/nothing.py",
    ]


def test_the_faults_and_guards_that_are_named_exist() -> None:
    load_catalogue()
    named = re.findall(r"^make (\S+) FAULT=(\S+)", _read("CONTRIBUTING.md"), re.MULTILINE)
    assert len(named) == 3
    assert all(name in (MUTANTS if target == "faults-mutants" else CATALOGUE) for target, name in named)


def test_a_section_has_the_blocks_of_its_language() -> None:
    assert len(blocks(section(_read("CONTRIBUTING.md"), "Add a feature"), "sh")) == 2


def test_every_rate_of_the_comparison_is_one_that_was_measured() -> None:
    compared = section(_read("README.md"), "How it compares")
    rates = re.findall(r"^\| [^|]+ \| ([\d,]+) \|", compared, re.MULTILINE)
    measured = _read("docs/results/bench.md") + _read("docs/results/pyflink.md")
    assert len(rates) == 7
    assert [rate for rate in rates if not re.search(rf"\| {rate} \|", measured)] == []
    assert re.search(r"20\d\d-\d\d-\d\d", compared)


# --- drawings ---------------------------------------------------------------------------------------------------------

ARCHITECTURE = "docs/architecture.md"
KINDS = ("flowchart", "sequenceDiagram", "stateDiagram-v2")


def _room(parts: tuple[str, ...]) -> str:
    """Return the folder of a module as the drawing has it: cores stand apart."""
    return "_".join(parts[:2]) if parts[1:2] == ("core",) else parts[0]


def _imports(path: Path) -> set[str]:
    """Return the dotted names that a file imports of ours, without ``weir`` in front."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("weir"):
            found |= {f"{node.module}.{name.name}" for name in node.names}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names if name.name.startswith("weir.")}
    return {name.removeprefix("weir.") for name in found}


def _arrows_of_the_code() -> set[tuple[str, str]]:
    found = set()
    for path in product_files():
        here = _room(path.relative_to(ROOT).parts)
        rooms = {_room(tuple(name.split("."))) for name in _imports(path) if name.split(".")[0] in ROOMS}
        found |= {(here, there) for there in rooms if there != here}
    return found


def test_the_drawing_of_imports_is_what_the_code_imports() -> None:
    (drawing,) = blocks(section(_read(ARCHITECTURE), "Folders, and the direction of imports"), "mermaid")
    drawn = re.findall(r"^    (\w+) --> (\w+)$", drawing, re.MULTILINE)
    assert set(drawn) == _arrows_of_the_code()
    assert len(drawn) == len(set(drawn)) == len(drawing.splitlines()) - 1


@pytest.mark.parametrize("number", range(6))
def test_a_drawing_is_of_a_known_kind_and_its_brackets_are_closed(number: int) -> None:
    drawings = blocks(_read(ARCHITECTURE), "mermaid")
    assert len(drawings) == 6
    drawing = drawings[number]
    assert drawing.startswith(KINDS)
    for opening, closing in ("()", "[]", "{}"):
        assert drawing.count(opening) == drawing.count(closing)
    assert drawing.count('"') % 2 == 0
    assert len(re.findall(r"^ *subgraph ", drawing, re.MULTILINE)) == len(re.findall(r"^ *end$", drawing, re.MULTILINE))


def test_the_steps_and_topics_that_are_drawn_are_those_of_the_code() -> None:
    page, loop = _read(ARCHITECTURE), _read("streaming/loop.py")
    named = re.findall(r"(\d) (gather|judge|kernel|commit|apply)\b", section(page, "The five steps"))
    assert len(named) == 5
    for number, name in named:
        assert f"{number}. *{name.capitalize()}*" in loop
    topics = set(re.findall(r"\[\(([a-z.]+)\)\]", page))
    assert topics == {value for value in vars(Settings().topics).values() if value in topics}
    assert len(topics) == 5
