"""The table of bad input on a running processor and scorer: what each gets, and that its neighbours are decided.

Every case publishes ``[good][bad][good]`` to one partition at once and looks for the bad one among the dead letters.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.conftest import create_deployment, settings_for
from tests.integration.command_line import Weir, run_in_process
from tests.integration.outputs import Outputs
from tests.integration.payments import Payment, Publisher, build_payment, encode_body, frame
from tests.integration.services import Services, log_of
from tests.payments import DAY_MS, HORIZON_MS
from tests.unit.inference.bundles import link_champion, write_bundle
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.schemas.contracts import subject
from weir.streaming.dlq.letter import DeadLetter

pytestmark = pytest.mark.server

PARTITION = 1
UNKNOWN_ID = 2_000_000_000
CARD_NUMBER = "4111111111111111"
LARGE_BYTES = 10_000_000
BODY_BYTES = 1_000_001


@dataclass
class Pipeline:
    """A deployment with a processor and a scorer that run for all cases of this file."""

    settings: Settings
    services: Services
    publisher: Publisher
    outputs: Outputs
    numbers: Iterator[int]

    def payment(self, **fields: Any) -> Payment:
        """Return a payment of a card that no other case uses."""
        number = next(self.numbers)
        return build_payment(f"t{number}", card_id=f"card-{number}") | fields

    def now_ms(self) -> int:
        return int(build_payment("")["event_time_ms"])

    def refuse(self, key: str | bytes | None, value: bytes | None) -> DeadLetter:
        """Publish a bad record between two good ones; return its one dead letter once the good ones are decided."""
        good = [self.payment(), self.payment()]
        records = [(p["card_id"], self.publisher.value(p)) for p in good]
        places = self.publisher.send([records[0], (key, value), records[1]], partition=PARTITION)
        self.await_decided(*good)
        letters = self.letters_of(places[1])
        assert len(letters) == 1
        letter = letters[0]
        assert letter.at.partition == PARTITION
        assert letter.key == (key.encode() if isinstance(key, str) else key)
        assert letter.group == self.settings.processor.group
        return letter

    def refuse_payment(self, **fields: Any) -> DeadLetter:
        """Publish a readable payment with bad fields, keyed by its card; its bytes must have been kept."""
        payment = self.payment(**fields)
        value = self.publisher.value(payment)
        letter = self.refuse(payment["card_id"], value)
        assert (letter.value, letter.schema_id, letter.stage) == (value, self.publisher.ids[2], "validate")
        return letter

    def letters_of(self, place: tuple[int, int]) -> list[DeadLetter]:
        return [x for x in self.outputs.letters() if x.source and (x.source.partition, x.source.offset) == place]

    def await_decided(self, *payments: Payment) -> None:
        """Wait until each payment has a decision; there must be just one of it."""
        wanted = sorted(payment["transaction_id"] for payment in payments)

        def decided() -> list[str]:
            found = [decision["transaction_id"] for decision in self.outputs.decisions()]
            return sorted(each for each in found if each in set(wanted))

        self.services.await_true(lambda: len(decided()) >= len(wanted), f"decisions on {wanted}")
        assert decided() == wanted

    def row_of(self, payment: Payment) -> dict[str, Any]:
        """Return the feature row of a decided payment."""
        return next(row for row in self.outputs.rows() if row["transaction_id"] == payment["transaction_id"])


@pytest.fixture
def weir(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Weir]:
    yield from run_in_process(monkeypatch, capsys)


@pytest.fixture(scope="module")
def pipeline(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    home = tmp_path_factory.mktemp("bad-input")
    link_champion(home, write_bundle(home / "models" / "tiny-1"))
    settings = settings_for(stack, "bad-input").model_copy(update={"home": home})
    create_deployment(settings)
    services, outputs = Services(settings, home / "logs"), Outputs(settings)
    try:
        services.start("process")
        services.start("score")
        yield Pipeline(settings, services, Publisher(settings), outputs, iter(range(10**9)))
    finally:
        services.stop()
        outputs.close()


# --- bytes that cannot be read ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, b""], ids=["null", "no bytes"])
def test_an_empty_value_is_a_dead_letter(pipeline: Pipeline, value: bytes | None) -> None:
    letter = pipeline.refuse("card-x", value)
    assert (letter.reason, letter.schema_id) == ("empty_value", None)
    assert letter.value == value


def test_a_wrong_magic_byte_is_a_dead_letter_with_its_bytes(pipeline: Pipeline) -> None:
    value = b"\x01" + pipeline.publisher.value(pipeline.payment())[1:]
    letter = pipeline.refuse("card-x", value)
    assert (letter.reason, letter.schema_id, letter.value) == ("wrong_magic", None, value)


def test_an_unknown_schema_id_is_a_dead_letter_with_the_id_in_its_headers(pipeline: Pipeline) -> None:
    value = frame(UNKNOWN_ID, encode_body(pipeline.payment()))
    letter = pipeline.refuse("card-x", value)
    assert (letter.reason, letter.schema_id, letter.value) == ("unknown_schema_id", UNKNOWN_ID, value)


def test_a_schema_id_of_another_subject_is_a_dead_letter(pipeline: Pipeline) -> None:
    registry = Registry(pipeline.settings.registry)
    foreign = registry.latest_id(subject(pipeline.settings.topics.labels))
    registry.close()
    value = frame(foreign, encode_body(pipeline.payment()))
    letter = pipeline.refuse("card-x", value)
    assert (letter.reason, letter.schema_id, letter.value) == ("foreign_schema_id", foreign, value)


@pytest.mark.parametrize("kept", [0, 1, 10, -1])
def test_a_truncated_body_is_a_dead_letter_with_its_bytes(pipeline: Pipeline, kept: int) -> None:
    value = frame(pipeline.publisher.ids[2], encode_body(pipeline.payment())[:kept])
    letter = pipeline.refuse("card-x", value)
    assert (letter.reason, letter.schema_id, letter.value) == ("truncated", pipeline.publisher.ids[2], value)


def test_trailing_bytes_are_a_dead_letter(pipeline: Pipeline) -> None:
    value = pipeline.publisher.value(pipeline.payment()) + b"\x00"
    letter = pipeline.refuse("card-x", value)
    assert (letter.reason, letter.schema_id, letter.value) == ("trailing_bytes", pipeline.publisher.ids[2], value)


def test_a_value_of_ten_megabytes_is_a_dead_letter_with_every_byte(pipeline: Pipeline) -> None:
    value = frame(pipeline.publisher.ids[2], bytes(range(256)) * (LARGE_BYTES // 256))
    letter = pipeline.refuse("card-x", value)
    assert letter.schema_id == pipeline.publisher.ids[2]
    assert letter.value == value
    assert letter.truncated == ""


# --- values out of bounds ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("amount", [-(10**9), -(2**63), 10**15, 2**63 - 1])
def test_an_absurd_payment_or_refund_is_a_dead_letter_that_names_what_was_found(
    pipeline: Pipeline, amount: int
) -> None:
    letter = pipeline.refuse_payment(amount_minor=amount)
    assert letter.reason == "amount_out_of_range"
    assert "below 0 for a refund" in letter.message
    assert "at $.amount_minor" in letter.message
    # sixteen digits or so could be a card number: those may be masked
    assert amount != -(10**9) or "found -1000000000 " in letter.message


@pytest.mark.parametrize("currency", ["ZZZ", "eur", "", "E\nR" + "x" * 500])
def test_an_unknown_currency_is_a_dead_letter_with_the_value_escaped_and_cut(pipeline: Pipeline, currency: str) -> None:
    letter = pipeline.refuse_payment(currency=currency)
    assert letter.reason == "unknown_currency"
    assert "at $.currency" in letter.message
    assert "\n" not in letter.message
    assert len(letter.message) < 200


@pytest.mark.parametrize("field", ["transaction_id", "card_id", "customer_id", "merchant_id", "device_id", "ip"])
def test_an_empty_id_is_a_dead_letter_that_names_the_field(pipeline: Pipeline, field: str) -> None:
    letter = pipeline.refuse_payment(**{field: ""})
    assert letter.reason == "empty_id"
    assert f"at $.{field}" in letter.message


@pytest.mark.parametrize("field", ["transaction_id", "card_id", "customer_id", "merchant_id", "device_id", "ip"])
def test_an_id_of_ten_kilobytes_is_a_dead_letter_that_does_not_repeat_it(pipeline: Pipeline, field: str) -> None:
    letter = pipeline.refuse_payment(**{field: "x" * 10_000})
    assert letter.reason == "id_too_long"
    assert f"found 10000 bytes at $.{field}" in letter.message
    assert "xxx" not in letter.message


@pytest.mark.parametrize(("lat", "lon"), [(math.nan, 1.0), (1.0, math.nan), (91.0, 0.0), (math.inf, 0.0), (1.0, None)])
def test_coordinates_that_are_no_place_are_a_dead_letter(pipeline: Pipeline, lat: float, lon: float | None) -> None:
    letter = pipeline.refuse_payment(lat=lat, lon=lon)
    assert letter.reason == "bad_coordinates"
    assert f"found {lat}, {lon} at $.lat" in letter.message


def test_an_event_time_over_five_minutes_after_the_append_time_is_a_dead_letter(pipeline: Pipeline) -> None:
    letter = pipeline.refuse_payment(event_time_ms=pipeline.now_ms() + 6 * 60_000)
    assert letter.reason == "from_future"
    assert "at $.event_time_ms" in letter.message


@pytest.mark.parametrize(("per_ms", "unit"), [(1 / 1_000, "seconds"), (1_000, "microseconds")])
def test_an_event_time_in_another_unit_is_a_dead_letter_that_names_the_unit(
    pipeline: Pipeline, per_ms: float, unit: str
) -> None:
    letter = pipeline.refuse_payment(event_time_ms=int((pipeline.now_ms() - 60_000) * per_ms))
    assert letter.reason == ("event_time_out_of_range" if unit == "seconds" else "from_future")
    assert f"as {unit}; expected milliseconds" in letter.message


def test_an_event_time_four_minutes_after_the_append_time_is_decided(pipeline: Pipeline) -> None:
    payment = pipeline.payment(event_time_ms=pipeline.now_ms() + 4 * 60_000)
    pipeline.publisher.send_payments([payment])
    pipeline.await_decided(payment)


def test_a_key_that_differs_from_the_card_is_a_dead_letter(pipeline: Pipeline) -> None:
    for key in ("another-card", None):
        value = pipeline.publisher.value(pipeline.payment())
        letter = pipeline.refuse(key, value)
        assert (letter.reason, letter.value) == ("key_mismatch", value)


def test_a_card_number_is_a_dead_letter_masked_in_every_view(pipeline: Pipeline, weir: Weir) -> None:
    letter = pipeline.refuse_payment(card_id=CARD_NUMBER)
    assert letter.reason == "card_number"
    verbs = [["list"], ["list", "--json"], ["stats"], ["show"], ["show", "--json"], ["replay"], ["discard", "--json"]]
    views = [weir(pipeline.settings, "dlq", *verb, "--reason", "card_number") for verb in verbs]
    assert [code for code, _, _ in views] == [0] * len(verbs)
    assert "************1111" in views[3][1]  # the last four stay: a cardholder knows a card by them
    logs = [path.read_text() for path in (pipeline.settings.home / "logs").glob("*.log")]
    written = [letter.message, *logs, *(text for _, *texts in views for text in texts)]
    raw = CARD_NUMBER.encode()
    assert [text for text in written for shape in (CARD_NUMBER, raw.hex(), raw.hex(" ")) if shape in text] == []


# --- what counts, and what does not -----------------------------------------------------------------------------------


def test_a_record_older_than_the_horizon_is_decided_marked_late_and_not_counted(pipeline: Pipeline) -> None:
    """``card: [now][now - 30 d - 1 s][now]``: the third sees the first and itself, not the second."""
    first = pipeline.payment()
    card, now = first["card_id"], first["event_time_ms"]
    old = pipeline.payment(card_id=card, event_time_ms=now - HORIZON_MS - 1_000)
    last = pipeline.payment(card_id=card, event_time_ms=now)
    pipeline.publisher.send_payments([first, old, last])
    pipeline.await_decided(first, old, last)
    assert [pipeline.row_of(payment)["late"] for payment in (first, old, last)] == [False, True, False]
    assert pipeline.row_of(last)["card_event_count_30d"] == 2.0
    (decision,) = [d for d in pipeline.outputs.decisions() if d["transaction_id"] == old["transaction_id"]]
    assert decision["late"] is True


def test_a_record_within_the_horizon_but_out_of_order_counts_in_its_own_window(pipeline: Pipeline) -> None:
    """``card: [now][now - 2 d][now]``: three in 30 days, two in the last day."""
    first = pipeline.payment()
    card, now = first["card_id"], first["event_time_ms"]
    old = pipeline.payment(card_id=card, event_time_ms=now - 2 * DAY_MS)
    last = pipeline.payment(card_id=card, event_time_ms=now)
    pipeline.publisher.send_payments([first, old, last])
    pipeline.await_decided(first, old, last)
    row = pipeline.row_of(last)
    assert (row["late"], row["card_event_count_30d"], row["card_event_count_1d"]) == (False, 3.0, 2.0)


def test_the_same_transaction_again_is_a_dead_letter_of_coordinates_decided_and_counted_once(
    pipeline: Pipeline,
) -> None:
    first = pipeline.payment()
    last = pipeline.payment(card_id=first["card_id"], event_time_ms=first["event_time_ms"])
    places = pipeline.publisher.send_payments([first, first, last])
    pipeline.await_decided(first, last)
    (letter,) = pipeline.letters_of(places[1])
    assert (letter.reason, letter.value, letter.stage) == ("duplicate", None, "deduplicate")
    assert pipeline.row_of(last)["card_event_count_1h"] == 2.0


def test_the_same_transaction_id_with_another_body_is_a_dead_letter_with_its_bytes(pipeline: Pipeline) -> None:
    first = pipeline.payment()
    other = first | {"amount_minor": first["amount_minor"] + 1}
    last = pipeline.payment(card_id=first["card_id"], event_time_ms=first["event_time_ms"])
    places = pipeline.publisher.send_payments([first, other, last])
    pipeline.await_decided(first, last)
    (letter,) = pipeline.letters_of(places[1])
    assert (letter.reason, letter.value) == ("id_reused", pipeline.publisher.value(other))
    assert first["transaction_id"] not in letter.message.replace(pipeline.settings.topics.transactions, "")
    assert pipeline.row_of(last)["card_event_count_1h"] == 2.0


# --- the API ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def api(pipeline: Pipeline) -> Iterator[httpx.Client]:
    child = pipeline.services.start("serve", "--port", "0", ready="serving http")
    address = log_of(child).partition("serving ")[2].split()[0]
    with httpx.Client(base_url=address, timeout=30) as client:
        yield client


def _document(**changes: Any) -> dict[str, Any]:
    plain = build_payment("t-api")
    return {name: value for name, value in plain.items() if value is not None} | changes


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("amount_minor", lambda d: d | {"amount_minor": "12"}),
        ("amount_minor", lambda d: d | {"amount_minor": -(10**9)}),
        ("card_id", lambda d: {name: value for name, value in d.items() if name != "card_id"}),
        ("card_id", lambda d: d | {"card_id": CARD_NUMBER}),
        ("merchant_id", lambda d: d | {"merchant_id": ["m"]}),
        ("currency", lambda d: d | {"currency": "ZZZ"}),
        ("$", lambda d: [d]),
    ],
)
def test_json_of_a_wrong_shape_is_422_that_names_the_field(
    api: httpx.Client, field: str, change: Callable[[dict[str, Any]], Any]
) -> None:
    answer = api.post("/v1/score", json=change(_document()))
    assert answer.status_code == 422
    assert field in [each["field"] for each in answer.json()["error"]["fields"]]
    assert CARD_NUMBER not in answer.text


def test_a_body_over_one_megabyte_is_413_announced_or_not(api: httpx.Client) -> None:
    body = json.dumps(_document(ip="x" * BODY_BYTES)).encode()
    headers = {"content-type": "application/json"}
    assert api.post("/v1/score", content=body, headers=headers).status_code == 413
    chunks = (body[start : start + 65_536] for start in range(0, len(body), 65_536))
    assert api.post("/v1/score", content=chunks, headers=headers).status_code == 413
