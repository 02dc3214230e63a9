"""The catalogue has every feature of a stream, with the fields that change it and no others."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fastapi import FastAPI

from tests.unit.console.browser import Browser
from tests.unit.console.world import RITA
from weir.console.catalogue import build_catalogue
from weir.inference.api.request import event_fields
from weir.schemas.project import load_shipped, shipped_names


@pytest.mark.parametrize("name", shipped_names())
def test_every_feature_is_there_once_and_comes_from_fields_of_the_record(name: str) -> None:
    stream = load_shipped(name).stream
    entries = build_catalogue(stream)
    names = [feature for entry in entries for feature, _ in entry.names]
    assert sorted(names) == sorted(stream.feature_names)
    known = {field.name for field in event_fields(stream)}
    for entry in entries:
        assert set(entry.fields) <= known, entry
        assert entry.fields or entry.entity == stream.event


def test_fields_are_those_that_the_declarations_read() -> None:
    stream = load_shipped("payments").stream
    entries = {feature: entry for entry in build_catalogue(stream) for feature, _ in entry.names}
    assert entries["card_merchant_distinct_1d"].fields == ("card_id", "event_time_ms", "merchant_id")
    assert entries["card_position_speed_30d"].fields == ("card_id", "event_time_ms", "lat", "lon")
    assert entries["transaction_hour"].fields == ("event_time_ms",)
    assert entries["device_label_risk_30d"].fields == ("device_id", "event_time_ms")


def test_features_of_one_measure_and_two_owners_are_two_entries() -> None:
    stream = load_shipped("payments").stream
    card = stream.key
    features = [*card.amount.sum("1h"), *card.amount.sum("1d", owner="treasury")]
    entries = build_catalogue(replace(stream, features=features, values=(), reasons={}))
    assert [(entry.names[0][0], entry.owner) for entry in entries] == [
        ("card_amount_sum_1h", "card risk"),
        ("card_amount_sum_1d", "treasury"),
    ]


def test_the_page_shows_them_by_entity(app: FastAPI) -> None:
    browser = Browser(app)
    browser.log_in(RITA)
    whole, card = (browser.get(f"/streams/transactions/features{query}").text for query in ("", "?entity=card"))
    assert "merchant_amount_mean" in whole
    assert "card_amount_sum_1h" in card
    assert "merchant_amount_mean" not in card
    assert "<td>card risk</td>" in card
    assert "<b>x" not in browser.get("/streams/transactions/features?entity=<b>x").text
