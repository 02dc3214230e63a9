"""The README's picture is a drawing of the demo's view, small, and loads nothing."""

from __future__ import annotations

import re

import pytest

from tests.demo_picture import BYTES_MAX, choose_view, draw
from tests.house.source import ROOT

WIPE = "\r\x1b[2K" + "\x1b[1A\x1b[2K" * 25
VIEWS = [
    f"weir\nlatest declined {number}\n\x1b[1;31mDECLINE\x1b[0m {number}\n" + "|\n" * 22 + "run up"
    for number in range(4)
]


def test_the_view_after_three_quarters_of_the_drawings_is_kept_with_its_colours() -> None:
    shown = "servers\n\x1b[?25l" + WIPE.join(VIEWS) + WIPE + "\x1b[?25hsummary\n"
    assert "\x1b[1;31mDECLINE\x1b[0m 3" in choose_view(shown)
    assert "\x1b[?25" not in choose_view(shown)


def test_a_run_without_a_view_makes_no_picture() -> None:
    with pytest.raises(ValueError, match="no drawing"):
        choose_view("weir demo: port 8000 is taken\n")


@pytest.mark.parametrize(
    "svg", [draw(VIEWS[0], "a run"), (ROOT / "docs/pictures/demo.svg").read_text()], ids=["drawn", "committed"]
)
def test_a_picture_is_small_and_loads_nothing(svg: str) -> None:
    assert len(svg) < BYTES_MAX
    assert "DECLINE" in svg
    assert [place for place in re.findall(r"url\(([^)]*)\)", svg) if not place.startswith("#")] == []
    assert re.findall(r"@font-face|@import|<script|<image|href", svg) == []


def test_the_readme_shows_it() -> None:
    assert "](docs/pictures/demo.svg)" in (ROOT / "README.md").read_text()
