"""Keys that belong in another partition than before: a card's windows, ids and labels are where they were counted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewPartitions

from tests.conftest import create_deployment, settings_for
from tests.integration.outputs import Outputs
from tests.integration.payments import Payment, Publisher, build_label, build_payment, publish_labels
from tests.integration.services import Services
from tests.integration.streams import await_applied
from tests.payments import Entity
from weir.infra.kafka.clients import CLIENT_LOG, admin_config
from weir.infra.redis.client import connect
from weir.infra.settings import Settings
from weir.streaming.kernels import shipped_kernel

pytestmark = pytest.mark.server

CARDS, PAYMENTS = 12, 5
DAY_MS = 86_400_000


@pytest.fixture
def services(stack: Settings, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Services]:
    """Four partitions; the shortest session, because the member of four partitions has to go."""
    settings = settings_for(stack, request.node.name, partitions=4)
    kafka = settings.kafka.model_copy(update={"session_timeout_ms": 6_000})
    settings = settings.model_copy(update={"kafka": kafka})
    create_deployment(settings)
    running = Services(settings, tmp_path / "logs")
    yield running
    running.stop()


def _raise_partitions(services: Services, count: int) -> None:
    """Add partitions as the runbook says, dead letters' topics before their sources, until the broker shows them."""
    settings, names = services.settings, services.settings.topics
    admin = AdminClient(admin_config(settings.kafka), logger=CLIENT_LOG)
    outputs = (names.dlq, names.labels_dlq, names.features_dlq, names.decisions, names.features)
    for topics in (outputs, (names.transactions, names.labels)):
        for future in admin.create_partitions([NewPartitions(name, count) for name in topics]).values():
            future.result(20)
    for name in (*outputs, names.transactions, names.labels):
        services.await_true(partial(_has_partitions, admin, name, count), f"{count} partitions of {name}")


def _has_partitions(admin: AdminClient, name: str, count: int) -> bool:
    return len(admin.list_topics(name, timeout=10).topics[name].partitions) == count


def _pay(card: int, number: int, at_ms: int) -> Payment:
    return build_payment(f"t{card}-{number}", card_id=f"card-{card}", merchant_id="m1", event_time_ms=at_ms)


def _ends(places: list[tuple[int, int]]) -> dict[str, int]:
    ends: Counter[str] = Counter()
    for partition, offset in places:
        ends[f"t{partition:02d}"] = max(ends[f"t{partition:02d}"], offset + 1)
    return dict(ends)


def test_after_a_raise_a_card_has_its_whole_history_and_a_repeated_id_is_decided_once(services: Services) -> None:
    settings, now_ms = services.settings, int(time.time() * 1_000)
    publisher = Publisher(settings)
    first = services.start("process")
    before = [_pay(card, number, now_ms - 60_000 + number) for card in range(CARDS) for number in range(PAYMENTS)]
    places = publisher.send_payments(before)
    with closing(Outputs(settings)) as outputs:
        outputs.await_settled(len(before), services.await_true)
        await_applied(settings, _ends(places), services.await_true)
        services.end(first)
        _raise_partitions(services, 7)
        again = Publisher(settings)
        fresh = [_pay(card, PAYMENTS, now_ms) for card in range(CARDS)]
        moved = again.send_payments(fresh)
        repeats = again.send_payments([_pay(card, PAYMENTS - 1, now_ms - 60_000 + 4) for card in range(CARDS)])
        homes = {payment["card_id"]: place[0] for payment, place in zip(before, places, strict=True)}
        went = [card for card, place in enumerate(moved) if place[0] != homes[f"card-{card}"]]
        assert 0 < len(went) < CARDS, "some keys have to move, and some to stay"
        services.start("process")
    with closing(Outputs(settings)) as outputs:
        outputs.await_settled(len(before) + 2 * CARDS, services.await_true)
        rows = {(row["source_partition"], row["source_offset"]): row for row in outputs.rows()}
        letters = {(x.source.partition, x.source.offset): x.reason for x in outputs.letters() if x.source}
    assert [rows[place]["card_event_count_1d"] for place in moved] == [PAYMENTS + 1] * CARDS
    assert [rows[place]["card_event_age_30d"] for place in moved] == [60.0] * CARDS
    assert [letters.get(place) for place in repeats] == ["duplicate"] * CARDS


