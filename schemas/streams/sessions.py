"""Steps of visits to a site, as the sessioniser makes them of clicks; labels say which visits end in a purchase."""

from __future__ import annotations

from weir.schemas.entity import Entity
from weir.schemas.expression import col
from weir.schemas.stream import Check, Flag, Labels, Measure, Stream, Value

customer = Entity("customer", "customer_id", tells_apart=["session_id", "page", "device_id"])

sessions = Stream(
    name="sessions",
    schema="sessions.avsc",
    id="click_id",
    time="event_time_ms",
    key=customer,
    entities=[customer],
    event="step",
    ids=["session_id", "device_id"],
    keep=["session_id", "page", "device_id"],
    measures=[Measure("dwell", col("dwell_ms"), bound=24 * 3_600_000)],
    flags=[
        Flag("product", col("kind") == "PRODUCT"),
        Flag("cart", col("kind") == "CART"),
        Flag("checkout", col("kind") == "CHECKOUT"),
    ],
    values=[
        Value("number", col("step"), "how far the visit has come"),
        Value("seconds", col("seconds"), "how long the visit lasts already"),
        Value("products", col("products"), "products looked at in this visit"),
        Value("searches", col("searches"), "searches in this visit: somebody wants something"),
        Value("carts", col("carts"), "visits to the cart in this visit"),
        Value("is_checkout", col("checkout"), "the last page before a purchase"),
        Value("hour", col("event_time_ms").hour(), "UTC hour of the step"),
    ],
    labels=Labels("purchases.avsc", verdict="bought"),
    checks=[Check(col("step") >= 1), Check(col("dwell_ms") >= 0)],
    features=[
        customer.event.count("1h 1d 7d 30d", why="how much this customer looks around"),
        customer.session.distinct("1d 7d 30d", why="how often this customer comes"),
        customer.page.distinct("1h 1d", why="how many different pages were looked at"),
        customer.product.ratio("1h 7d 30d", why="products rather than lists of them"),
        customer.cart.ratio("1h 7d 30d", why="a cart that was filled before"),
        customer.checkout.ratio("7d 30d", why="customers who buy have bought before"),
        customer.dwell.mean("1h 7d", why="pages that are read"),
        customer.dwell.zscore("7d", why="this page against the customer's own habit"),
        customer.event.gap("30d", why="seconds since the step before"),
        customer.event.age("30d", why="a customer who was never here before"),
        customer.device.new("30d", why="another device than usual"),
    ],
)
