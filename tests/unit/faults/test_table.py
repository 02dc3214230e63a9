from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import table
from tests.faults.table import BY_HAND, Result, write_page

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
