"""Which entity each row of a batch is about: distinct (partition, id) numbered in order of first appearance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from weir.schemas.filling import as_filled
from weir.schemas.placeholders import Placeholders
from weir.streaming.core.hashing import fold_to_32_bits, hash_strings
from weir.streaming.core.jit import entry


@dataclass(frozen=True)
class EntityIndex:
    """Which entity each row is about: one position per distinct (partition, id), in order of first appearance.

    Attributes:
        units: int32, the input partition of each position.
        values: the entity id of each position.
        codes: int32, shape (rows,); a row's position, or -1 where the row names no such entity: null or a placeholder.
    """

    units: NDArray[np.int32]
    values: pa.Array
    codes: NDArray[np.int32]

    @cached_property
    def partitions(self) -> list[int]:
        """``units`` as a list."""
        return self.units.tolist()

    @cached_property
    def ids(self) -> list[str]:
        """``values`` as a list; history never asks for it."""
        ids: list[str] = self.values.to_pylist()
        return ids

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class Coded:
    """A string column as codes into its distinct values; -1 is null."""

    codes: NDArray[np.int32]
    values: pa.Array


def encode_column(column: pa.Array) -> Coded:
    """Dictionary-encode a string column (or one that already is), in order of first appearance."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_null(column.type):
        column = column.cast(pa.string())
    encoded = column.dictionary_encode()
    codes = as_filled(encoded.indices, -1).astype(np.int32, copy=False)
    return Coded(codes, encoded.dictionary)


def without_placeholders(coded: Mapping[str, Coded], placeholders: Placeholders) -> dict[str, Coded]:
    """Return id columns, by their fields, with null for each id that names nobody."""
    found = placeholders.find_in([(field, column.values) for field, column in coded.items()])
    return {field: _without(column, at) for (field, column), at in zip(coded.items(), found, strict=True)}


def _without(coded: Coded, places: NDArray[np.int64]) -> Coded:
    if not len(places):
        return coded
    kept = np.ones(len(coded.values), dtype=bool)
    kept[places] = False
    positions = np.append(np.where(kept, np.cumsum(kept) - 1, -1), -1).astype(np.int32)  # code -1 reads the last
    return Coded(positions[coded.codes], coded.values.filter(pa.array(kept)))


def hash_coded(coded: Coded) -> NDArray[np.uint32]:
    """Hash the value of each row; null is 0."""
    hashes = np.append(fold_to_32_bits(hash_strings(coded.values)), np.uint32(0))  # code -1 reads the last: null is 0
    return hashes[coded.codes]


@entry
def _join_partitions(
    codes: NDArray[np.int32], partition: NDArray[np.int32], table: NDArray[np.int32], first: NDArray[np.int64]
) -> int:
    """Renumber codes in place by (partition, code), in order of first appearance; return how many there are."""
    size = 0
    for row in range(len(codes)):
        if codes[row] < 0:
            continue
        if table[partition[row], codes[row]] < 0:
            table[partition[row], codes[row]] = size
            first[size] = row
            size += 1
        codes[row] = table[partition[row], codes[row]]
    return size


def build_index(coded: Coded, partition: NDArray[np.int32]) -> EntityIndex:
    """Number the distinct (partition, id) of a column."""
    size = len(coded.values)
    if len(partition) == 0 or (partition == partition[0]).all():
        return EntityIndex(np.full(size, partition[0] if len(partition) else 0, np.int32), coded.values, coded.codes)
    codes = coded.codes.copy()
    table = np.full((int(partition.max()) + 1, size), -1, dtype=np.int32)
    first = np.empty(len(codes), dtype=np.int64)
    first = first[: _join_partitions(codes, partition, table, first)]
    return EntityIndex(partition[first], coded.values.take(pa.array(coded.codes[first])), codes)


def spread(partition: NDArray[np.int32] | int, rows: int) -> NDArray[np.int32]:
    """Return the partition of each row, given for each or one for all."""
    return np.ascontiguousarray(np.broadcast_to(np.asarray(partition, dtype=np.int32), rows))
