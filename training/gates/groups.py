"""Which group each event is in, by what its stream declares. Models are never given it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from weir.inference.core.condition_steps import Rows
from weir.inference.core.lists import Lists
from weir.inference.core.rules import RuleSet, build_rule_set
from weir.inference.core.vector import Matrix
from weir.inference.rule_sets import columns_of_rules
from weir.schemas.checks.groups import build_condition, is_field
from weir.schemas.stream import Stream

MISSING = "(missing)"
Groups = Mapping[str, Any]
"""By what is declared: Arrow text, the group of each row."""


def split_groups(stream: Stream, features: Matrix, fields: pa.RecordBatch) -> Groups:
    """Return the groups of rows.

    Args:
        stream: that declares them.
        features: float32, shape (rows, features of the stream).
        fields: of the events; a column that it lacks is missing in every row.
    """
    found: dict[str, Any] = {}
    for group in stream.groups:
        if is_field(stream, group):
            found[group] = _read_field(fields, group)
            continue
        scores = np.full(len(features), np.nan, np.float32)
        rows = Rows(features, stream.feature_names, scores, fields, Lists())
        (fulfilled,) = _build_rules(stream, group).match(rows).fulfilled.values()
        found[group] = pa.array(np.where(fulfilled, "yes", "no"))
    return found


def join_groups(parts: Sequence[Groups]) -> Groups:
    """Return the groups of rows one after another."""
    return {name: pa.concat_arrays([each[name] for each in parts]) for name in parts[0]} if parts else {}


def _read_field(fields: pa.RecordBatch, name: str) -> Any:
    if name not in fields.schema.names:
        return pa.array([MISSING] * fields.num_rows, pa.string())
    return pc.fill_null(pc.cast(fields[name], pa.string()), MISSING)


@lru_cache(maxsize=64)
def _build_rules(stream: Stream, group: str) -> RuleSet:
    return build_rule_set([build_condition(group)], columns_of_rules(stream))
