"""Quality in the console: each day with its intervals, what is too early, and that nobody has looked."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import orjson

from tests.unit.console.browser import Browser
from weir.inference.api.quality.route import SHOWN

PAGE = "/streams/transactions/quality"
YOUNG: dict[str, Any] = SHOWN["days"][0] | {
    "day": "2025-12-30", "known_fraud": 3, "labels_complete": None, "precision": None, "recall": None,
    "money_lost": None,
}  # fmt: skip


def keep(home: Path, document: dict[str, Any]) -> None:
    (home / "models").mkdir(exist_ok=True)
    (home / "models" / "quality.json").write_bytes(orjson.dumps(document))


def test_each_day_has_its_intervals_and_what_is_too_early_is_left_open(anna: Browser, tmp_path: Path) -> None:
    assert "weir quality --every 1h" in anna.get(PAGE).text
    keep(tmp_path, SHOWN | {"days": [YOUNG, *SHOWN["days"]]})
    page = anna.get(PAGE).text
    for text in ("57.0% (49.0% to 64.0%)", "66.0% (58.0% to 74.0%)", "19,634.79 USD (13,319.76 USD to 27,066.32 USD)",
                 "within 60.0 days", "is left out, as it gets no labels", ">80%<"):  # fmt: skip
        assert text in page
    young, old = page.split("<tr>")[2:4]
    assert (young.count(">-<"), old.count(">-<")) == (4, 0)
    rows = list(csv.DictReader(io.StringIO(anna.get(f"{PAGE}.csv").text)))
    assert [row["day"] for row in rows] == ["2025-12-30", "2025-12-01"]
    assert (rows[0]["recall_estimate"], rows[1]["recall_estimate"], rows[1]["money_lost_high"]) == (
        "", "0.66", "2706632.0",
    )  # fmt: skip


def test_a_file_that_is_damaged_is_as_none(anna: Browser, tmp_path: Path) -> None:
    keep(tmp_path, {})
    (tmp_path / "models" / "quality.json").write_bytes(b"{")
    assert "Nobody has looked" in anna.get(PAGE).text
    assert anna.get(f"{PAGE}.csv").text.count("\n") == 1
