"""What the archive's bench sends can be sent: a new field of a decision is drawn as its schema has it."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bench.archive import any_rows
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.contracts import decisions_schema, event_schemas, features_schema
from weir.schemas.streams.payments import payments


@pytest.mark.parametrize("schema", [event_schemas(payments)[-1], features_schema(payments), decisions_schema(payments)])
def test_drawn_rows_of_each_topic_can_be_written(schema: str) -> None:
    codec = BatchCodec(schema=schema)
    assert len(codec.encode(any_rows(codec.arrow_schema, 3, np.random.default_rng(1)), 1)) == 3
