"""A newcomer's mistakes: each is planted in a file, and what the checks say of it stands on the line where it is."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import fields, replace
from itertools import product
from typing import Any

import pytest

from weir.schemas.checks.declaration import (
    ATTRIBUTES_MAX,
    BOUND_MAX,
    ENTITIES_MAX,
    FLAGS_MAX,
    MEASURES_MAX,
    RECENT_MAX,
    find_faults,
)
from weir.schemas.checks.features import NEVER_HELD, SUBJECTS_OF
from weir.schemas.checks.fields import PROVENANCE
from weir.schemas.contracts import event_schemas, label_schemas, schema_json
from weir.schemas.durations import DAY_MS
from weir.schemas.entity import Aggregate, Entity
from weir.schemas.expression import col
from weir.schemas.origin import Origin
from weir.schemas.stream import Check, Flag, Measure, Stream, Value
from weir.schemas.streams.payments import card, merchant, payments
from weir.streaming.core import layout
from weir.streaming.core.aggregates import KINDS

EVENTS, LABELS = schema_json("transactions"), schema_json("labels")

MISTAKES = """
from weir.schemas.entity import Entity
from weir.schemas.expression import col, money
from weir.schemas.stream import Check, Flag, Labels, Measure, Position, Reversal, Stream, Value

card = Entity("card", "device_id", ["merchant_id"])  #: expected a field that is never null, found 'device_id', which
shop = Entity("shop", "merchnt_id")  #: expected a field of transactions.avsc, found 'merchnt_id'; did you mean 'mercha
place = Entity("place", "mcc", shared=True)  #: expected a field of text, found 'mcc' of int
pair = Entity("pair", "ip", ["card_id", "customer_id", "card_id"])  #: expected one pair's attribute of this name, foun
left_out = Entity("left", "customer_id")
crowd = Entity("crowd", "country", recent=256)  #: expected 1 to 255 recent events, found 256
Bad = Entity("Bad-Name", "ip")  #: expected a name of a-z, 0-9 and _, found 'Bad-Name'

