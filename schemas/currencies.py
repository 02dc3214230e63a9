"""The versioned table that turns an amount into the base currency, in integers.

Amounts are summed in one currency, so that windows over several countries add up. The table is part of what shapes
state: raising ``CURRENCIES_VERSION`` starts another view. Rates are round figures for synthetic data, not quotes.
"""

from __future__ import annotations

from typing import Final

BASE_CURRENCY: Final = "USD"
CURRENCIES_VERSION: Final = 1

# currency -> (minor units per major as a power of ten, micro units of base minor per minor unit)
_TABLE: Final[dict[str, tuple[int, int]]] = {
    "USD": (2, 1_000_000),
    "EUR": (2, 1_100_000),
    "GBP": (2, 1_300_000),
    "CHF": (2, 1_150_000),
    "CAD": (2, 730_000),
    "AUD": (2, 660_000),
    "SEK": (2, 95_000),
    "NOK": (2, 94_000),
    "DKK": (2, 147_000),
    "PLN": (2, 250_000),
    "CZK": (2, 44_000),
    "TRY": (2, 30_000),
    "MXN": (2, 55_000),
    "BRL": (2, 190_000),
    "INR": (2, 12_000),
    "JPY": (0, 670_000),
    "KRW": (0, 75_000),
    "KWD": (3, 326_000),
}

CURRENCIES: Final[frozenset[str]] = frozenset(_TABLE)
MAX_AMOUNT_BASE_MINOR: Final = 100_000_000
"""A million base units: above it an amount is absurd for a card and the record is a dead letter."""


def micro_rate(currency: str) -> int:
    """Return micro units of base minor per minor unit of ``currency``.

    Raises:
        KeyError: when the currency is not in the table.

    >>> micro_rate("EUR")
    1100000
    """
    return _TABLE[currency][1]


def exponent(currency: str) -> int:
    """Return how many decimal places the currency's minor unit has.

    >>> exponent("JPY")
    0
    """
    return _TABLE[currency][0]


def compute_base_minor(amount_minor: int, currency: str) -> int:
    """Convert to base minor units, rounding half away from zero: a refund is its payment with the other sign.

    >>> compute_base_minor(1_000, "EUR"), compute_base_minor(-1_000, "EUR")
    (1100, -1100)
    """
    size = (abs(amount_minor) * micro_rate(currency) + 500_000) // 1_000_000
    return -size if amount_minor < 0 else size


def format_amount(amount_minor: float, currency: str) -> str:
    """Write an amount of minor units for people; of a currency that is not in the table as it is, and says so.

    >>> format_amount(2599, "EUR"), format_amount(1200, "JPY"), format_amount(5, "ZZZ")
    ('25.99 EUR', '1,200 JPY', '5 minor units of ZZZ')
    """
    if currency not in _TABLE:
        return f"{amount_minor:,.0f} minor units of {currency}"
    places = exponent(currency)
    return f"{amount_minor / 10**places:,.{places}f} {currency}"
