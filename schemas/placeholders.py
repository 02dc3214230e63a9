"""Ids that name nobody: what systems write where they know no id, such as ``null``, ``N/A`` or ``0.0.0.0``.

Taken as an id, such a value joins strangers into one device, address or customer with thousands of cards. Ids are
compared after blanks around them are cut off, in any case; words also without the punctuation in and around them, so
``null`` stands for ``<NULL>`` and ``not set`` for ``(not_set)``. Only ids are asked, never a country: ``NA`` is one.

A placeholder is not what a sender uses by mistake for real: ``test`` or ``1`` are ids like any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

WORDS: frozenset[str] = frozenset({
    "null", "none", "nil", "nan", "nat", "na", "n a", "void", "undefined", "undef", "unknown", "unspecified",
    "unidentified", "missing", "empty", "blank", "anonymous", "guest", "no data", "nodata", "no value", "no id",
    "not set", "notset", "not available", "notavailable", "not applicable", "notapplicable", "not provided",
    "not specified", "not defined", "object object",
})  # fmt: skip
"""Lower case, with one blank for any punctuation: what languages, databases, browsers and people write for no value."""
TEXTS: frozenset[str] = frozenset({
    r"\n",  # null in the text files of databases
    "-1", "-1.0",  # no id in integer columns
    "0.0.0.0",  # noqa: S104 # nosec B104 - an id, no address to listen on
    "127.0.0.1", "::1", "localhost", "255.255.255.255",  # the recorder's own address, and everybody's
    "ff:ff:ff:ff:ff:ff", "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "02:00:00:00:00:00",  # given to every app that asks a phone for its network address
    "9774d56d682e549c",  # one device id that a whole series of phones shares
})  # fmt: skip
"""Lower case, as they are."""
ZEROS_MIN = 8
"""Of an id without other letters and digits: from so many zeros on it is a field that was filled with them. Fewer may
be a number: cards, customers, merchants and transactions are often numbered from 0, and ``0-0`` is the first card of
the first user. Without any, as ``-`` and ``::``, it is nothing."""

_FEW = 256
"""Values that are asked one by one sooner than Arrow compiles the pattern, which it does at each call."""

_ZEROS = re.compile(r"[\W_0]*")
_PUNCTUATION = re.compile(r"[\W_]+")
_FOLDED = [byte for byte in range(256) if byte >= 0x80 or not chr(byte).isalnum() or byte == ord("0")]
"""Bytes at the edges of a value that is cut or folded before it is compared, or is of zeros and punctuation alone."""


@dataclass(frozen=True)
class Placeholders:
    """Which ids are placeholders: those above, and what a deployment adds to them.

    Attributes:
        added: lower case, without blanks around; compared with the whole id.
        zero_fields: where any number of zeros is nothing; of a stream, see ``with_zero_fields``.
    """

    added: frozenset[str] = frozenset()
    zero_fields: frozenset[str] = frozenset()

    @classmethod
    def adding(cls, values: Iterable[str]) -> Placeholders:
        """Return the built-in ones and those of a deployment.

        >>> Placeholders.adding(["POS-Default ", "null"]).added
        frozenset({'pos-default'})
        """
        folded = {value.strip().casefold() for value in values}
        return cls(frozenset(text for text in folded if not BUILT_IN.covers("", text)))

    def with_zero_fields(self, fields: frozenset[str]) -> Placeholders:
        """Return the same for a stream's fields in which any number of zeros is nothing.

        >>> BUILT_IN.with_zero_fields(frozenset({"device_id"})).covers("device_id", "0")
        True
        """
        return self if fields == self.zero_fields else _with_zero_fields(self.added, fields)

    def covers(self, field: str, value: str) -> bool:
        """Return whether an id of that field is a placeholder.

        >>> [BUILT_IN.covers("ip", value) for value in ("0.0.0.0", " Null", "N/A", "10.0.0.1")]
        [True, True, True, False]
        >>> BUILT_IN.covers("card_id", "00000000"), BUILT_IN.covers("card_id", "0-0")
        (True, False)
        """
        text = value.strip().casefold()
        if text in self.added or text in TEXTS:
            return True
        if _ZEROS.fullmatch(text):
            zeros = text.count("0")
            return not zeros or zeros >= ZEROS_MIN or field in self.zero_fields
        return _PUNCTUATION.sub(" ", text).strip() in WORDS

    def find(self, field: str, values: pa.Array) -> npt.NDArray[np.int64]:
        """Return the positions of placeholders in a string array; null is none of them.

        **Cost:** some 10 ns a value that does not begin and end as a placeholder may, else some 300 ns.

        >>> BUILT_IN.find("device_id", pa.array(["d-1", None, "unknown", "unknown-1"])).tolist()
        [2]
        """
        return self.find_in([(field, values)])[0]

    def find_in(self, columns: Sequence[tuple[str, pa.Array]]) -> list[npt.NDArray[np.int64]]:
        """Return the same of several fields, by one search: of a few values each call costs more than they do."""
        if not columns:
            return []
        rows = self._find_edges(columns[0][1] if len(columns) == 1 else pa.concat_arrays([one for _, one in columns]))
        starts = np.cumsum([0, *(len(values) for _, values in columns)])
        cuts = np.searchsorted(rows, starts).tolist()
        return [
            self._judge(field, values, rows[cuts[at] : cuts[at + 1]] - starts[at])
            for at, (field, values) in enumerate(columns)
        ]

    def _judge(self, field: str, values: pa.Array, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return which of some positions are of placeholders."""
        if not len(rows):
            return rows
        if len(rows) > _FEW:
            texts = values.take(pa.array(rows))
            similar = pc.fill_null(pc.match_substring_regex(texts, self._pattern), False)
            rows = rows[similar.to_numpy(zero_copy_only=False)]
        texts = values.take(pa.array(rows)).to_pylist()
        sure = [text is not None and self.covers(field, text) for text in texts]
        found: npt.NDArray[np.int64] = rows[np.array(sure, dtype=bool)]
        return found

    def _find_edges(self, values: pa.Array) -> npt.NDArray[np.int64]:
        """Return the positions of values that begin and end with bytes as a placeholder may, and of empty ones."""
        _, offsets, characters = values.buffers()
        if characters is None or not characters.size:  # nothing but null and empty
            return np.arange(len(values))
        ends = np.frombuffer(offsets, np.int32, count=len(values) + 1, offset=4 * values.offset)
        bytes_ = np.frombuffer(characters, np.uint8)
        # beyond the end of a value, or of all of them, stands another byte: the table is asked for too many, never few
        first = np.minimum(ends[:-1], len(bytes_) - 1)
        pair = bytes_[first].astype(np.int32) << 8 | bytes_[np.minimum(first + 1, len(bytes_) - 1)]
        found = self._beginnings[pair]
        found[np.diff(ends) < 2] = True
        rows = np.flatnonzero(found)
        until = ends[rows + 1]
        fitting: npt.NDArray[np.int64] = rows[self._endings[bytes_[np.maximum(until - 1, 0)]] | (until == ends[rows])]
        return fitting

    @cached_property
    def _beginnings(self) -> npt.NDArray[np.bool_]:
        """Return which pairs of first bytes a placeholder of two bytes or more may have."""
        pairs = np.zeros((256, 256), dtype=bool)
        pairs[_FOLDED] = True
        pairs[:, 0x80:] = True  # letters that are folded into others
        for text in {*WORDS, *TEXTS, *self.added}:
            for one, other in product(*({each.lower(), each.upper()} for each in (text[:1], text[1:2] or " "))):
                pairs[one.encode()[:1][0], other.encode()[:1][0]] = True
        for text in {*WORDS, *self.added}:  # "n a" stands for "n/a", and blanks may follow a single letter
            if not text[1:2].strip():
                pairs[np.ix_([ord(each) for each in (text[0], text[0].upper())], _FOLDED)] = True
        flat: npt.NDArray[np.bool_] = pairs.ravel()
        return flat

    @cached_property
    def _endings(self) -> npt.NDArray[np.bool_]:
        """Return which last bytes a placeholder may have."""
        endings = np.zeros(256, dtype=bool)
        endings[_FOLDED] = True
        endings[[case.encode()[-1] for text in (*WORDS, *TEXTS, *self.added) for case in (text, text.upper())]] = True
        return endings

    @cached_property
    def _pattern(self) -> str:
        """Return a pattern that matches every placeholder and little else, for a library that runs it in C++."""
        between = "[^a-z1-9]*"
        words = "|".join(between.join(map(re.escape, word.split())) for word in sorted(WORDS))
        texts = "|".join(re.escape(text) for text in sorted({*TEXTS, *self.added}))
        whole = f"{between}(?:{words})?{between}|[\\x00-\\x20]*(?:{texts})[\\x00-\\x20]*"
        return f"(?is)^(?:{whole})$|[^\\x00-\\x7f]"


@cache
def _with_zero_fields(added: frozenset[str], fields: frozenset[str]) -> Placeholders:
    """Return one object for the same values, so that its tables are built once."""
    return Placeholders(added, fields)


BUILT_IN = Placeholders()
"""What a deployment that adds none has."""
