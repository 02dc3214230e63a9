from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults import table
from tests.faults.availability import InTime, measure
from tests.faults.table import BY_HAND, Result, as_text, write_page

ROW = Result("flushall", 5, 2_500, 0, 0, 0, 0.4, 0.9)


def test_a_new_table_leaves_what_is_written_by_hand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = tmp_path / "faults.md"
    page.write_text(f"# Faults\n\nof an older run\n\n{BY_HAND}\nAll were caught.\n")
    monkeypatch.setattr(table, "PAGE", page)
    write_page({7: [ROW]}, command="make faults", seconds=60.0)
    text = page.read_text()
    assert text.endswith(f"\n\n{BY_HAND}\nAll were caught.\n")
    assert "of an older run" not in text
    assert "## Seed 7" in text


def test_a_first_page_needs_no_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(table, "PAGE", tmp_path / "new" / "faults.md")
    write_page({7: [ROW]}, command="make faults", seconds=60.0)
    assert (tmp_path / "new" / "faults.md").read_text().startswith("# Faults\n")


def test_what_was_decided_in_time_is_a_share_of_what_was_due() -> None:
    found = measure([(0, 5_000), (100, 5_100), (6_000, 6_900), (7_000, 8_001), (7_500, 9_000), (8_000, 8_000)])
    assert (found.due, found.decided, found.late_seconds) == (4, 2, 1)
    assert found.share == 0.5
    assert measure([]).share is None


def test_the_table_shows_the_share_and_leaves_it_out_where_nothing_was_due() -> None:
    shown = as_text([replace(ROW, in_time=InTime(10_000, 9_876, late_seconds=3)), ROW]).splitlines()
    assert shown[2].endswith("| 0.90 | 98.76% | 3 |")
    assert shown[3].endswith("| 0.90 |  | 0 |")
