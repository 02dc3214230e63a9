"""Quotes in CSV: a stray one costs its own line, a real one may span lines, and no line is lost or counted twice."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.infra.user_files.files import GOOD, payments, read, write_csv
from weir.infra.user_files.delimited import read_delimited, split_cells
from weir.infra.user_files.lines import Line

CELLS = 4


def rows_of(text: str, cells: int = CELLS) -> tuple[dict[int, list[str]], list[int], int]:
    """Good rows by their first line, the lines of bad ones, and how many lines are accounted for."""
    lines = [Line(number, line) for number, line in enumerate(text.split("\n"), 1)]
    good: dict[int, list[str]] = {}
    bad: list[int] = []
    accounted = 0
    for block in read_delimited(iter(lines), ",", [str(place) for place in range(cells)]):
        columns = [block.columns[str(place)] for place in range(cells)] if block.numbers else []
        good |= {number: [column[row] for column in columns] for row, number in enumerate(block.numbers)}
        bad += [number for number, _ in block.bad]
        assert block.lines == len(block.numbers) + len(block.bad) + block.blank + block.continued
        accounted += block.lines
    assert accounted == len(lines)
    return good, bad, accounted


def test_one_stray_quote_costs_one_line_of_five_hundred(tmp_path: Path) -> None:
    rows = payments(501)
    path = write_csv(tmp_path / "a.csv", rows)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1].replace("mer_1", '"Joe'), *lines[2:]]) + "\n")
    found = read(path)
    assert (found.outcome.good, found.outcome.bad, found.outcome.lines) == (500, 1, 502)
    assert found.errors == [(2, "malformed_line")]
    assert "cell 4" in found.messages[0]
    assert "line 2 alone" in found.messages[0]


@pytest.mark.parametrize("column", range(len(GOOD)))
@pytest.mark.parametrize("where", ["first", "middle", "last"])
@pytest.mark.parametrize("form", ['"{}', '{}"', 'a"{}', '"{}"x', '""{}'])
def test_a_quote_out_of_place_in_any_column_and_line_takes_no_other_line(
    tmp_path: Path, column: int, where: str, form: str
) -> None:
    path = write_csv(tmp_path / "a.csv", payments(30))
    lines = path.read_text().splitlines()
    at = {"first": 1, "middle": 15, "last": 30}[where]
    cells = lines[at].split(",")
    cells[column] = form.format(cells[column])
    lines[at] = ",".join(cells)
    path.write_text("\n".join(lines) + "\n")
    found = read(path)
    assert {number for number, _ in found.errors} <= {at + 1}
    assert found.outcome.good >= 29


def test_a_cell_of_several_lines_does_not_shift_the_numbers_after_it(tmp_path: Path) -> None:
    rows = payments(3)
    rows[0]["merchant_id"] = "two\nlines"
    rows[2]["mcc"] = "none"
    found = read(write_csv(tmp_path / "a.csv", rows))
    assert (found.outcome.good, found.outcome.continued, found.errors) == (2, 1, [(5, "mcc")])


@pytest.mark.parametrize("column", range(CELLS))
def test_a_cell_of_several_lines_is_one_cell_in_any_column(column: int) -> None:
    cells = ["a", "b", "c", "d"]
    cells[column] = "one, two\nthree\n\nfour"
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    good, bad, lines = rows_of(text.getvalue() + "1,2,3,4")
    assert (good[1], good[5], bad, lines) == (cells, ["1", "2", "3", "4"], [], 5)


# a cell that has both line ends and separators can look like rows of its own, and is told then
cell = st.text(st.sampled_from('ab ",'), max_size=6) | st.text(st.sampled_from('ab "\n'), max_size=6)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(cell.map(str.strip), min_size=CELLS, max_size=CELLS), min_size=1, max_size=6))
@example([["", "", 'a\n"', ",,,"], ["", "", '"\na', ""]])
def test_what_a_csv_writer_quoted_is_read_back_or_told(rows: list[list[str]]) -> None:
    """Python's own writer is the oracle: a row is read as it was written, or bad; none is read as something else."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    starts = []
    for row in rows:
        starts.append(text.getvalue().count("\n") + 1)
        writer.writerow(row)
    good, _, _ = rows_of(text.getvalue().removesuffix("\n"))
    for number, cells in good.items():
        assert number in starts
        assert cells == rows[starts.index(number)]


@settings(max_examples=500, deadline=None)
@given(st.data(), st.integers(3, 40))
def test_random_quotes_cost_no_line_without_one(data: st.DataObject, count: int) -> None:
    """A line with no quote in it is always read as the row it is, wherever quotes were put into others."""
    lines = [f"t{number},card,mer,{number}" for number in range(count)]
    for place in data.draw(st.lists(st.integers(0, count - 1), max_size=5)):
        at = data.draw(st.integers(0, len(lines[place])))
        lines[place] = lines[place][:at] + '"' + lines[place][at:]
    good, bad, accounted = rows_of("\n".join(lines))
    assert accounted == count
    for number, line in enumerate(lines, 1):
        if '"' not in line:
            assert good[number] == line.split(",")
        else:
            assert number in good or number in bad or number - 1 in good or number - 1 in bad


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ('a,"b,c",d', ["a", "b,c", "d"]),
        ('a, "b" ,c', ["a", "b", "c"]),
        ('5" pipe,x', ['5" pipe', "x"]),
        ('"say ""hi""",', ['say "hi"', ""]),
        ('""', [""]),
    ],
)
def test_what_a_quote_means(text: str, cells: list[str]) -> None:
    assert split_cells(text, ",").cells == cells
