"""Dead letters for a process that serves: what is shown, what would be sent, what is done once for ever."""

from __future__ import annotations

import threading

import pytest
from confluent_kafka import KafkaError, KafkaException

from tests.unit.streaming.dead_letter_samples import PAYMENT, frame, letter, unframe
from tests.unit.streaming.letter_log import TOPIC, MemoryLog, build_desk, build_unchecked
from weir.infra.kafka.sink import Fenced
from weir.schemas.errors import Transient
from weir.schemas.streams.payments import payments
from weir.streaming.dlq import desk as desk_module
from weir.streaming.dlq.desk import Change, Wanted
from weir.streaming.dlq.letter import Coordinate
from weir.streaming.dlq.log import Selection

AT = (3, 17)


def test_a_letter_is_shown_with_what_would_be_sent() -> None:
    shown = build_desk(MemoryLog([letter()])).show(TOPIC, *AT)
    assert shown is not None
    assert (shown["state"], shown["reason"], shown["decoded"]["amount_minor"]) == ("open", "amount_out_of_range", -5)
    assert shown["replay"] == {"outcome": "replayed", "note": "", "attempt": 1, "topic": "transactions", "changes": []}


def test_a_place_without_a_letter_is_none() -> None:
    desk = build_desk(MemoryLog([letter()]))
    assert [desk.show(TOPIC, 3, 16), desk.show(TOPIC, 9, 17), desk.settle(TOPIC, 3, 18, Change())] == [None] * 3


def test_a_check_writes_nothing_and_says_what_changes() -> None:
    log = MemoryLog([letter()])
    found = build_desk(log).check(TOPIC, *AT, Change({"card_id": "c2"}))
    assert found is not None
    assert found["outcome"] == "unrepairable"  # its schema is none of the stream's
    assert (log.sent, log.done.settled) == ([], {})


def test_a_letter_is_settled_once_for_ever() -> None:
    log = MemoryLog([letter()])
    desk = build_desk(log)
    first, second = (desk.settle(TOPIC, *AT, Change()) for _ in range(2))
    assert first is not None
    assert second is not None
    assert (first["outcome"], second["outcome"], second["note"]) == ("replayed", "settled", "replayed")
    assert len(log.sent) == 1
    assert desk.page(TOPIC, Wanted())["letters"][0]["state"] == "replayed"


def test_a_repair_sets_a_field_and_keeps_the_others() -> None:
    log = MemoryLog([letter()])
    found = build_unchecked(log).settle(TOPIC, *AT, Change({"amount_minor": "500"}))
    assert found is not None
    assert found["changes"] == [{"field": "amount_minor", "before": -5, "after": 500}]
    assert unframe(log.sent[0].record.value) == PAYMENT | {"amount_minor": 500}  # type: ignore[union-attr]


def test_what_names_no_source_is_not_sent() -> None:
    log = MemoryLog([letter(source=None)])
    found = build_desk(log).settle(TOPIC, *AT, Change())
    assert found is not None
    assert (found["outcome"], found["topic"], log.sent) == ("unreplayable", None, [])


def test_what_is_discarded_is_settled_and_not_sent() -> None:
    log = MemoryLog([letter()])
    found = build_desk(log).settle(TOPIC, *AT, Change(discard=True))
    assert found is not None
    assert (found["outcome"], found["topic"], log.sent[0].record) == ("discarded", None, None)


def test_repeats_are_left_out_until_they_are_asked_for() -> None:
    letters = [
        letter(at=Coordinate(TOPIC, 0, offset), reason=reason)
        for offset, reason in enumerate(["duplicate", "from_future"])
    ]
    desk = build_desk(MemoryLog(letters))
    wanted = [
        Wanted(),
        Wanted(everything=True),
        Wanted(Selection(reasons=frozenset({"duplicate"}))),
        Wanted(states=frozenset({"unreplayable"}), everything=True),
        Wanted(states=frozenset({"open"})),
    ]
    found = [[each["offset"] for each in desk.page(TOPIC, one)["letters"]] for one in wanted]
    assert found == [[1], [1, 0], [0], [0], [1]]


def test_nothing_shows_a_card_number_or_a_control_character() -> None:
    evil = "\u202e4111111111111111\x07<b>"
    log = MemoryLog([letter(message=evil, reason=evil, key=evil.encode(), value=frame(PAYMENT | {"card_id": evil}))])
    desk = build_desk(log)
    text = str([desk.show(TOPIC, *AT), desk.page(TOPIC, Wanted())])
    assert "411111111111" not in text
    assert "\u202e" not in text
    assert "\x07" not in text


@pytest.mark.parametrize("away", [KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN)), Fenced("another")])
def test_what_breaks_is_transient_and_the_reader_is_opened_again(away: Exception) -> None:
    log = MemoryLog([letter()])
    desk = build_desk(log)
    desk.page(TOPIC, Wanted())
    log.away = away
    with pytest.raises(Transient):
        desk.page(TOPIC, Wanted())
    log.away = None
    assert desk.page(TOPIC, Wanted())["letters"]
    assert (log.opened, log.closed) == (2, 1)


def test_who_comes_while_another_waits_for_kafka_is_told_to_ask_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "WAIT_SECONDS", 0.01)
    log = MemoryLog([letter()])
    desk = build_desk(log)
    entered, leave = threading.Event(), threading.Event()

    def hang() -> None:
        entered.set()
        leave.wait(30)

    monkeypatch.setattr(log.done, "refresh", hang)
    first = threading.Thread(target=desk.page, args=(TOPIC, Wanted()))
    first.start()
    entered.wait(30)
    with pytest.raises(Transient, match="ask again"):
        desk.page(TOPIC, Wanted())
    leave.set()
    first.join()


def test_a_reader_is_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "KEPT_SECONDS", -1.0)
    log = MemoryLog([letter()])
    desk = build_desk(log)
    for _ in range(2):
        desk.page(TOPIC, Wanted())
    desk.close()
    assert (log.opened, log.closed) == (2, 2)


def test_the_topics_are_those_of_the_stream() -> None:
    assert build_desk(MemoryLog()).topics == (
        payments.topics.dlq,
        payments.topics.labels_dlq,
        payments.topics.features_dlq,
    )
