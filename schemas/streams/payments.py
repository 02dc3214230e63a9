"""Card payments: the stream that is shipped, and what fraud looks like in it.

Amounts are in base minor units. A refund is a payment with an amount below 0, money back to the card: it is counted
in the windows of ``refund`` and in no other, and the windows of payments at a refund are those of the payments before.
"""

from __future__ import annotations

from typing import Final

from weir.schemas.entity import Entity
from weir.schemas.expression import col, money
from weir.schemas.rules import Rule
from weir.schemas.stream import Check, Flag, Labels, Measure, Position, Reversal, Stream, Value

SMALL_AMOUNT_MINOR: Final = 200
"""At or below this many base minor units an amount is `small`: the size used to test stolen cards."""
MCC_MAX: Final = 9_999

card = Entity("card", "card_id", ["merchant_id", "device_id", "country"], card_tokens=True)
customer = Entity("customer", "customer_id", ["card_id", "device_id", "merchant_id"], shared=True)
device = Entity("device", "device_id", ["card_id", "customer_id", "merchant_id"], shared=True, zeros_are_ids=False)
ip = Entity("ip", "ip", ["card_id", "device_id", "merchant_id"], shared=True, zeros_are_ids=False)
merchant = Entity("merchant", "merchant_id", ["card_id", "device_id", "country"], shared=True)

