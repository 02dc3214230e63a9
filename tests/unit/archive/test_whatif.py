"""What-if: what is computed is what plain Python counts, and a past that was altered is named."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given
from hypothesis import strategies as st

import weir.cli
from tests.unit.archive.decided import build_archive
from weir.archive.whatif import past
from weir.archive.whatif.figures import Tally
from weir.archive.whatif.labels import FRAUD, GOOD, UNKNOWN, YOUNG, LabelIndex
from weir.archive.whatif.page import _write_table
from weir.archive.whatif.plots import draw_bars
from weir.monitoring.terminal import build_table
from weir.schemas.durations import DAY_MS

RULES = """rules:
  - name: large_again
    then: DECLINE
    when: card_event_count_1d >= 2 and transaction_amount > 20000
    why: tried
  - name: online
    then: TAG
    when: transaction_is_online > 0
    why: tried
"""
Row = dict[str, Any]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    build_archive(home)
    (home / "rules.yaml").write_text(RULES)
    return home


@pytest.fixture
def _at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIR_HOME", str(home))
    monkeypatch.chdir(home)


def _run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Row]:
    code = weir.cli.main(["whatif", *words, "--json"])
    told = capsys.readouterr()
    return code, json.loads(told.out) if told.out else {"error": told.err}


def _read(home: Path, topic: str) -> list[Row]:
    rows: list[Row] = DeltaTable(str(home / "archive" / topic)).to_pyarrow_table().to_pylist()
    return rows


def _pairs(home: Path) -> list[tuple[Row, Row]]:
    """Return each decision with its feature row."""
    rows = {(row["source_partition"], row["source_offset"]): row for row in _read(home, "features")}
    return [(each, rows[each["source_partition"], each["source_offset"]]) for each in _read(home, "decisions")]


def _decide(decision: Row, row: Row) -> tuple[str, str]:
    """Decide by the rules above in plain Python: lists stay, rules are replaced."""
    if decision["decided_by"].startswith(("allow_list", "block_list")):
        return decision["decision"], decision["decided_by"]
    count, amount = row["card_event_count_1d"], row["transaction_amount"]
    if count is not None and amount is not None and count >= 2 and amount > 20_000:
        return "DECLINE", "large_again"
    manifest = json.loads((Path(__file__).parents[2] / "golden/expected/bundle/manifest.json").read_text())
    cut, score = manifest["thresholds"], decision["score"]
    if score is None:
        return "REVIEW", "fallback"
    return ("DECLINE" if score >= cut["decline"] else "REVIEW" if score >= cut["review"] else "APPROVE"), "model"


def _newest_verdicts(home: Path) -> dict[tuple[str, str], bool | None]:
    found: dict[tuple[str, str], bool | None] = {}
    rank = {False: 0, True: 1, None: 2}
    for label in sorted(_read(home, "labels"), key=lambda each: (each["label_time_ms"] or 0, rank[each["is_fraud"]])):
        if label["id"] is not None:
            found[label["card_id"], label["id"]] = label["is_fraud"]
    return found


@pytest.mark.usefixtures("_at_home")
def test_flips_and_figures_are_those_that_plain_python_counts(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = _run(capsys, "--rules", "rules.yaml")
    made = [(decision, *_decide(decision, row)) for decision, row in _pairs(home)]
    flips = Counter(f"{each['decision']} → {then}" for each, then, _ in made if each["decision"] != then)
    assert (code, found["flips"]) == (0, dict(flips))
    assert sum(flips.values()) > 20
    verdicts = _newest_verdicts(home)
    known = [(each, then, verdicts.get((each["card_id"], each["id"]))) for each, then, _ in made]
    caught = sum(verdict is True and then != "APPROVE" for _, then, verdict in known)
    hurt = sum(verdict is False and then == "DECLINE" for _, then, verdict in known)
    let_through = sum(verdict is True and then == "APPROVE" for _, then, verdict in known)
    stopped = sum(verdict is not None and then != "APPROVE" for _, then, verdict in known)
    good = [then for _, then, verdict in known if verdict is False]
    would_be = found["figures"]["would_be"]
    assert (would_be["caught"], would_be["let_through"], would_be["hurt"]) == (caught, let_through, hurt)
    assert caught > 0
    assert would_be["precision"] == pytest.approx(caught / stopped)
    assert would_be["recall"] == pytest.approx(caught / (caught + let_through))
    assert would_be["false_positive_rate"] == pytest.approx(sum(then != "APPROVE" for then in good) / len(good))
    (large, online) = found["rules"]
    assert large["decides"] == sum(by == "large_again" for _, _, by in made)
    assert online["hits"] == sum((row["transaction_is_online"] or 0) > 0 for _, row in _pairs(home))


@pytest.mark.usefixtures("_at_home")
def test_the_past_comes_out_as_it_was_recorded(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = _run(capsys, "--rules", "rules.yaml")
    rows = len(_read(home, "decisions"))
    assert (code, found["reproduction"]["checked"], found["reproduction"]["differing"]) == (0, rows, 0)


@pytest.mark.parametrize(
    ("column", "value"),
    [("decision", "DECLINE"), ("decided_by", "device_farm"), ("tags", ["WATCH_LIST"]), ("shadow_rules", ["tried"])],
)
def test_a_decision_that_was_altered_is_named_by_its_coordinates(
    column: str,
    value: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = build_archive(tmp_path)
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    table = DeltaTable(str(root / "decisions"))
    rows = table.to_pyarrow_table()
    (place, *_) = [n for n, row in enumerate(rows.to_pylist()) if row["decision"] == "APPROVE"]
    altered = rows[column].to_pylist()
    altered[place] = value
    index = rows.schema.get_field_index(column)
    write_deltalake(table, rows.set_column(index, rows.schema.field(index), pa.array(altered)), mode="overwrite")
    code, found = _run(capsys, "--thresholds", "0.5,0.9")
    (difference,) = found["reproduction"]["differences"]
    row = rows.slice(place, 1).to_pylist()[0]
    assert (code, difference["partition"], difference["offset"]) == (1, row["partition"], row["offset"])
    assert difference["field"] == column
    assert row["id"] not in json.dumps(found)
    assert row["card_id"] not in json.dumps(found)


@pytest.mark.usefixtures("_at_home")
def test_a_day_that_is_read_in_many_parts_gives_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, whole = _run(capsys, "--rules", "rules.yaml")
    monkeypatch.setattr(past, "PART_ROWS", 100)
    _, found = _run(capsys, "--rules", "rules.yaml")
    assert found | {"examples": []} == whole | {"examples": []}


@pytest.mark.parametrize("days", [1, 3])
def test_decisions_of_a_scorer_that_was_down_find_their_rows_on_days_before(
    days: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = build_archive(tmp_path)
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    table = DeltaTable(str(root / "decisions"))
    rows = table.to_pyarrow_table()
    for name, step in (("append_ms", days * DAY_MS), ("day", days)):
        index, column = rows.schema.get_field_index(name), rows[name]
        number = pa.int32() if name == "day" else pa.int64()
        later = pc.add(column.cast(number), step).cast(number).cast(column.type)
        rows = rows.set_column(index, rows.schema.field(index), later)
    write_deltalake(table, rows, mode="overwrite")
    code, found = _run(capsys, "--thresholds", "0.5,0.9")
    assert (code, found["without_feature_row"], found["reproduction"]["checked"]) == (0, 0, rows.num_rows)


@pytest.mark.usefixtures("_at_home")
def test_thresholds_are_held_against_the_logged_scores(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, found = _run(capsys, "--thresholds", "0,1")
    by_model = [each for each in _read(home, "decisions") if each["decided_by"] == "model"]
    assert found["flips"].get("APPROVE → REVIEW", 0) == sum(each["decision"] == "APPROVE" for each in by_model)


@pytest.mark.usefixtures("_at_home")
def test_where_leaves_out_what_it_does_not_name(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, found = _run(capsys, "--thresholds", "0.1,0.2", "--where", "country == 'DE'")
    named = sum(row["country"] == "DE" for _, row in _pairs(home))
    assert (found["judged"], found["left_out"]) == (named, len(_read(home, "decisions")) - named)
    assert named > 0


@pytest.mark.usefixtures("_at_home")
def test_segments_are_those_that_plain_python_counts(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, found = _run(capsys, "--rules", "rules.yaml", "--by", "country")
    made = [(row["country"] or "(missing)", each["decision"], _decide(each, row)[0]) for each, row in _pairs(home)]
    assert {name: of["rows"] for name, of in found["segments"].items()} == dict(Counter(name for name, *_ in made))
    assert len(found["segments"]) > 2
    for name, of in found["segments"].items():
        own = [(was, now) for segment, was, now in made if segment == name]
        assert of["changed"] == sum(was != now for was, now in own)
        assert of["decided"] == {each: sum(was == each for was, _ in own) for each in of["decided"]}
        assert of["would_be"] == {each: sum(now == each for _, now in own) for each in of["would_be"]}
    assert sum(of["caught"]["would_be"] for of in found["segments"].values()) == found["figures"]["would_be"]["caught"]
    assert sum(of["hurt"]["decided"] for of in found["segments"].values()) == found["figures"]["decided"]["hurt"]
    _, found = _run(capsys, "--rules", "rules.yaml", "--by", "country == 'DE'")
    assert found["segments"]["yes"]["rows"] == sum(name == "DE" for name, *_ in made)


@pytest.mark.usefixtures("_at_home")
def test_the_page_has_every_table_and_asks_for_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _ = _run(capsys, "--rules", "rules.yaml", "--by", "country", "--html", "trial.html")
    page = (home / "trial.html").read_text()
    assert code == 0
    assert page.count("<svg") >= 3
    assert page.count("<table>") >= 6
    assert "large_again" in page
    assert not any(word in page for word in ("<script", "src=", "href="))
    assert not any(each["card_id"] in page for each, _ in _pairs(home) if each["card_id"] != "DE")


def test_texts_of_plots_and_tables_are_escaped() -> None:
    drawn = draw_bars("<b>", {"<i>&": (1.0, 2.0)}) + _write_table(build_table(("<u>",), [("<s>",)], title="<em>"))
    assert not any(word in drawn for word in ("<b>", "<i>", "<u>", "<s>", "<em>"))


@pytest.mark.usefixtures("_at_home")
def test_a_time_without_decisions_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = _run(capsys, "--thresholds", "0.1,0.2", "--until", "2001-01-01")
    assert (code, "no decision of this time" in found["error"]) == (1, True)


@pytest.mark.usefixtures("_at_home")
def test_since_and_until_are_held_against_the_time_of_the_decision(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    times = sorted(row["append_ms"] for row in _read(home, "decisions"))
    since, until = (datetime.fromtimestamp(times[place] / 1_000, UTC).isoformat() for place in (100, 300))
    _, found = _run(capsys, "--thresholds", "0.1,0.2", "--since", since, "--until", until)
    assert found["rows"] == sum(times[100] <= each < times[300] for each in times)


@pytest.mark.usefixtures("_at_home")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "expected something to try"),
        (("--thresholds", "0.9,0.1"), "review not above decline"),
        (("--thresholds", "0.1,0.9", "--where", "contry == 'DE'"), "did you mean"),
        (("--rules", "nowhere.yaml"), "nowhere.yaml"),
        (("--model", "nowhere"), "nowhere"),
        (("--thresholds", "0.1,0.9", "--by", "card_id"), "--by"),
    ],
)
def test_what_cannot_be_tried_is_refused(words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = _run(capsys, *words)
    assert (code, said in found["error"]) == (2, True), found


@pytest.mark.usefixtures("_at_home")
def test_a_bound_that_is_exceeded_ends_with_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(capsys, "--thresholds", "0,0", "--max-declined-points", "0.5")[0] == 1
    assert _run(capsys, "--thresholds", "0,0", "--max-declined-points", "100")[0] == 0
    assert _run(capsys, "--thresholds", "0,0", "--max-good-hurt-pct", "20")[0] == 1
    assert _run(capsys, "--thresholds", "1,1", "--max-good-hurt-pct", "20")[0] == 0


def test_rules_that_are_nowhere_to_be_found_are_said_and_nothing_is_made_up(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))  # without the lists that decided
    monkeypatch.setenv("WEIR_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.chdir(home)
    code, found = _run(capsys, "--rules", "rules.yaml", "--from", str(home / "archive"))
    assert (code, found["judged"], found["reproduction"]["checked"]) == (0, 0, 0)
    assert "lists golden cannot be found" in found["notes"][0]
    (of,) = found["reproduction"]["rules_versions"].values()
    assert of["not_found"] == ["lists golden"]
    code, found = _run(capsys, "--lists", str(home / "lists.json"), "--from", str(home / "archive"))
    assert (code, found["flips"], found["judged"]) == (0, {}, len(_read(home, "decisions")))


def test_events_that_are_too_young_have_no_verdict_and_the_newest_label_counts() -> None:
    hashes = np.array([1, 1, 2, 2, 3], np.uint64)
    times, verdicts = np.array([5, 4, 5, 5, 1]), np.array([GOOD, FRAUD, FRAUD, 2, FRAUD], np.int8)
    index = LabelIndex(hashes, times, verdicts, mature_ms=10)
    found = index.find(np.array([1, 2, 3, 3, 9], np.uint64), np.array([0, 0, 10, 11, 0]))
    assert found.tolist() == [GOOD, UNKNOWN, FRAUD, YOUNG, UNKNOWN]
    assert LabelIndex(hashes[:0], times[:0], verdicts[:0], mature_ms=DAY_MS).find(hashes, times).tolist() == [-1] * 5


@given(
    known=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 9), st.sampled_from([0, 1, 2]))),
    asked=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4))),
)
def test_a_label_is_found_among_those_whose_hashes_begin_alike(
    known: list[tuple[int, int, int, int]], asked: list[tuple[int, int]]
) -> None:
    def hash_of(high: int, low: int) -> int:
        return high << 62 | low  # all of one high part are one group

    newest: dict[int, tuple[int, int]] = {}
    for high, low, time, verdict in known:
        newest[hash_of(high, low)] = max(newest.get(hash_of(high, low), (-1, 0)), (time, verdict))
    hashes, times = np.array([hash_of(*each[:2]) for each in known], np.uint64), np.array([each[2] for each in known])
    index = LabelIndex(hashes, times, np.array([each[3] for each in known], np.int8), mature_ms=DAY_MS)
    wanted = np.array([hash_of(*each) for each in asked], np.uint64)
    verdicts = [newest.get(each, (0, 2))[1] for each in wanted.tolist()]
    found = index.find(wanted, np.zeros(len(asked), np.int64)).tolist()
    assert found == [UNKNOWN if verdict == 2 else verdict for verdict in verdicts]


_EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["d1", "d2"]),
        st.integers(0, 2),
        st.integers(0, 2),
        st.sampled_from([FRAUD, GOOD, UNKNOWN, YOUNG]),
        st.integers(0, 4),
    ),
    max_size=60,
)


@given(_EVENTS, st.integers(1, 20))
def test_a_tally_is_what_counting_gives_however_rows_are_cut_into_parts(
    events: list[tuple[str, int, int, int, int]], size: int
) -> None:
    tally = Tally()
    for day in ("d1", "d2"):
        of = [each for each in events if each[0] == day]
        for at in range(0, len(of), size):
            _, was, now, verdicts, keys = map(np.array, zip(*of[at : at + size], strict=True))
            stakes = np.full(len(keys), 100.0)
            tally.add(day, was.astype(np.uint8), now.astype(np.uint8), verdicts.astype(np.int8),
                      keys.astype(np.uint64), stakes)  # fmt: skip
    counted = Counter((was, now) for _, was, now, _, _ in events)
    assert {(was, now): tally.total[was, now] for was in range(3) for now in range(3) if tally.total[was, now]} == dict(
        counted
    )
    for place, side in enumerate(tally.sides()):
        known = [(each[1 + place], each[3]) for each in events]
        outcomes = {verdict: [int(then) for then, of in known if of == verdict] for verdict in (FRAUD, GOOD)}
        caught, let_through = sum(then > 0 for then in outcomes[FRAUD]), outcomes[FRAUD].count(0)
        hurt = outcomes[GOOD].count(2)
        assert (side.caught, side.let_through, side.hurt) == (caught, let_through, hurt)
        assert tally.money[place].tolist() == [100.0 * caught, 100.0 * let_through, 100.0 * hurt]
    for intervals, side in zip(tally.intervals(), tally.sides(), strict=False):
        if not np.isnan(side.recall) and not np.isnan(intervals["recall"].low):
            assert 0 <= intervals["recall"].low <= intervals["recall"].high <= 1


def test_an_interval_by_key_is_wider_than_its_events_alone_would_have() -> None:
    """A hundred frauds of two keys, one of which is caught whole, are two cases and not a hundred."""
    tally = Tally()
    now = np.array([2] * 50 + [0] * 50, np.uint8)
    keys = np.array([1] * 50 + [2] * 50, np.uint64)
    tally.add("d", now, now, np.full(100, FRAUD, np.int8), keys, None)
    _, found, difference = tally.intervals()
    assert (found["recall"].low, found["recall"].high) == (0.0, 1.0)
    assert (difference["recall"].low, difference["recall"].high) == (0.0, 0.0)
