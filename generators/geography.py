"""Places and kinds of shop: the tables that the made-up world is drawn from. Round figures, no real statistics."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class City:
    """A city; ``residents`` and ``visitors`` are relative weights, positions are degrees, the offset is hours."""

    country: str
    currency: str
    lat: float
    lon: float
    utc_offset_hours: int
    residents: float
    visitors: float


@dataclass(frozen=True)
class Category:
    """A kind of shop; ``typical_usd`` is the median payment, ``spread`` the deviation of its logarithm."""

    name: str
    mcc: int
    channel: str
    typical_usd: float
    spread: float
    weight: float


CITIES: tuple[City, ...] = (
    City("US", "USD", 40.71, -74.01, -5, 16, 8),
    City("US", "USD", 41.88, -87.63, -6, 10, 3),
    City("US", "USD", 29.76, -95.37, -6, 9, 2),
    City("US", "USD", 34.05, -118.24, -8, 12, 6),
    City("US", "USD", 47.61, -122.33, -8, 6, 3),
    City("GB", "GBP", 51.51, -0.13, 0, 10, 9),
    City("GB", "GBP", 53.48, -2.24, 0, 5, 2),
    City("DE", "EUR", 52.52, 13.40, 1, 6, 5),
    City("DE", "EUR", 48.14, 11.58, 1, 4, 4),
    City("FR", "EUR", 48.86, 2.35, 1, 7, 10),
    City("ES", "EUR", 41.39, 2.17, 1, 3, 10),
    City("IT", "EUR", 41.90, 12.50, 1, 3, 9),
    City("SE", "SEK", 59.33, 18.07, 1, 2, 2),
    City("PL", "PLN", 52.23, 21.01, 1, 2, 2),
    City("CH", "CHF", 47.37, 8.54, 1, 1, 3),
    City("CA", "CAD", 43.65, -79.38, -5, 4, 3),
    City("JP", "JPY", 35.68, 139.69, 9, 2, 6),
    City("AU", "AUD", -33.87, 151.21, 10, 2, 4),
    City("MX", "MXN", 19.43, -99.13, -6, 1, 6),
    City("BR", "BRL", -23.55, -46.63, -3, 2, 3),
    City("TR", "TRY", 41.01, 28.98, 3, 1, 5),
    City("KW", "KWD", 29.38, 47.99, 3, 0.5, 1),
)

CATEGORIES: tuple[Category, ...] = (
    Category("grocery", 5411, "POS", 35, 0.7, 22),
    Category("fuel", 5541, "POS", 42, 0.4, 8),
    Category("restaurant", 5812, "POS", 28, 0.7, 14),
    Category("cafe", 5814, "POS", 7, 0.5, 10),
    Category("pharmacy", 5912, "POS", 18, 0.7, 5),
    Category("transit", 4111, "POS", 1.8, 0.5, 7),
    Category("clothing", 5651, "POS", 60, 0.7, 5),
    Category("hotel", 7011, "POS", 170, 0.6, 1.5),
    Category("cash", 6011, "ATM", 90, 0.6, 4),
    Category("marketplace", 5999, "ECOM", 38, 0.9, 10),
    Category("electronics", 5732, "ECOM", 150, 0.9, 4),
    Category("digital", 5815, "ECOM", 4, 1.0, 7),
    Category("games", 5816, "ECOM", 2.5, 1.0, 6),
    Category("travel", 4722, "ECOM", 200, 0.8, 2),
    Category("gifts", 5947, "ECOM", 60, 0.8, 2),
    Category("jewelry", 5944, "ECOM", 220, 0.8, 0.8),
    Category("utilities", 4900, "MOTO", 90, 0.4, 1.5),
)

COUNTRIES: tuple[str, ...] = tuple(dict.fromkeys(city.country for city in CITIES))
CHANNELS: tuple[str, ...] = ("POS", "ATM", "ECOM", "MOTO", "OTHER")
ENTRY_MODES: tuple[str, ...] = ("chip", "contactless", "magstripe", "keyed", "credential_on_file")


def category_codes(*names: str) -> list[int]:
    """Return positions in ``CATEGORIES``.

    >>> category_codes("grocery", "fuel")
    [0, 1]
    """
    by_name = {category.name: code for code, category in enumerate(CATEGORIES)}
    return [by_name[name] for name in names]
