from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import service_page
from tests.faults.availability import InTime
from tests.faults.catalogue import CATALOGUE
from tests.faults.runs import load_catalogue
from tests.faults.service_page import HEADING, OF_SERVICE, as_section, write_section
from tests.faults.table import Result


def row(fault: str, times: int, due: int, decided: int, span_seconds: float) -> Result:
    counted = InTime(due, decided, span_seconds=span_seconds)
    return Result(fault, times, due, 0, 0, 0, None, None, in_time=counted)


FOUND = {
    1: [row("kill-random", 4, 1_000, 900, 100.0), row("clock-off", 1, 500, 500, 50.0)],
    2: [row("kill-random", 1, 1_000, 950, 200.0), row("refused-starts", 7, 0, 0, 0.0)],
}


def section() -> str:
    return as_section(FOUND, command="make faults", seconds=60.0)


def test_a_fault_has_one_row_over_all_seeds_and_what_it_makes_late_is_shared_among_its_times() -> None:
    """7.5 % of 300 s are 22.5 s, of five kills: 4.5 s each, and 4.5 / 86,400 of a day."""
    (line,) = [line for line in section().splitlines() if "`kill-random`" in line]
    assert line.endswith("| 5 | 300 | 2,000 | 1,850 | 92.50% | 4.50 | 99.9948% | 99.9993% | 99.9998% |")


def test_other_faults_count_in_the_sum_and_those_that_were_due_nothing_do_not() -> None:
    assert section().count("| `") == section().count("`clock-off`") == 0
    assert "all 3 drills together" in section()
    assert "2,500 payments were due and 2,350 of them, 94.00%," in section()


def test_the_command_and_the_date_stand_above_the_table() -> None:
    assert section().startswith(f"{HEADING}\n`make faults` on ")


def test_every_fault_of_a_service_is_one_that_is_run() -> None:
    load_catalogue()
    assert set(OF_SERVICE) <= set(CATALOGUE)


def test_the_section_is_written_in_place_of_the_one_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = tmp_path / "service.md"
    page.write_text(f"# Costs\n\nby hand\n\n{HEADING}\nolder\n")
    monkeypatch.setattr(service_page, "PAGE", page)
    write_section(FOUND, command="make faults", seconds=60.0)
    assert page.read_text() == f"# Costs\n\nby hand\n\n{section()}"
