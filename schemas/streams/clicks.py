"""Clicks of customers on a site: one entity and one measure, no labels, no money. The smallest useful stream."""

from __future__ import annotations

from weir.schemas.entity import Entity
from weir.schemas.expression import col
from weir.schemas.stream import Flag, Measure, Stream, Value

customer = Entity("customer", "customer_id", tells_apart=["page", "device_id"])

clicks = Stream(
    name="clicks",
    schema="clicks.avsc",
    id="click_id",
    time="event_time_ms",
    key=customer,
    entities=[customer],
    event="click",
    ids=["device_id"],
    keep=["page", "device_id"],
    measures=[Measure("dwell", col("dwell_ms"), bound=24 * 3_600_000)],  # a tab that is left open over night
    flags=[Flag("hasty", col("dwell") < 500)],
    values=[
        Value("hour", col("event_time_ms").hour(), "UTC hour of the click: scripts work while people sleep"),
        Value("is_direct", col("referrer").is_null(), "typed or scripted: no page led here"),
    ],
    checks=[col("dwell_ms") >= 0],
    features=[
        customer.event.count("1m 1h 1d", why="a script clicks faster than a person"),
        customer.dwell.mean("1h 7d", why="how long this customer usually reads"),
        customer.dwell.zscore("7d", why="this page against the customer's own habit"),
        customer.hasty.ratio("1h", why="pages that nobody can have read"),
        customer.page.distinct("1h", why="a crawler sees everything once"),
        customer.device.new("30d", why="take-overs come from a new device"),
        customer.event.gap("1d", why="seconds since the last click: scripts do not wait"),
    ],
)
