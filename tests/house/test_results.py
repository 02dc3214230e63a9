"""Figures that are computed from measured ones are what the arithmetic gives, and the measured ones were measured."""

from __future__ import annotations

import re

from tests.house.source import ROOT

RESULTS = ROOT / "docs" / "results"
PAGE = (RESULTS / "service.md").read_text()


def _rows(heading: str) -> list[list[str]]:
    table = PAGE.partition(heading)[2].partition("\n\n")[0]
    lines = (line.strip("|").split("|") for line in table.splitlines() if line.startswith("| "))
    return [[cell.strip() for cell in line] for line in lines]


def _number(cell: str) -> float:
    return float(cell.replace(",", "").rstrip("%"))


def test_dollars_per_million_are_machines_times_price_over_decisions() -> None:
    price = float(re.findall(r"\*\*([\d.]+) dollars per hour\*\*", PAGE)[0])
    rows = _rows("| what | machines | decisions/s | dollars per million |")
    assert len(rows) == 6
    for _, machines, rate, dollars in rows:
        found = _number(machines) * price / (_number(rate) * 3_600) * 1_000_000
        assert f"{found:.4f}" == dollars


def test_the_rate_and_latencies_of_the_costs_are_those_of_the_benchmark() -> None:
    bench = (RESULTS / "bench.md").read_text()
    (rate,) = re.findall(r"both stages at once, exactly once[^|]*\| [^|]* \| ([\d,]+) \|", bench)
    assert f"flat out: both stages at once | 1 | {rate} |" in PAGE
    for at in ("1,000", "5,000"):
        (p99,) = re.findall(rf"committed decision at {at}/s, p99 ms \| [^|]*\| (\d+) \|", bench)
        assert f"at {at}/s, p99 {p99} ms" in PAGE


def test_availability_is_one_less_the_late_seconds_of_a_fault_over_the_time_between_two() -> None:
    rows = _rows("| fault | times | seconds of stream | due | decided within 1 s | share | late seconds a fault |")
    assert len(rows) > 3
    for _, times, span, due, decided, share, late, *shares in rows:
        assert share == f"{_number(decided) / _number(due):.2%}"
        counted = (1 - _number(decided) / _number(due)) * _number(span) / _number(times)
        assert abs(counted - _number(late)) <= 0.5 / _number(times) + 0.01  # the seconds of stream are rounded
        for days, of_days in zip((1, 7, 30), shares, strict=True):
            assert of_days == f"{1 - _number(late) / (days * 86_400):.4%}"
