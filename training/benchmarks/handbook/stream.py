"""The Handbook's payments as a stream: its own fields, its 15 features, and further ones of ours.

Features are told by their place in the list: the first ``len(PUBLISHED)`` are the Handbook's, in its order. Both
entities keep as many events exactly as can be kept, so that windows of 30 days differ from the Handbook's by panes
where somebody has more than that.
"""

from __future__ import annotations

from typing import Final

from weir.schemas.entity import Entity
from weir.schemas.expression import col
from weir.schemas.stream import Check, Flag, Labels, Measure, Stream, Value

WINDOWS: Final = ("1d", "7d", "30d")
HOLD: Final = "7d"
"""A label is known seven days after its payment."""
_ALL: Final = " ".join(WINDOWS)
_AMOUNT_CENTS_MAX: Final = 100_000_000

customer = Entity("customer", "customer_id", ["terminal_id"], recent=255)
terminal = Entity("terminal", "terminal_id", ["customer_id"], shared=True, recent=255)

PUBLISHED: Final = {
    "payment_amount": "TX_AMOUNT",
    "payment_is_weekend": "TX_DURING_WEEKEND",
    "payment_is_night": "TX_DURING_NIGHT",
    **{f"customer_event_count_{w}": f"CUSTOMER_ID_NB_TX_{w.upper()}" for w in WINDOWS},
    **{f"customer_amount_mean_{w}": f"CUSTOMER_ID_AVG_AMOUNT_{w.upper()}" for w in WINDOWS},
    **{f"terminal_event_count_{w}_held_{HOLD}": f"TERMINAL_ID_NB_TX_{w.upper()}" for w in WINDOWS},
    **{f"terminal_label_risk_{w}": f"TERMINAL_ID_RISK_{w.upper()}" for w in WINDOWS},
}
"""Our name of each of the Handbook's features, and its own."""

handbook = Stream(
    name="handbook",
    schema="payments.avsc",
    id="payment_id",
    time="event_time_ms",
    key=customer,
    entities=[customer, terminal],
    event="payment",
    measures=[Measure("amount", col("amount_cents"), bound=_AMOUNT_CENTS_MAX)],
    flags=[Flag("large", col("amount") > 22_000)],
    labels=Labels("labels.avsc", verdict="is_fraud", on=[terminal], hold=HOLD),
    checks=[Check(col("amount_cents") >= 0)],
    values=[
        Value("amount", col("amount") / 100, "what is paid"),
        Value("is_weekend", col("event_time_ms").is_weekend(), "Saturday or Sunday"),
        Value("is_night", col("event_time_ms").hour() < 7, "up to 06:59"),
    ],
    features=[
        customer.event.count(_ALL, why="how often the customer pays"),
        customer.amount.mean(_ALL, why="what the customer usually spends"),
        terminal.event.count(_ALL, hold=HOLD, why="how many of the terminal's payments are labelled by now"),
        terminal.label.risk(_ALL, why="how many of them were fraud"),
        customer.amount.zscore("7d 30d", why="this amount against the customer's other ones"),
        customer.amount.max(_ALL, why="the largest amount of late"),
        customer.amount.min("30d", why="the smallest amount of late"),
        customer.amount.std("7d 30d", why="how much amounts vary: a leaked card's are of two kinds"),
        customer.amount.over_min("7d 30d", why="this amount against the smallest one"),
        customer.amount.mean("30d", hold=HOLD, why="what was usual before a leak that is not known yet"),
        customer.amount.std("30d", hold=HOLD, why="how much amounts varied before it"),
        customer.large.ratio("7d 30d", why="amounts that nobody pays: only frauds are so large"),
        customer.terminal.new("30d", why="never paid here before"),
        customer.terminal.distinct("7d 30d", why="how many terminals the customer uses"),
        customer.event.gap("30d", why="seconds since the payment before"),
        customer.event.age("30d", why="how long the customer is known"),
        terminal.event.count(_ALL, why="how busy the terminal is now"),
        terminal.amount.mean("7d 30d", why="what is usual at the terminal"),
        terminal.amount.zscore("30d", why="this amount against what is usual there"),
        terminal.large.ratio("30d", why="how often the terminal sees such amounts"),
        terminal.customer.distinct("7d 30d", why="how many customers come"),
    ],
)
