"""Amounts in major units to minor units, exactly, by the exponent of the row's currency."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, localcontext

from weir.infra.user_files.fields import Field
from weir.infra.user_files.values import refuse
from weir.schemas.currencies import CURRENCIES, exponent
from weir.schemas.errors import PoisonRecord

_PLAIN = re.compile(r"[+-]?[0-9]{1,18}(?:\.[0-9]{1,18})?")
_CODE = re.compile(r"^[A-Z]{3}\s*|\s*[A-Z]{3}$")


@dataclass(frozen=True)
class MajorUnits:
    """How a column of amounts is written.

    Attributes:
        decimal: the character before the fraction.
        thousands: the one between groups of three digits, ``""`` where there is none.
        rounds: whether digits below the minor unit are rounded half up, as was asked for; else such a row is bad.
    """

    decimal: str = "."
    thousands: str = ""
    rounds: bool = False

    def convert(self, target: Field, found: object, currency: object) -> int:
        """Return minor units.

        Raises:
            PoisonRecord: it is no amount, of no known currency, or has more decimals than its currency.

        >>> amount = Field("amount_minor", "whole", nullable=False, currency="currency")
        >>> MajorUnits().convert(amount, "$12.30", "USD"), MajorUnits().convert(amount, "12", "JPY")
        (1230, 12)
        """
        text = self._plain(found)
        if not _PLAIN.fullmatch(text):
            raise refuse(target, found)
        if currency not in CURRENCIES:
            code = target.currency
            raise PoisonRecord("unknown_currency", f"expected a currency of the table at $.{code}", code)
        digits = exponent(str(currency))
        with localcontext() as context:
            context.prec = 60  # more than the digits above, so that nothing is rounded unasked
            minor = Decimal(text).scaleb(digits)
            whole = minor.to_integral_value(ROUND_HALF_UP)
        if whole != minor and not self.rounds:
            expected = f"expected at most {digits} decimals, as {currency} has, found more at $.{target.name}"
            raise PoisonRecord("wrong_type", f'{expected}; round = "half_up" in the mapping rounds them', target.name)
        return int(whole)

    def _plain(self, found: object) -> str:
        """Return the number alone: without a currency's sign or code, and with a point."""
        if isinstance(found, bool) or not isinstance(found, str | int | float | Decimal):
            return ""
        if not isinstance(found, str):
            return format(found, "f") if isinstance(found, Decimal) else repr(found)
        text = _CODE.sub("", found.strip())
        text = "".join(each for each in text if unicodedata.category(each) != "Sc").strip()
        if self.thousands:
            text = re.sub(rf"(?<=[0-9]){re.escape(self.thousands)}(?=[0-9]{{3}}(?![0-9]))", "", text)
        if self.decimal == ".":
            return text
        return "" if "." in text else text.replace(self.decimal, ".", 1)
