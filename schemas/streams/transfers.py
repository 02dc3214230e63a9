"""Transfers between accounts: two entities over the two ends of one event, and two measures."""

from __future__ import annotations

from weir.schemas.entity import Entity
from weir.schemas.expression import col, money
from weir.schemas.stream import Check, Flag, Measure, Stream, Value

sender = Entity("sender", "sender_id", tells_apart=["receiver_id", "receiver_country"])
receiver = Entity("receiver", "receiver_id", tells_apart=["sender_id", "sender_country"], shared=True)

transfers = Stream(
    name="transfers",
    schema="transfers.avsc",
    id="transfer_id",
    time="event_time_ms",
    key=sender,
    entities=[sender, receiver],
    event="transfer",
    keep=["receiver_id", "amount_minor", "currency", "channel"],
    measures=[
        Measure("amount", money("amount_minor", "currency")),
        Measure("fee", col("fee_minor"), bound=1_000_000),
    ],
    flags=[
        Flag("abroad", col("receiver_country") != col("sender_country")),
        Flag("instant", col("is_instant")),
        Flag("large", col("amount") >= 1_000_000),
    ],
    values=[
        Value("amount", col("amount"), "what is at stake, in base minor units"),
        Value("is_weekend", col("event_time_ms").is_weekend(), "banks cannot be asked on a weekend"),
    ],
    checks=[
        Check(col("amount_minor") > 0, expected="an amount above 0"),
        Check(col("receiver_country").matches("[A-Z]{2}"), "bad_country", "two upper-case letters"),
        Check(col("sender_country").matches("[A-Z]{2}"), "bad_country", "two upper-case letters"),
    ],
    example={"receiver_country": "FR", "sender_country": "DE", "amount_minor": 25_000, "currency": "EUR"},
    features=[
        sender.event.count("1h 1d 30d", why="a burst compared with the account's own baseline"),
        sender.amount.sum("1d 7d", why="how fast an account is being drained"),
        sender.amount.zscore("30d", why="this amount against the sender's habit"),
        sender.fee.mean("30d", why="who pays for speed"),
        sender.receiver.new("30d", why="a receiver that was never paid before"),
        sender.receiver.distinct("1d", why="money that is spread over many accounts"),
        sender.instant.ratio("1d", why="transfers that cannot be called back"),
        receiver.event.count("1h 1d", why="an account that suddenly collects"),
        receiver.amount.sum("1d 7d", why="how much a mule account gathers"),
        receiver.fee.sum("7d", why="what others paid to reach it quickly"),
        receiver.sender.distinct("1d 7d", why="many victims pay into one account"),
        receiver.abroad.ratio("7d", why="money that crosses a border on its way"),
    ],
)
