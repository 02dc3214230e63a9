"""Clicks made into visits: equal to what the simulator knows of them, and to themselves when a click comes again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.generators.worlds import population
from weir.generators.visits.history import draw_visits
from weir.generators.visits.steps import compute_clicks, compute_sessions
from weir.schemas.contracts import event_schemas
from weir.schemas.durations import DAY_MS
from weir.schemas.streams.clicks import clicks
from weir.schemas.streams.sessions import sessions
from weir.streaming.sessions.cli import build_contract
from weir.streaming.sessions.visit import CLICKS_MAX, IDLE_MS, Names, Row, Visit, advance, names_of

END_MS = 1_785_000_000_000
NAMES = names_of(clicks, [field["name"] for field in json.loads(event_schemas(sessions)[-1])["fields"]])


def click(number: int, at_ms: int, page: str = "/product/1") -> Row:
    return {"click_id": f"c{number}", "customer_id": "u", "event_time_ms": at_ms, "page": page, "device_id": None}


def run(events: list[Row]) -> list[Row]:
    visits: dict[str, Visit] = {}
    rows = []
    for event in events:
        key = event["customer_id"]
        visits[key], row = advance(visits.get(key), event, NAMES)
        rows.append(json.loads(json.dumps(row)))
        visits[key] = json.loads(json.dumps(visits[key]))  # as a changelog keeps it
    return rows


def test_simulated_clicks_become_the_visits_that_the_simulator_knows() -> None:
    steps = draw_visits(population(), END_MS - 20 * DAY_MS, END_MS)
    # whose first click was before the beginning is another visit here
    whole = steps.take(steps.time_ms - steps.since_ms >= END_MS - 20 * DAY_MS)
    found = run(compute_clicks(whole, population()).to_pylist())
    expected = compute_sessions(whole, population()).to_pylist()
    assert len(found) > 5_000
    assert found == expected


def test_a_click_that_comes_again_gives_the_same_row_however_late() -> None:
    events = [click(number, 1_000 * number) for number in range(5)]
    first = run(events)
    assert run([*events, events[1], events[4]])[5:] == [first[1], first[4]]
    assert run([events[0], *events])[1] == first[0]


def test_half_an_hour_without_a_click_ends_a_visit() -> None:
    rows = run([click(0, 0), click(1, IDLE_MS), click(2, 2 * IDLE_MS + 1)])
    assert [row["session_id"] for row in rows] == ["c0", "c0", "c2"]
    assert [row["step"] for row in rows] == [1, 2, 1]


def test_a_click_of_a_visit_that_is_over_changes_nothing() -> None:
    late = click(9, 0)
    with_it = run([click(0, 3 * IDLE_MS), late, click(1, 3 * IDLE_MS + 5)])
    assert with_it[1]["session_id"] == "c9"
    assert [with_it[0], with_it[2]] == run([click(0, 3 * IDLE_MS), click(1, 3 * IDLE_MS + 5)])


def test_what_is_remembered_of_a_visit_is_bounded() -> None:
    visit: Visit | None = None
    for number in range(CLICKS_MAX + 50):
        visit, _ = advance(visit, click(number, number), NAMES)
    assert visit is not None
    assert len(visit["rows"]) == CLICKS_MAX


@pytest.mark.parametrize("stream", [clicks, sessions])
def test_the_agent_is_told_all_that_it_needs_of_the_streams(stream: Any) -> None:
    contract = json.loads(json.dumps(build_contract()))
    assert Names(**contract["names"]) == Names(NAMES.key, NAMES.id, NAMES.time, list(NAMES.passed_on))  # type: ignore[arg-type]
    assert json.loads(event_schemas(stream)[-1]) in (contract["reader"], contract["writer"])
    assert {NAMES.key, NAMES.id, NAMES.time} <= set(NAMES.passed_on)