stream = Stream(  #: expected another field to pass on, found 'late', which decisions have of their own
    "transactions", "transactions.avsc", "transaction_id", "event_time_ms", card,
    entities=[card, shop, place, pair, crowd, Bad],
    keep=["late", "mcc"],
    measures=[
        Measure("amount", money("amount_minor", "currency")),
        Measure("code", col("mcc") * 2),  #: expected bound=, the largest size that is taken, up to 3,037,000,499
        Measure("huge", col("mcc"), bound=1 << 40),  #: expected a bound of 1 to 3,037,000,499, whose square fit
        Measure("half", col("lat") * 2, bound=5),  #: expected an expression of integer, found one of number
        Measure("mcc", col("mcc") + 1, bound=5),  #: expected a name that no field has, found 'mcc', which is another
    ],
    flags=[
        Flag("gone", col("outcom") == "DECLINED"),  #: expected a field of transactions.avsc, found 'outcom'; did you
        Flag("never", col("outcome") == "DECLIEND"),  #: expected a value of 'outcome', found 'DECLIEND'; did you mean '
        Flag("twice", col("amount") > 1),  #: expected one flag of this name, found 2
        Flag("twice", col("amount") > 2),  #: expected one flag of this name, found 2
        Flag("number", col("amount") + 1),  #: expected an expression of boolean, found one of integer
        Flag("written", "amount > 5"),  #: expected an expression such as col("field"), found 'amount > 5'
        Flag("code", col("mcc") > 5),  #: expected a name of its own, found a measure of the same name
        Flag("position", col("mcc") > 5),  #: expected a name that is not taken, found 'position'
    ],
    reversal=Reversal("refund", col("amount") < 0, of="amuont"),  #: expected a measure of the stream, found 'amuont'; d
    position=Position("lat", "country"),  #: expected a field of number, found 'country' of string
    values=[Value("text", col("country"))],  #: expected an expression of boolean or integer or number, found one of tex
    checks=[
        Check(col("country").matches("[A-Z")),  #: expected a pattern of RE2, found '[A-Z': missing ]
    ],
    labels=Labels("labels.avsc", "fraud", on=[shop]),  #: expected a field of labels.avsc, found 'fraud'; did you mean
    reasons={"event.count": "BURST", "amount.sun": "X"},
    features=[
        card.event.count("1d"),
        left_out.event.count("1d"),  #: expected an entity of the stream, found 'left', which is not in entities=
        card.event.cuont("1d"),  #: expected an aggregate, found 'cuont'; did you mean 'count'?
        card.amuont.sum("1d"),  #: expected a measure or a reversal of card, found 'amuont', which is not decl
        card.decline.ratio("1d"),  #: expected a flag of card, found 'decline', which is not declared; there are code,
        card.country.distinct("1d"),  #: expected an attribute of card, found 'country', which is not declared
        card.amount.ratio("1d"),  #: expected ratio of a flag, found of 'amount', a measure
        card.event.count("2 h"),  #: expected a window like '5m', '1h' or '30d', found '2'
        card.event.count("24h"),  #: expected a window to be written in one way, found '24h' and '1d'
        card.event.count("1s"),  #: expected a window of 30 panes of whole milliseconds, found '1s'
        card.event.count("90d"),  #: expected a window within the 60d that the log keeps, found '90d'
        card.event.count("59d", hold="2d"),  #: expected a window within the 60d that the log keeps, found '59d' held ba
        card.event.gap("1d", hold="1d"),  #: expected no hold, found '1d': gap cannot be held back
        card.event.count("1d", hold="soon"),  #: expected a hold like '7d', found 'soon'
        card.label.risk("1d"),  #: expected an entity of Labels(on=[...]), found card, on which no labels are
        shop.label.risk("1d", hold="3d"),  #: expected the hold '7d' of the labels, found '3d': all label risk
        card.amount.sum("1d"),  #: expected one feature of this name, found 2
        card.amount.sum("1d"),  #: expected one feature of this name, found 2
    ],
)
"""


def load(text: str) -> Stream:
    space: dict[str, Any] = {"__name__": "mistakes"}
    exec(compile(text, "streams/mine.py", "exec"), space)
    stream: Stream = space["stream"]
    return stream


def test_every_mistake_is_named_in_one_go_on_its_line() -> None:
    found = find_faults(load(MISTAKES), EVENTS, LABELS, retention_ms=60 * DAY_MS)
    by_line: dict[int, list[str]] = {}
    for finding in found:
        assert finding.where.file == "streams/mine.py"
        by_line.setdefault(finding.where.line, []).append(str(finding))
    planted = [(n, line.partition("#: ")[2]) for n, line in enumerate(MISTAKES.splitlines(), 1) if "#: " in line]
    assert len(planted) > 40
    for number, expected in planted:
        said = by_line.get(number, [])
        assert any(expected in each for each in said), (number, expected, said)
    assert set(by_line) == {number for number, _ in planted}, found
    assert found == sorted(found, key=lambda finding: finding.where)


def test_a_finding_reads_like_a_compilers_message() -> None:
    first, *_ = find_faults(load(MISTAKES), EVENTS, LABELS)
    assert str(first) == (
        "streams/mine.py:6: stream transactions, key card: expected a field that is never null, found 'device_id', "
        "which may be in transactions.avsc"
    )


def test_the_shipped_stream_has_no_fault() -> None:
    assert find_faults(payments, EVENTS, LABELS, retention_ms=60 * DAY_MS) == []


def numbered(base: str, count: int) -> list[str]:
    return [f"{base}{number}" for number in range(count)]


def with_fields(names: list[str]) -> str:
    record = json.loads(EVENTS)
    record["fields"] += [{"name": name, "type": "string"} for name in names]
    return json.dumps(record)


def flags(count: int) -> Stream:
    return replace(bare(), flags=[Flag(name, col("mcc") == 1) for name in numbered("flag_", count)])


def measures(count: int) -> Stream:
    return replace(bare(), measures=[Measure(name, col("mcc"), 9_999) for name in numbered("measure_", count)])


def entities(count: int) -> Stream:
    return replace(bare(), entities=[card, *(Entity(name, name) for name in numbered("field_", count - 1))])


def attributes(count: int) -> Stream:
    one = replace(card, tells_apart=numbered("field_", count))
    return replace(bare(), key=one, entities=[one])


def recent(count: int) -> Stream:
    one = replace(card, recent=count)
    return replace(bare(), key=one, entities=[one])


def bound(size: int) -> Stream:
    return replace(bare(), measures=[Measure("code", col("mcc"), size)])


def bare() -> Stream:
    return Stream("cards", "transactions.avsc", "transaction_id", "event_time_ms", card, [card], [])


@pytest.mark.parametrize(
    ("build", "most", "message"),
    [
        (flags, FLAGS_MAX, "expected at most 16 flags, found 17"),
        (measures, MEASURES_MAX, "expected at most 4 measures, found 5"),
        (entities, ENTITIES_MAX, "expected at most 8 entities, found 9"),
        (attributes, ATTRIBUTES_MAX, "expected at most 8 fields that it tells apart, found 9"),
        (recent, RECENT_MAX, "expected 1 to 255 recent events, found 256"),
        (bound, BOUND_MAX, "expected a bound of 1 to 3,037,000,499, whose square fits 64 bits, found 3037000500"),
    ],
)
def test_a_bound_holds_at_it_and_one_above_is_refused(build: Callable[[int], Stream], most: int, message: str) -> None:
    schema = with_fields(numbered("field_", 9))
    assert find_faults(build(most), schema) == []
    (found,) = find_faults(build(most + 1), schema)
    assert found.fault == message


def test_a_measure_at_its_bound_does_not_overflow() -> None:
    assert BOUND_MAX**2 < 2**63 <= (BOUND_MAX + 1) ** 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "Pay ments"}, "expected a name of at most 64 of a-z, 0-9, _ and -, a letter first, found 'Pay ment"),
        ({"name": "a" * 65}, "expected a name of at most 64 of a-z, 0-9, _ and -, a letter first, found 'aaaa"),
        ({"name": "dlq"}, "expected a name that no topic's name ends with, found 'dlq'"),
        ({"event": "Click!"}, "expected a name of a-z, 0-9 and _, found 'Click!'"),
        ({"topic_prefix": "a/b"}, "expected a topic_prefix of a topic's letters, found 'a/b'"),
        ({"duplicates": "0d"}, "expected duplicates like '1d', found '0d'"),
        ({"id": "ip"}, "expected a field that is never null, found 'ip'"),
        ({"time": "country"}, "expected a field of integer, found 'country' of string"),
        ({"time": "micros"}, "expected a field of integer, found 'micros' of timestamp-micros"),
        ({"key": merchant}, "expected the key merchant among the entities, found card"),
        ({"ids": ["mcc"]}, "expected a field of text, found 'mcc' of int"),
        ({"keep": ["chanel"]}, "found 'chanel'; did you mean 'channel'?"),
        ({"reasons": {"event.count": "X"}}, "expected the subject and aggregate of a feature, found 'event.count'"),
        ({"measures": [Measure("m", col("n"), 5)]}, "expected fields that are never null, found 'n', which may be"),
        ({"features": [replace(card.event.count("1d")[0], aggregate="value")]}, "expected a stateless value to be dec"),
        ({"event": "card", "values": [Value("id", col("mcc"))]}, "found the name of a field that is passed on"),
        ({"checks": [Check(col("mcc") > 5, "Bad Code")]}, "expected a reason of a-z, 0-9 and _, found 'Bad Code'"),
        ({"keep": "mcc"}, "expected a list of text for keep, found 'mcc'"),
        ({"entities": card}, "expected a list of Entity(...) for entities, found Entity(name='card'"),
        ({"features": [card.event]}, "expected a list of a feature such as card.event.count(\"1d\") for features, fo"),
        ({"features": [card.event.count]}, "for features, found (<bound method Subject.count of Subject(entity='card'"),
        ({"checks": ["mcc > 5"]}, "expected a list of Check(...) or an expression such as col(\"field\") for"),
        ({"key": "card"}, "expected Entity(...) for key, found 'card'"),
        ({"measures": [Measure("m", col("mcc"), True)]}, "expected a whole number or None for bound, found True"),
        ({"features": card.amount.avg("1d")}, "expected an aggregate, found 'avg'; did you mean 'mean'?"),
        ({"features": card.merchant.nunique("1d")}, "expected an aggregate, found 'nunique'; did you mean 'distinct'"),
        ({"features": card.position.speed("1d")}, "expected a position of card, found 'position', which is not dec"),
    ],
)  # fmt: skip
def test_a_stream_that_cannot_be_is_named(changes: dict[str, Any], message: str) -> None:
    record = json.loads(EVENTS)
    record["fields"].append({"name": "n", "type": ["null", "long"], "default": None})
    record["fields"].append({"name": "micros", "type": {"type": "long", "logicalType": "timestamp-micros"}})
    (found,) = find_faults(replace(bare(), **changes), json.dumps(record))
    assert message in found.fault


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ("chanel", "expected a feature, a kept field or score, found 'chanel'; did you mean 'channel'?"),
        ("card_id", "expected a field with few values, found one that holds ids"),
        ("mcc", "expected a field that no model is given, found the value mcc of it"),
        ("amount >", "expected a kept field or a condition, found: expected an expression, found its end"),
        ("score > 0.5", "expected a condition that a model has no say in, found one on its score"),
    ],
)
def test_a_group_that_cannot_be_or_that_a_model_is_given_is_named(group: str, message: str) -> None:
    (found,) = find_faults(
        replace(payments, groups=["country", group]), event_schemas(payments)[-1], label_schemas(payments)[-1]
    )
    assert (found.what, found.fault) == (f"group {group}", message)


JUNK: list[Any] = [
    None, 5, 1.5, "", "x", True, [], ["x"], [5], {"a": 1}, col("mcc"), col("mcc") > 1, card, card.event,
    card.event.count, card.event.count("1d"), object(), b"x", float("nan"), ("a", None),
]  # fmt: skip


SMALL = replace(payments, features=[card.event.count("1d"), merchant.label.risk("1d")], values=(), reasons={})
LISTS = ("entities", "measures", "flags", "checks")
PARTS: dict[str, Any] = {
    "": SMALL,
    **{name: getattr(SMALL, name) for name in ("key", "reversal", "position", "labels")},
    **{name: getattr(SMALL, name)[0] for name in LISTS},
    "values": payments.values[0],
}


@pytest.mark.parametrize("name", PARTS)
def test_no_value_of_any_part_makes_a_check_fail_itself(name: str) -> None:
    part = PARTS[name]
    for field, junk in product((field.name for field in fields(part)), JUNK):
        if field == "where":
            continue
        try:
            changed = replace(part, **{field: junk})
        except TypeError:
            continue  # said at the user's line, as any exception of the file
        value: Any = [changed] if name in {*LISTS, "values"} else changed
        stream = replace(SMALL, **{name: value}) if name else changed
        for finding in find_faults(stream, EVENTS, LABELS):
            assert str(finding).startswith(f"{finding.where.file}:")


@pytest.mark.parametrize("text", ["", "[]", '"string"', '{"type": "enum"}', '{"fields": 7}', '{"fields": [{}]}'])
def test_a_schema_that_is_no_record_is_one_finding(text: str) -> None:
    (found,) = find_faults(payments, text, LABELS)
    assert found.fault == "expected an Avro record in transactions.avsc"
    (found,) = find_faults(payments, EVENTS, text)
    assert found.fault == "expected an Avro record in labels.avsc"
    (found,) = find_faults(payments, EVENTS, None)
    assert found.where == payments.labels.where if payments.labels else Origin("", 0)


def test_what_can_be_declared_is_what_the_kernel_computes() -> None:
    assert set(SUBJECTS_OF) == set(KINDS) == set(Aggregate) - {Aggregate.VALUE}
    assert layout.FLAGS_MAX == FLAGS_MAX
    for aggregate, kind in KINDS.items():
        assert set(kind.subjects) == set(SUBJECTS_OF[aggregate]), aggregate
        assert kind.can_hold == (aggregate not in NEVER_HELD | {Aggregate.RISK}), aggregate


def test_provenance_is_what_feature_rows_and_decisions_have_of_their_own() -> None:
    keep = {payments.id, payments.key.field, payments.time, *payments.keep, *payments.feature_names}
    for kind in ("features", "decisions"):
        names = {field["name"] for field in json.loads(schema_json(kind))["fields"]}
        assert names - keep <= PROVENANCE
        assert re.search("late", " ".join(names))