def test_a_label_that_reaches_another_partition_than_the_first_corrects_it(services: Services) -> None:
    settings, now_ms = services.settings, int(time.time() * 1_000)
    paid_ms = now_ms - 20 * DAY_MS
    labels = [
        build_label(
            f"t{card}-0", card_id=f"card-{card}", merchant_id="m1", event_time_ms=paid_ms,
            label_time_ms=paid_ms + DAY_MS, is_fraud=card % 2 == 0,
        )
        for card in range(CARDS)
    ]  # fmt: skip
    first = services.start("process")
    ends = publish_labels(settings, labels)
    await_applied(settings, {f"l{number:02d}": end for number, end in ends.items()}, services.await_true)
    services.end(first)
    _raise_partitions(services, 7)
    publish_labels(settings, labels)  # repeated
    publish_labels(settings, [label | {"is_fraud": True, "label_time_ms": now_ms} for label in labels[:3]])  # corrected
    services.start("process")

    def risk() -> float | None:
        reader = await_applied(settings, {}, services.await_true)
        found = reader.read_partials("merchant", "m1")
        if not found.complete:
            return None
        return shipped_kernel().read(Entity.MERCHANT, found.partials, found.labels, now_ms)["merchant_label_risk_30d"]

    wanted = (CARDS / 2 + 1) / CARDS
    services.await_true(lambda: (value := risk()) is not None and abs(value - wanted) < 1e-6, f"a risk of {wanted}")


def test_a_card_of_two_partitioners_is_one_card(services: Services) -> None:
    settings, now_ms = services.settings, int(time.time() * 1_000)
    publisher = Publisher(settings)
    services.start("process")
    with closing(Outputs(settings)) as outputs:
        for number, partition in enumerate((0, 1, 2, 3)):
            (place,) = publisher.send_payments([_pay(1, number, now_ms - 1_000 + number)], partition=partition)
            outputs.await_settled(number + 1, services.await_true)
            row = next(row for row in outputs.rows() if (row["source_partition"], row["source_offset"]) == place)
            assert row["card_event_count_1d"] == number + 1
        places = [
            publisher.send_payments([_pay(1, 0, now_ms - 1_000)], partition=partition)[0] for partition in range(4)
        ]
        outputs.await_settled(8, services.await_true)
        letters = {(x.source.partition, x.source.offset): x.reason for x in outputs.letters() if x.source}
    assert [letters.get(place) for place in places] == ["duplicate"] * 4


def test_a_unit_waits_for_those_that_may_hold_its_ids(services: Services) -> None:
    """Redis is wiped after a raise: no unit decides before the units that counted its keys are there again."""
    settings, now_ms = services.settings, int(time.time() * 1_000)
    first = services.start("process")
    before = [_pay(card, number, now_ms - 60_000 + number) for card in range(CARDS) for number in range(PAYMENTS)]
    Publisher(settings).send_payments(before)
    with closing(Outputs(settings)) as outputs:
        outputs.await_settled(len(before), services.await_true)
    services.end(first)
    _raise_partitions(services, 7)
    connect(settings.redis).flushall()
    repeats = Publisher(settings).send_payments(before)
    services.start("process")
    with closing(Outputs(settings)) as outputs:
        outputs.await_settled(2 * len(before), services.await_true)
        letters = {(x.source.partition, x.source.offset): x.reason for x in outputs.letters() if x.source}
    assert Counter(letters.get(place) for place in repeats) == Counter({"duplicate": len(before)})
