"""Headers of dead letters: written, cut to size, read back, and not to be forged."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.streaming.dlq.letter import (
    Coordinate,
    DeadLetter,
    Header,
    dead_letter_headers,
    fit_dead_letter,
    parse_coordinate,
    parse_dead_letter,
    replay_count_of,
    replay_headers,
    schema_id_of,
)

PREFIX = "__dlq.errors."
AT = Coordinate("transactions.dlq", 3, 17)


def _headers(
    *,
    reason: str = "wrong_magic",
    message: str = "expected magic byte 0, found 1",
    original: list[Header] | None = None,
) -> list[Header]:
    return dead_letter_headers(
        PREFIX,
        topic="transactions",
        partition=3,
        offset=10452,
        group="weir-processor",
        stage="decode",
        exception_class="PoisonRecord",
        message=message,
        timestamp_ms=1_700_000_000_000,
        reason=reason,
        schema_id=7,
        original_headers=original,
    )


def _letter(headers: list[Header], value: bytes | None = b"raw", key: bytes | None = b"key") -> DeadLetter:
    return parse_dead_letter(at=AT, key=key, value=value, headers=headers, appended_ms=1_700_000_000_005)


def test_what_is_written_is_read_back() -> None:
    letter = _letter(_headers(original=[("trace", b"\xff\x00"), ("empty", None), ("trace", b"again")]))
    assert letter.source == Coordinate("transactions", 3, 10452)
    assert (letter.group, letter.stage, letter.reason) == ("weir-processor", "decode", "wrong_magic")
    assert (letter.exception_class, letter.message) == ("PoisonRecord", "expected magic byte 0, found 1")
    assert (letter.failed_ms, letter.schema_id, letter.replay_count) == (1_700_000_000_000, 7, 0)
    assert letter.original_headers == (("trace", b"\xff\x00"), ("empty", None), ("trace", b"again"))
    assert letter.obstacle == ""


def test_every_header_that_the_contract_names_is_there_and_ours_come_first() -> None:
    names = [name for name, _ in _headers(original=[("mine", b"1")])]
    assert names[-1] == "mine"
    assert {name.removeprefix(PREFIX) for name in names[:-1]} == {
        *("topic", "partition", "offset", "group", "stage", "exception.class.name", "exception.message"),
        *("timestamp", "app.version", "replay.count", "reason", "schema.id"),
    }


def test_a_publisher_cannot_forge_our_headers() -> None:
    forged: list[Header] = [(PREFIX + "offset", b"1"), (PREFIX + "topic", b"decisions"), (PREFIX + "app.version", b"9")]
    headers = _headers(original=forged)
    assert _letter(headers).source == Coordinate("transactions", 3, 10452)
    assert _letter(headers).original_headers == tuple(forged)


@pytest.mark.parametrize("prefix", ["__connect.errors.", "dlq-", "", "topic"])
def test_a_letter_is_read_back_whatever_prefix_it_was_written_with(prefix: str) -> None:
    forged: list[Header] = [(PREFIX + "topic", b"decisions"), (PREFIX + "offset", b"1"), (PREFIX + "app.version", b"9")]
    headers = dead_letter_headers(
        prefix,
        topic="transactions",
        partition=3,
        offset=10452,
        group="weir-processor",
        stage="decode",
        exception_class="PoisonRecord",
        message="expected a body, found another",
        timestamp_ms=1_700_000_000_000,
        reason="wrong_magic",
        original_headers=forged,
    )
    letter = _letter(headers)
    assert letter.source == Coordinate("transactions", 3, 10452)
    assert (letter.group, letter.reason, letter.original_headers) == ("weir-processor", "wrong_magic", tuple(forged))
    fitted = fit_dead_letter(prefix, key=None, value=b"v" * 20_000, headers=headers, limit_bytes=10_000)
    assert (_letter(fitted.headers).truncated, _letter(fitted.headers).source) == ("value", letter.source)


def test_a_message_that_is_not_ours_is_shown_and_never_replayed() -> None:
    for headers in (None, [], [("x", b"y")], [(PREFIX + "topic", b"t")], [(PREFIX + "offset", b"\xff")]):
        letter = parse_dead_letter(at=AT, key=None, value=None, headers=headers, appended_ms=1)
        assert letter.source is None
        assert letter.reason == "unknown"
        assert letter.obstacle


def test_a_duplicate_holds_coordinates_only_and_says_so() -> None:
    assert "coordinates only" in _letter(_headers(reason="duplicate"), value=None).obstacle


def test_a_card_number_in_a_message_is_masked_and_a_long_message_is_cut() -> None:
    letter = _letter(_headers(message="found 4111111111111111 " + "x" * 5_000))
    assert "4111111111111111" not in letter.message
    assert len(letter.message) == 1_000


def test_a_replayed_record_that_fails_again_counts_up_and_remembers_where_it_began() -> None:
    first = _letter(_headers(original=[("trace", b"1")]))
    replayed = replay_headers(PREFIX, first, 1)
    assert replay_count_of(PREFIX, replayed) == 1
    second = _letter(_headers(original=replayed))
    assert second.replay_count == 1
    assert second.origin == Coordinate("transactions", 3, 10452)
    assert second.original_headers == (("trace", b"1"),)
    assert _letter(_headers(original=replay_headers(PREFIX, second, 2))).replay_count == 2


def test_a_value_that_does_not_fit_keeps_its_first_bytes_length_and_digest() -> None:
    value = bytes(range(256)) * 40_000
    fitted = fit_dead_letter(
        PREFIX, key=b"k", value=value, headers=_headers(original=[("a", b"b")]), limit_bytes=100_000
    )
    found = dict(fitted.headers)
    assert fitted.truncated == "value"
    assert fitted.value
    assert value.startswith(fitted.value)
    assert found[PREFIX + "value.length"] == str(len(value)).encode()
    assert found[PREFIX + "value.sha256"] == hashlib.sha256(value).hexdigest().encode()
    letter = _letter(fitted.headers, fitted.value)
    assert letter.source == Coordinate("transactions", 3, 10452)
    assert letter.original_headers == (("a", b"b"),)
    assert letter.obstacle == "value truncated"


@given(st.integers(0, 60_000), st.integers(0, 60_000), st.integers(0, 60_000))
def test_whatever_is_too_large_the_fitted_record_is_within_the_limit(key: int, value: int, header: int) -> None:
    limit = 20_000
    headers = _headers(original=[("h", b"h" * header)])
    fitted = fit_dead_letter(PREFIX, key=b"k" * key, value=b"v" * value, headers=headers, limit_bytes=limit)
    size = len(fitted.key or b"") + len(fitted.value or b"")
    assert size + sum(len(name) + len(raw or b"") for name, raw in fitted.headers) <= limit
    assert _letter(fitted.headers).source == Coordinate("transactions", 3, 10452)
    if not fitted.truncated:
        assert (len(fitted.key or b""), len(fitted.value or b"")) == (key, value)


def test_a_record_that_fits_is_not_touched() -> None:
    headers = _headers(original=[("a", b"b")])
    fitted = fit_dead_letter(PREFIX, key=None, value=None, headers=headers, limit_bytes=100_000)
    assert (fitted.key, fitted.value, fitted.headers, fitted.truncated) == (None, None, headers, "")


def test_coordinates_are_read_back_also_from_topics_with_dashes() -> None:
    for coordinate in (AT, Coordinate("my-topic-1", 0, 0)):
        assert parse_coordinate(str(coordinate)) == coordinate
    for text in ("", "a", "a-1", "-1-1", "a-b-c", "a-1-\u0661"):
        assert parse_coordinate(text) is None


def test_the_schema_id_is_read_from_the_frame_alone() -> None:
    assert schema_id_of(b"\x00\x00\x00\x01\x02body") == 258
    for value in (None, b"", b"\x00\x00\x00\x01", b"\x01\x00\x00\x00\x01"):
        assert schema_id_of(value) is None


@given(st.lists(st.tuples(st.text(max_size=30), st.none() | st.binary(max_size=30)), max_size=8))
def test_any_headers_are_read_without_an_error(headers: list[Header]) -> None:
    prefixed = [(PREFIX + name, raw) for name, raw in headers]
    for given_headers in (headers, prefixed, [*prefixed, (PREFIX + "app.version", b"1")]):
        _letter(given_headers)
