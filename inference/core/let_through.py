"""Lets a small share of what the model declines through, so that its quality is measured on declined events too. Pure.

It is part of published thresholds, and off without it::

    {"review": 0.5, "decline": 0.9,
     "let_through": {"share": 0.02, "seed": "32 random characters", "at_most_minor": 20000, "outcome": "APPROVE"}}

An event may be let through where the model declines it and its stake is known and at most ``at_most_minor``. What a
list or a rule declines never is: somebody wanted that. Whether it is let through follows from a hash of the seed, the
key and the UTC day of the append time. So every process says the same without state, who tries again on the same day
gets the same answer, and no key is let through for ever.

**Cost:** a hash for each event that the model declines, about a microsecond.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from weir.inference.core.lists import read_append_ms
from weir.inference.core.vector import Matrix
from weir.schemas.durations import DAY_MS
from weir.schemas.errors import Refused

SHARE_MAX: Final = 0.2
"""More is not a sample: raise the threshold."""
_HASH_BYTES: Final = 8
Rows = npt.NDArray[np.intp]


class LetThroughText(BaseModel):
    """What is published.

    Attributes:
        share: of the keys of a day.
        seed: says which keys; nobody outside may know it.
        at_most_minor: no event with more at stake is let through, base minor units.
        outcome: what it gets instead of DECLINE.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    share: float = Field(gt=0.0, le=SHARE_MAX)
    seed: str = Field(pattern=r"^[\x21-\x7e]{16,64}$")
    at_most_minor: int = Field(gt=0)
    outcome: Literal["APPROVE", "REVIEW"]


@dataclass(frozen=True)
class LetThrough:
    """What is let through of a stream.

    Attributes:
        text: as it is published.
        key: the field of the events that is their key.
        stake: the feature that says what is at stake, base minor units.
    """

    text: LetThroughText
    key: str
    stake: str

    def find_eligible(self, declined: Rows, features: Matrix, names: Sequence[str], fields: pa.RecordBatch) -> Rows:
        """Return which of some rows may be let through: those whose key, append time and bounded stake are known.

        Args:
            declined: rows that the model declines.
            features: of all rows, float32, shape (rows, len(names)).
            names: of its columns.
            fields: of the events, one row each.
        """
        if self.stake not in names or self.key not in fields.schema.names or read_append_ms(fields) is None:
            return declined[:0]
        stakes = features[declined, names.index(self.stake)]
        with np.errstate(invalid="ignore"):
            found = declined[np.abs(stakes) <= np.float32(self.text.at_most_minor)]
        has_key = fields.column(self.key).take(pa.array(found)).is_valid().to_numpy(zero_copy_only=False)
        eligible: Rows = found[has_key]
        return eligible

    def choose(self, eligible: Rows, fields: pa.RecordBatch) -> npt.NDArray[np.bool_]:
        """Return which of the rows that may be let through are."""
        append_ms = read_append_ms(fields)
        if append_ms is None or not len(eligible):
            return np.zeros(len(eligible), np.bool_)
        keys = fields.column(self.key).take(pa.array(eligible)).to_pylist()
        below = int(self.text.share * 256**_HASH_BYTES)
        days = (append_ms[eligible] // DAY_MS).tolist()
        chosen = (self._hash(str(key), day) < below for key, day in zip(keys, days, strict=True))
        return np.fromiter(chosen, np.bool_, len(keys))

    def sum_stakes(self, rows: Rows, features: Matrix, names: Sequence[str]) -> float:
        """Return what is at stake in some rows that are let through, base minor units."""
        return float(np.abs(features[rows, names.index(self.stake)]).sum(dtype=np.float64)) if len(rows) else 0.0

    def _hash(self, key: str, day: int) -> int:
        data = b"%d/%s" % (day, key.encode())
        digest = hashlib.blake2b(data, digest_size=_HASH_BYTES, key=self.text.seed.encode()).digest()
        return int.from_bytes(digest)


def parse_let_through(document: Any, *, key: str, stake: str | None) -> LetThrough:
    """Check what thresholds say of events that are let through.

    Args:
        document: as read.
        key: field of the stream's key.
        stake: feature that says what is at stake; None for a stream without money.

    Raises:
        Refused: wrong shape or numbers, or a stream without money: nothing would bound what is let through.
    """
    if stake is None:
        raise Refused("let_through: expected a stream whose values have a measure of money, which bounds what is let "
                      "through; found none")  # fmt: skip
    try:
        return LetThrough(LetThroughText.model_validate(document), key, stake)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "$"
        raise Refused(
            f"let_through: expected share above 0, up to {SHARE_MAX:g}, a seed of 16 to 64 printed characters, "
            f"at_most_minor and outcome APPROVE or REVIEW; found at {where:.60}: {first['msg'].lower():.120}"
        ) from None
