"""The whole circle on real servers: a payment for review, its case, a verdict, the label, the risk that it moves."""

from __future__ import annotations

import json
import time
from contextlib import closing
from typing import Any

import httpx
import pytest

from tests.integration.outputs import Follower
from tests.integration.payments import Publisher, build_payment
from tests.integration.services import Services, log_of
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.contracts import schema_json, subject

pytestmark = pytest.mark.server
DAY_MS = 86_400_000
CARD, SHOP = "card-that-flies", "shop-1"
HEADERS = {"content-type": "application/json"}


def journey(day_ms: int) -> list[dict[str, Any]]:
    """Payments of one card in shops of three continents within minutes: a shipped rule asks for a review."""
    places = (("DE", 52.5, 13.4), ("US", 40.7, -74.0), ("JP", 35.7, 139.7))
    return [
        build_payment(
            f"t{number}",
            card_id=CARD,
            merchant_id=SHOP,
            device_id="device-1",
            country=country,
            lat=lat,
            lon=lon,
            event_time_ms=day_ms + number * 60_000,
        )
        for number, (country, lat, lon) in enumerate(places)
    ]


def decode_labels(settings: Settings, follower: Follower) -> list[dict[str, Any]]:
    with closing(Registry(settings.registry)) as registry:
        of_topic = subject(settings.topics.labels)
        values = [message.value() for message in follower.poll()]
        decoded = BatchCodec(schema=schema_json("labels")).decode(
            values, lambda schema_id: registry.writer_schema(schema_id, of_topic)
        )
        return decoded.batch.to_pylist()


def publish_alert(services: Services) -> None:
    """Put the rules of the stream in force as they are, and one more that raises an alert."""
    rules = services.settings.home / "rules.yaml"
    alert = "- {name: costly, why: much money, when: amount_minor >= 90000, then: ALERT}\n"
    rules.write_text(services.run("rules", "show") + alert)
    services.run("rules", "publish", str(rules), "--why", "a test")


def open_by_hand(services: Services, client: httpx.Client) -> None:
    """A payment with an alert is in a case although nobody asked for a review; another one is put into one by hand."""
    services.await_true(
        lambda: len(client.get("/v1/cases", params={"event": "loud"}).json()["cases"]) == 1, "a case of the alert"
    )
    (case,) = client.get("/v1/cases", params={"event": "loud"}).json()["cases"]
    (decision,) = client.get(f"/v1/cases/{case['id']}").json()["decisions"]
    assert (decision["decision"], decision["tags"]) == ("APPROVE", ["alert:COSTLY"])
    services.await_true(lambda: client.get("/v1/decisions/quiet").status_code == 200, "the decision in the index")
    assert client.get("/v1/cases", params={"event": "quiet"}).json()["cases"] == []
    services.run("cases", "open", "quiet", "--why", "the customer called")
    body = {"by": "anna", "transaction_id": "quiet", "reason": "called again"}
    again = client.post("/v1/cases", json=body)
    assert (again.status_code, again.json()["events"]) == (200, 1)
    services.run("cases", "link", again.json()["id"], "loud", "--why", "the same device")
    (link,) = client.get(f"/v1/cases/{again.json()['id']}").json()["related"]
    assert (link["id"], link["case_id"], link["decision"]["tags"]) == ("loud", case["id"], ["alert:COSTLY"])
    assert client.get(f"/v1/cases/{again.json()['id']}").json()["unlabelled"] == []


def test_a_review_is_a_case_and_its_verdict_moves_the_risk_of_the_shop(services: Services) -> None:
    settings = services.settings
    publish_alert(services)
    services.start("run")
    services.start("index")
    services.start("cases", "follow")
    address = log_of(services.start("serve", "--port", "0", ready="serving http")).partition("serving ")[2].split()[0]
    # older than the hold of labels, so that its label counts at once
    day_ms = int(time.time() * 1_000) - 8 * DAY_MS
    others = [
        build_payment("quiet", card_id="card-quiet", merchant_id="shop-2", event_time_ms=day_ms),
        build_payment("loud", card_id="card-loud", merchant_id="shop-2", event_time_ms=day_ms, amount_minor=90_000),
    ]
    Publisher(settings).send_payments([*journey(day_ms), *others])
    with httpx.Client(base_url=address, timeout=30, headers=HEADERS) as client:

        def of_card() -> list[dict[str, Any]]:
            return client.get("/v1/cases", params={"key": CARD}).json()["cases"]

        def risk() -> float | None:
            return client.get(f"/v1/features/merchant/{SHOP}").json()["features"]["merchant_label_risk_30d"]

        services.await_true(
            lambda: [case["events"] >= 2 for case in of_card()] == [True], "one case of the card's burst"
        )
        open_by_hand(services, client)
        before = risk()
        (case,) = of_card()
        assert client.post(f"/v1/cases/{case['id']}/claim", json={"by": "anna"}).json()["holder"] == "anna"
        assert client.post(f"/v1/cases/{case['id']}/claim", json={"by": "ben"}).status_code == 409
        verdict = {"by": "anna", "verdict": "fraud", "reason": "the customer called"}
        assert client.post(f"/v1/cases/{case['id']}/verdict", json=verdict).json()["state"] == "closed"
        with closing(Follower(settings, settings.topics.labels)) as follower:
            services.await_true(lambda: len(follower.poll()) == case["events"], "a label of each payment")
            labels = decode_labels(settings, follower)
        said = {(each["transaction_id"], each["device_id"], each["is_fraud"], each["source"]) for each in labels}
        assert {("t1", "device-1", True, "analyst"), ("t2", "device-1", True, "analyst")} <= said
        assert len(said) == case["events"]
        services.await_true(lambda: risk() not in {None, before}, "the shop's label risk")
        assert of_card()[0]["verdict"] == "fraud"
        (told,) = json.loads(services.run("cases", "list", "--state", "closed", "--json"))["cases"]
        assert told["id"] == case["id"]
