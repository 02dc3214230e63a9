"""What is around an event of the golden log: whom it shares ids with, and what was before, held against plain rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from tests.golden.records import decode, parse_schema
from tests.unit.archive.decided import NEWEST, topics
from weir.archive.around import links, normal
from weir.archive.around.links import find_links
from weir.archive.around.normal import compare, find_normal
from weir.archive.around.rows import FeatureTable, open_features
from weir.archive.around.worker import NOT_ARCHIVED, AroundWorker, answer
from weir.archive.place import Place
from weir.inference.api.around.document import LINKS, NORMAL
from weir.infra.settings import load_settings
from weir.schemas.placeholders import BUILT_IN
from weir.schemas.streams.payments import payments

Row = dict[str, Any]


@pytest.fixture(scope="module")
def table(built: Path) -> FeatureTable:
    settings = load_settings({"WEIR_HOME": str(built)}).of_stream(payments)
    return open_features(settings, Place(str(built / "archive")))


@pytest.fixture(scope="module")
def logged() -> list[Row]:
    """Every feature row in the order of its append time, as the log has it."""
    schema = parse_schema(NEWEST["features"])
    return [
        decode(each.entry.value or b"", schema) | {"append_ms": each.entry.append_ms} for each in topics()["features"]
    ]


def never() -> float:
    return 0.0


def link_naively(rows: list[Row], number: int) -> dict[str, dict[str, list[int]]]:
    """Return by entity the append times of each other card that had the id of a row, up to that row."""
    own, found = rows[number], dict[str, dict[str, list[int]]]()
    for entity, field in payments.id_field_of.items():
        if entity == payments.key.name or own[field] is None or BUILT_IN.covers(field, own[field]):
            continue
        cards = found.setdefault(entity, {})
        for row in rows[: number + 1]:
            if row[field] == own[field] and row["card_id"] != own["card_id"]:
                cards.setdefault(row["card_id"], []).append(row["append_ms"])
    return found


def last_of_each(logged: list[Row]) -> list[int]:
    """Return the numbers of the rows whose id has no later row."""
    return list({row["transaction_id"]: number for number, row in enumerate(logged)}.values())


def test_links_are_those_of_reading_the_log_row_by_row(table: FeatureTable, logged: list[Row]) -> None:
    seen = set()
    for number in last_of_each(logged)[-40:]:
        row = table.find(logged[number]["transaction_id"])
        assert row is not None
        found = find_links(table, row, BUILT_IN, never)
        assert found["whole"]
        naive = link_naively(logged, number)
        assert {each["entity"] for each in found["ids"]} == set(naive)
        for each in found["ids"]:
            cards = naive[each["entity"]]
            newest = sorted(cards, key=lambda card: (-max(cards[card]), card))[: links.KEYS_MAX]
            assert each["number"] == len(cards)
            assert [key["id"] for key in each["keys"]] == newest
            assert [(key["events"], key["newest_ms"]) for key in each["keys"]] == [
                (len(cards[card]), max(cards[card])) for card in newest
            ]
            seen.add((each["entity"], len(cards) > links.KEYS_MAX, bool(cards)))
    assert {"merchant", "device", "ip"} <= {entity for entity, _, has_one in seen if has_one}
    assert any(is_cut for _, is_cut, _ in seen)


def test_an_id_that_names_nobody_links_nobody(table: FeatureTable, logged: list[Row]) -> None:
    row = table.find(logged[-1]["transaction_id"])
    assert row is not None
    found = find_links(table, row | {"ip": "0.0.0.0", "device_id": None}, BUILT_IN, never)
    assert not {"ip", "device"} & {each["entity"] for each in found["ids"]}
    assert "merchant" in {each["entity"] for each in found["ids"]}


def test_a_look_that_takes_long_ends_with_what_it_has(table: FeatureTable, logged: list[Row]) -> None:
    row = table.find(logged[-1]["transaction_id"])
    assert row is not None
    clock = iter([0.0, links.SECONDS + 1])
    found = find_links(table, row, BUILT_IN, lambda: next(clock))
    whole = find_links(table, row, BUILT_IN, never)
    assert not found["whole"]
    assert sum(each["number"] for each in found["ids"]) <= sum(each["number"] for each in whole["ids"])


def test_each_window_of_the_card_is_held_against_the_rows_before(
    table: FeatureTable, logged: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(normal, "TOO_FEW", 10)
    cards = [row["card_id"] for row in logged]
    busiest = max(set(cards), key=cards.count)
    number = max(each for each in last_of_each(logged) if cards[each] == busiest)
    row = table.find(logged[number]["transaction_id"])
    assert row is not None
    found = find_normal(table, row)
    before = [each for each in logged[:number] if each["card_id"] == busiest]
    assert found["rows"] == len(before) >= normal.TOO_FEW
    assert found["from_ms"] == before[0]["append_ms"]
    names = {each.name for each in payments.all_features if each.window and each.entity == "card"}
    assert {each["feature"] for each in found["windows"]} == names
    for each in found["windows"]:
        earlier = np.array([row[each["feature"]] for row in before], np.float64)
        naive = compare(logged[number][each["feature"]], earlier)
        assert each["count"] == naive.count
        assert each["median"] == pytest.approx(naive.median)
        assert each["share_below"] == pytest.approx(naive.share_below)
    shares = [each["share_below"] for each in found["windows"] if each["share_below"] is not None]
    assert [abs(2 * share - 1) for share in shares] == sorted((abs(2 * share - 1) for share in shares), reverse=True)


@pytest.fixture
def worker() -> Iterator[AroundWorker]:
    made = AroundWorker(seconds_max=120.0)
    yield made
    made.close()


def test_a_child_answers_as_the_document_says(
    built: Path, worker: AroundWorker, logged: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEIR_HOME", str(built))
    event_id = logged[-1]["transaction_id"]
    found = json.loads(worker.find_links(payments.name, event_id) or b"")
    jsonschema.validate(found, LINKS)
    assert (found["id"], found["key"]) == (event_id, logged[-1]["card_id"])
    jsonschema.validate(json.loads(worker.find_normal(payments.name, event_id) or b""), NORMAL)
    assert worker.find_links(payments.name, "nobody") == NOT_ARCHIVED


def test_without_an_archive_there_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    assert answer(payments.name, "t", "links") is None
    assert answer(payments.name, "t", "normal") is None
