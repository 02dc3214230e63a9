"""Somebody is erased from the running stream: no byte of their ids is left in any store, and the stream runs on."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.integration.payments import Publisher, build_payment
from tests.integration.services import Services
from weir.gdpr.stores import ARCHIVE, CASES, DECISIONS, WINDOWS
from weir.inference.api.lookup import look_up
from weir.inference.api.reader import build_feature_reader
from weir.infra.redis.client import connect
from weir.infra.settings import Settings
from weir.streaming.kernels import kernel_of

pytestmark = pytest.mark.server
CARD, CUSTOMER, OTHER = "card-of-who-asks", "who-asks-to-be-forgotten", "card-of-another"
SHOP = "shop-of-both"
STEPS = ("listed", WINDOWS, DECISIONS, CASES, ARCHIVE)
DAY_MS = 86_400_000


def journey(card: str, customer: str, first_ms: int, name: str) -> list[dict[str, Any]]:
    """Payments of one card on three continents within minutes: a shipped rule asks for a review."""
    places = (("DE", 52.5, 13.4), ("US", 40.7, -74.0), ("JP", 35.7, 139.7))
    return [
        build_payment(
            f"{name}-{number}",
            card_id=card,
            customer_id=customer,
            merchant_id=SHOP,
            country=country,
            lat=lat,
            lon=lon,
            event_time_ms=first_ms + number * 60_000,
        )
        for number, (country, lat, lon) in enumerate(places)
    ]


def each_text(settings: Settings) -> Iterator[tuple[str, bytes]]:
    """Yield every byte that is stored outside the topics, with the store that it is in."""
    with closing(connect(settings.redis)) as client:
        for key in client.scan_iter(match=f"weir:{settings.cluster}*", count=1_000):
            yield "redis", key
            kind = client.type(key)
            yield "redis", repr(client.hgetall(key)).encode() if kind == b"hash" else client.get(key) or b""
    # but for what commands have printed for who asked
    for path in (path for path in settings.home.rglob("*") if path.is_file() and path.suffix != ".out"):
        store = "archive" if "archive" in path.parts else "cases" if path.name.startswith("weir.db") else "home"
        yield store, path.read_bytes()
        if path.suffix == ".parquet":
            yield store, repr(pq.read_table(path).to_pydict()).encode()  # what is compressed


def find(settings: Settings, *ids: str) -> set[str]:
    """Return the stores that have some of the ids."""
    return {store for store, text in each_text(settings) if any(each.encode() in text for each in ids)}


def list_cases(services: Services, card: str) -> list[dict[str, Any]]:
    said = services.run("cases", "list", "--key", card, "--json")
    found: list[dict[str, Any]] = json.loads(said)["cases"]
    return found


def read_windows(settings: Settings, name: str, *, entity: str = "card", now_ms: int | None = None) -> dict[str, Any]:
    """Return what the windows of an id hold, as of now or of another time."""
    kernel, at_ms = kernel_of(settings.stream), int(time.time() * 1_000) if now_ms is None else now_ms
    with closing(connect(settings.redis)) as client:
        return look_up(kernel, build_feature_reader(settings, client, kernel), entity, name, now_ms=at_ms)


def read_others(settings: Settings, now_ms: int) -> dict[str, Any]:
    """Return every feature of another card and of the shop of both, as of one moment."""
    others = {"card": OTHER, "merchant": SHOP}
    return {each: read_windows(settings, name, entity=each, now_ms=now_ms)["features"] for each, name in others.items()}


def is_indexed(settings: Settings, *ids: str) -> bool:
    with closing(connect(settings.redis)) as client:
        found = list(client.scan_iter(match=f"weir:{settings.cluster}:decision:*", count=1_000))
    return all(any(key.endswith(f":{each}".encode()) for key in found) for each in ids)


def test_who_asks_is_erased_in_every_store_and_the_stream_runs_on(services: Services, tmp_path: Path) -> None:
    settings = services.settings
    services.start("run")
    services.start("index")
    services.start("cases", "follow")
    now_ms = int(time.time() * 1_000)
    sent = journey(CARD, CUSTOMER, now_ms - 300_000, "asks") + journey(OTHER, "customer-2", now_ms - 300_000, "other")
    Publisher(settings).send_payments(sent)
    services.await_true(lambda: len(list_cases(services, CARD)) == len(list_cases(services, OTHER)) == 1, "two cases")
    services.await_true(lambda: is_indexed(settings, *(each["transaction_id"] for each in sent)), "every decision")
    (case,), (other,) = list_cases(services, CARD), list_cases(services, OTHER)
    services.run("cases", "note", case["id"], f"{CUSTOMER} called")
    services.run("cases", "note", other["id"], f"like {CARD}, not like {CARD}-2")
    services.run("cases", "link", other["id"], sent[0]["transaction_id"], "--why", f"{CUSTOMER} has both")
    services.run("archive", "--until-caught-up")
    before = read_others(settings, now_ms)
    assert (before["card"]["card_event_count_1h"], before["merchant"]["merchant_event_count_1h"]) == (3, 6)
    assert before["merchant"]["merchant_card_distinct_1d"] == 2
    # the search finds what is there
    assert find(settings, CARD) == find(settings, CARD, CUSTOMER) == {"redis", "cases", "archive"}
    out = tmp_path.parent / "export.json"
    services.run("gdpr", "export", "--customer", CUSTOMER, "--out", str(out))
    held = json.loads(out.read_text())
    assert held["entities"] == [f"card={CARD}", f"customer={CUSTOMER}"]
    wheres = {(part["kind"], part["where"].partition(",")[0].partition(" of ")[0]) for part in held["held"]}
    assert wheres >= {("card", each) for each in ("archive", "windows", "decision index", "cases", "links")}
    assert {("customer", "archive"), ("customer", "windows")} <= wheres
    # killed after each step, and run again
    for step in STEPS:
        child = services.start_module("tests.integration.erasing_child", step, "card", CARD, ready="")
        services.await_killed(child)
    services.run("gdpr", "erase", "--customer", CUSTOMER, "--why", "asked for", "--apply")
    assert find(settings, f"{CARD},", f'{CARD}"', CUSTOMER, f"{CARD}\0") == set()
    left = {text for _, text in each_text(settings) if CARD.encode() in text}
    assert all(text.count(CARD.encode()) == text.count(f"{CARD}-2".encode()) for text in left), left
    assert list_cases(services, CARD) == []
    assert [each["id"] for each in list_cases(services, OTHER)] == [other["id"]]
    file = json.loads(services.run("cases", "show", other["id"], "--json"))
    assert (file["related"], [act["act"] for act in file["acts"]]) == ([], ["opened", "note", "linked"])
    assert sent[0]["transaction_id"] not in file["acts"][-1]["text"]
    assert services.run("evidence", "verify").splitlines()[-1] == "in order"
    assert not read_windows(settings, CARD)["known"]
    assert read_others(settings, now_ms) == before  # the shop's counts stay, of whom they were they do not say
    assert "kept for good" in services.run("gdpr", "check")
    _check_new_data(services, now_ms)
    _check_again(services, tmp_path)


def _check_new_data(services: Services, now_ms: int) -> None:
    """What comes in later under the same id is new: a processor that had the old windows in memory has them no more."""
    settings = services.settings
    for count in (1, 2):
        payment = build_payment(f"new-{count}", card_id=CARD, event_time_ms=now_ms + count)
        Publisher(settings).send_payments([payment])
        services.await_true(partial(_has_counted, settings, count), f"{count} payments of the card")
    assert read_windows(settings, OTHER)["features"]["card_event_count_30d"] == 3


def _has_counted(settings: Settings, count: int) -> bool:
    return bool(read_windows(settings, CARD)["features"]["card_event_count_30d"] == count)


def _check_again(services: Services, tmp_path: Path) -> None:
    """The archive comes back from the log, as from a copy: what was erased is found by its name, what is new stays."""
    settings = services.settings
    archive = settings.archive.model_copy(update={"root": str(tmp_path / "archive-2")})
    services.change(settings.model_copy(update={"archive": archive}))
    services.run("archive", "--until-caught-up")
    second = settings.model_copy(update={"archive": archive, "home": tmp_path / "archive-2"})
    assert {b"asks-0" in text for _, text in each_text(second)} == {True, False}
    said = services.run("gdpr", "again", "--apply")
    assert "of 2 erased ids" in said
    texts = [text for _, text in each_text(second)]
    assert not any(b"asks-0" in text for text in texts)
    assert any(b"new-1" in text for text in texts)
