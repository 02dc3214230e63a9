"""Records of requests for any stream, right and wrong in every way, as Hypothesis draws them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from weir.schemas.avro.codec import BatchCodec
from weir.schemas.contracts import event_schemas
from weir.schemas.entity import Entity
from weir.schemas.expression import col, money
from weir.schemas.project import load_shipped, shipped_names
from weir.schemas.stream import Check, Flag, Measure, Position, Reversal, Stream, Value

NOW_MS = 1_795_867_200_000
TEXTS = [
    "a", "", "DE", "de", "DE\n", "EUR", "JPY", "eur", "null", " N/A", "0", "00000000", "0.0.0.0", "é" * 64, "é" * 65,
    "x" * 128, "x" * 129, "4111111111111111", "4111 1111.1111-1111", "9111111111111110", "411111111111", "\x00", "-",
    "٤١١١١١١١١١١١١١١١",
]  # fmt: skip
TIMES = [NOW_MS, NOW_MS + 300_000, NOW_MS + 300_001, 946_684_800_000, 946_684_799_999, NOW_MS // 1_000]
_WIDTHS = {pa.int32(): 31, pa.int64(): 63}

account = Entity("account", "account_id", ["page", "peer_id"], card_tokens=True)
peer = Entity("peer", "peer_id", ["account_id"], shared=True, zeros_are_ids=False)
ODD = Stream(
    "odd", "odd.avsc", "event_id", "at", account, [account, peer],
    [account.event.count("1h", why=""), account.cost.sum("1h", why=""), peer.account.distinct("1d", why="")],
    event="event", ids=["note"],
    measures=[
        Measure("cost", money("fee", "unit"), bound=5_000),
        Measure("both", money("fee", "unit") + col("n") * 3, bound=1 << 50),
        Measure("size", col("n") * col("n"), bound=60_000),
    ],
    flags=[Flag("large", col("size") > 30_000), Flag("open", col("is_open")), Flag("weekend", col("at").is_weekend())],
    reversal=Reversal("rebate", col("fee") < 0, of="cost"),
    position=Position("lat", "lon"),
    checks=[
        Check(col("page").matches("[a-z]{0,3}|DE"), expected="a page"),
        Check(~(col("large") & (col("unit") == "JPY")), "large_yen"),
        Check(col("share").between(0, 0.7) | col("rebate"), "bad_share"),
        Check(col("note") != "a", "noted"),
    ],
    values=[
        Value("share", col("share")), Value("is_large", col("large")), Value("n", col("n")), Value("cost", col("cost")),
        Value("shown", (col("share") * 2 > col("n")) & ~col("rebate")), Value("hour", col("at").hour()),
    ],
)  # fmt: skip
"""What the shipped streams do not declare: products, narrow floats, checks of measures and flags, values of nulls."""
_ODD_SCHEMA = pa.schema([
    pa.field("event_id", pa.string(), False), pa.field("account_id", pa.string(), False), ("peer_id", pa.string()),
    ("page", pa.string()), ("note", pa.string()), pa.field("at", pa.int64(), False),
    pa.field("fee", pa.int64(), False), pa.field("unit", pa.string(), False), pa.field("n", pa.int64(), False),
    ("is_open", pa.bool_()), ("share", pa.float32()), ("lat", pa.float32()), ("lon", pa.float32()),
])  # fmt: skip
_ODD_EXAMPLE: dict[str, Any] = {
    "event_id": "e1", "account_id": "a1", "peer_id": "p1", "page": "abc", "note": None, "at": NOW_MS, "fee": 100,
    "unit": "EUR", "n": 7, "is_open": True, "share": 0.5, "lat": 52.5, "lon": 13.25,
}  # fmt: skip


def all_streams() -> list[tuple[Stream, pa.Schema, dict[str, Any]]]:
    """Every shipped stream and the odd one, with the columns of their events and an event that passes."""
    shipped = [load_shipped(name).stream for name in shipped_names()]
    return [(ODD, _ODD_SCHEMA, _ODD_EXAMPLE), *(_with_example(stream) for stream in shipped)]


def _with_example(stream: Stream) -> tuple[Stream, pa.Schema, dict[str, Any]]:
    schema = BatchCodec(schema=event_schemas(stream)[-1]).arrow_schema
    made = {field.name: None if field.nullable else _sample(field, stream) for field in schema}
    return stream, schema, made | dict(stream.example)


def _sample(field: pa.Field, stream: Stream) -> Any:
    if field.type == pa.string():
        codes = {"currency": "EUR", "outcome": "ACCEPTED"}
        return codes.get(field.name, "DE" if "country" in field.name else f"{field.name}-17")
    return NOW_MS if field.name == stream.time else field.type == pa.bool_() or 42


def requests_of(schema: pa.Schema, example: dict[str, Any], *, changes_max: int = 4) -> st.SearchStrategy[Any]:
    """Events of which a few fields are anything that their type takes."""
    changed = st.lists(st.sampled_from(list(schema)).flatmap(_change), max_size=changes_max)
    return changed.map(lambda found: example | dict(found))


def _change(field: pa.Field) -> st.SearchStrategy[tuple[str, Any]]:
    values = _values(field.type)
    return st.tuples(st.just(field.name), values | st.none() if field.nullable else values)


def edges_of(kind: pa.DataType) -> list[Any]:
    """Values at the bounds of what is asked of a field of a type."""
    if kind == pa.string():
        return TEXTS
    if kind == pa.bool_():
        return [False, True]
    if pa.types.is_floating(kind):
        return [0.0, -0.5, 0.7, 90.0, 90.5, -90.5, 180.0, 180.5]
    largest = 1 << _WIDTHS[kind]
    edges = [0, -1, 1, 9_999, 10_000, 5_000, 4_545, 4_546, -4_546, 100_000_000, 90_909_091, -largest, largest - 1]
    return edges + (TIMES if kind == pa.int64() else [])


def _values(kind: pa.DataType) -> st.SearchStrategy[Any]:
    edges = st.sampled_from(edges_of(kind))
    if kind == pa.string():
        return edges | st.text(max_size=20)
    if kind == pa.bool_():
        return edges
    if pa.types.is_floating(kind):
        return edges | st.floats(width=32 if kind == pa.float32() else 64, allow_nan=False)
    largest = 1 << _WIDTHS[kind]
    return edges | st.integers(-300, 300) | st.integers(-largest, largest - 1)