payments = Stream(
    name="transactions",
    schema="transactions.avsc",
    id="transaction_id",
    time="event_time_ms",
    key=card,
    entities=[card, customer, device, ip, merchant],
    event="transaction",
    owner="card risk",
    ids=["customer_id", "merchant_id", "device_id", "ip"],
    topic_prefix="",
    keep=["customer_id", "merchant_id", "device_id", "ip", "mcc", "channel", "amount_minor", "currency", "country"],
    decided=["merchant_id", "amount_minor", "currency"],
    example={
        "transaction_id": "what-if-1",
        "card_id": "card-000017",
        "customer_id": "customer-000017",
        "merchant_id": "merchant-0042",
        "mcc": 5732,
        "channel": "ECOM",
        "amount_minor": 129_900,
        "currency": "EUR",
        "country": "DE",
        "device_id": "device-000017",
        "ip": "203.0.113.7",
    },
    measures=[Measure("amount", money("amount_minor", "currency"))],
    flags=[
        Flag("declined", col("outcome") == "DECLINED"),
        Flag("online", col("channel").is_in(["ECOM", "MOTO"])),
        Flag("foreign", col("issuer_country") != col("country")),
        Flag("small", col("amount") <= SMALL_AMOUNT_MINOR),
    ],
    reversal=Reversal("refund", col("amount_minor") < 0, of="amount"),
    position=Position("lat", "lon"),
    labels=Labels("labels.avsc", verdict="is_fraud", on=[device, merchant]),
    checks=[
        Check(col("country").matches("[A-Z]{2}"), expected="two upper-case letters"),
        Check(col("issuer_country").matches("[A-Z]{2}"), "bad_country", "two upper-case letters"),
        Check(col("mcc").between(0, MCC_MAX), expected=f"0 to {MCC_MAX}"),
    ],
    values=[
        Value("amount", col("amount"), "what is at stake, in base minor units", "AMOUNT"),
        Value(
            "hour",
            col("event_time_ms").hour(),
            "UTC hour of the event, 0 to 24 with its fraction: stolen cards are used while owners sleep",
            "TIME_OF_DAY",
        ),
        Value("is_online", col("online"), "card-not-present payments carry most fraud", "ONLINE_PAYMENT"),
        Value(
            "is_declined", col("declined"), "the terminal's own refusal: testing runs collect them", "TERMINAL_DECLINED"
        ),
        Value("is_foreign", col("foreign"), "outside the issuer's country", "FOREIGN_PAYMENT"),
        Value(
            "is_refund",
            col("refund"),
            "money back to the card, a negative amount: judged by other habits than a payment",
            "REFUND",
        ),
        Value("mcc", col("mcc"), "what is bought: resellable goods and cash attract fraud", "MERCHANT_CATEGORY"),
    ],
    features=[
        # card
        card.event.count("1m 5m 1h 1d 7d 30d", why="a burst beside the card's own baseline"),
        card.amount.sum("1h 1d 7d 30d", why="how fast a card is being drained"),
        card.amount.mean("1d 7d 30d", why="what the card usually spends"),
        card.amount.std("30d", why="how much its spending varies: steady cards stand out sooner"),
        card.amount.min("1h", why="a tiny amount in the last hour is a test"),
        card.amount.max("1d 30d", why="cash-out exceeds anything the owner ever bought"),
        card.amount.zscore("30d", why="this amount against the card's own habit"),
        card.amount.over_min("1h 1d", why="small then large: testing, then extraction"),
        card.declined.ratio("1h 1d", why="guessing leaves refusals behind"),
        card.online.ratio("1d 30d", why="a shop customer who suddenly buys only online"),
        card.foreign.ratio("1d 30d", why="a home card that is now abroad"),
        card.small.ratio("1h 1d", why="a run of tiny payments"),
        card.merchant.distinct("1h 1d 7d", why="many merchants in a short time"),
        card.device.distinct("1d", why="one card on several devices"),
        card.country.distinct("1d", why="several countries in a day"),
        card.merchant.new("30d", why="never bought here before"),
        card.device.new("30d", why="take-overs come from a new device"),
        card.country.new("30d", why="first payment in this country"),
        card.event.gap("30d", why="seconds since the last payment: scripts do not wait"),
        card.event.age("30d", why="a card first seen moments ago has no habits to trust"),
        card.event.decayed("1h", why="a burst that fades instead of dropping off a window's edge"),
        card.position.speed("30d", why="impossible travel between two terminals"),
        card.refund.count("1d 30d", why="goods bought to be returned, and disputes that become a habit"),
        card.refund.sum("30d", why="more money back than was ever spent: refunds to a mule's card"),
        # customer
        customer.event.count("1h 1d 7d", why="a burst across all of a customer's cards"),
        customer.amount.sum("1d 7d", why="a take-over drains every card at once"),
        customer.amount.zscore("30d", why="this amount against the customer's habit"),
        customer.card.distinct("1d", why="several cards of one person within a day"),
        customer.device.distinct("7d", why="a customer who keeps changing devices"),
        customer.device.new("30d", why="a device this customer never used"),
        customer.event.age("30d", why="new accounts are where bust-outs begin"),
        # device
        device.event.count("5m 1h 1d", why="device farms pay at machine speed"),
        device.amount.sum("1d", why="value leaving through one device"),
        device.card.distinct("1h 1d 7d", why="many cards on one device"),
        device.customer.distinct("7d", why="many people on one device; a family is few"),
        device.declined.ratio("1d", why="a device that collects refusals"),
        device.event.age("30d", why="a device first seen moments ago"),
        device.label.risk("1d 7d 30d", why="confirmed fraud on this device"),
        # ip
        ip.event.count("5m 1h 1d", why="a script behind one address"),
        ip.card.distinct("1h 1d", why="many cards from one address"),
        ip.device.distinct("1d", why="many devices from one address"),
        ip.declined.ratio("1h", why="an address that guesses"),
        ip.event.age("30d", why="an address never seen before"),
        # merchant
        merchant.event.count("5m 1h 1d 7d 30d", why="a merchant under attack, beside its own baseline"),
        merchant.amount.mean("1d 7d 30d", why="what is usual at this merchant"),
        merchant.amount.zscore("30d", why="this amount against what is usual here"),
        merchant.card.distinct("1h 1d", why="how many cards pass through"),
        merchant.declined.ratio("1h 1d", why="card testing runs through one merchant"),
        merchant.small.ratio("1h", why="testing amounts at one merchant"),
        merchant.foreign.ratio("1d", why="foreign cards in a local shop"),
        merchant.event.decayed("1h", why="an attack's intensity, without a window's edge"),
        merchant.refund.count("1d 30d", why="a till or a stolen login that hands out refunds"),
        merchant.refund.sum("1d 30d", why="money laundered as payments in and refunds out"),
        merchant.label.risk("1d 7d 30d", why="a compromised merchant shows only when labels arrive"),
    ],
    reasons={
        "event.count": "BURST",
        "event.decayed": "BURST",
        "event.gap": "TIME_SINCE_LAST",
        "event.age": "RECENTLY_SEEN",
        "amount.sum": "SPENDING",
        "amount.max": "UNUSUAL_AMOUNT",
        "amount.mean": "UNUSUAL_AMOUNT",
        "amount.std": "UNUSUAL_AMOUNT",
        "amount.zscore": "UNUSUAL_AMOUNT",
        "amount.min": "SMALL_THEN_LARGE",
        "amount.over_min": "SMALL_THEN_LARGE",
        "small.ratio": "SMALL_THEN_LARGE",
        "declined.ratio": "DECLINES",
        "online.ratio": "ONLINE_SHARE",
        "foreign.ratio": "FOREIGN_SHARE",
        "country.distinct": "FOREIGN_SHARE",
        "country.new": "FOREIGN_SHARE",
        "merchant.distinct": "MANY_MERCHANTS",
        "merchant.new": "NEW_MERCHANT",
        "device.distinct": "MANY_DEVICES",
        "device.new": "NEW_DEVICE",
        "card.distinct": "MANY_CARDS",
        "customer.distinct": "MANY_CUSTOMERS",
        "label.risk": "FRAUD_RISK",
        "position.speed": "TRAVEL_SPEED",
        "refund.count": "REFUNDS",
        "refund.sum": "REFUNDS",
    },
    groups=["country", "channel", "customer_event_age_30d < 604800"],
    rules=[
        Rule(
            "card_testing_run",
            "DECLINE",
            (col("card_event_count_5m") >= 12)
            & (col("card_small_ratio_1h") >= 0.8)
            & (col("card_declined_ratio_1h") >= 0.5),
            "a script tries a card with tiny payments, most of them refused",
            "CARD_TESTING",
        ),
        Rule("device_farm", "REVIEW", col("device_card_distinct_1d") >= 15, "no family owns this many cards"),
        Rule(
            "impossible_travel",
            "REVIEW",
            (col("card_position_speed_30d") >= 1_200)
            & (col("card_country_distinct_1d") >= 2)
            & (col("transaction_is_online") <= 0),
            "faster than any airliner, not online, and in another country: two shops of one town can look as fast",
        ),
    ],
)
