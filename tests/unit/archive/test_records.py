"""What ended a process that decoded it is archived undecoded, and no reader of the archive decodes it again."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

import weir.cli
from weir.archive import records
from weir.archive.records import Consumed, Record, decode, decode_all
from weir.schemas.avro.codec import BatchCodec, Decoded, SchemaLookup, WriterSchema
from weir.schemas.contracts import decisions_schema
from weir.schemas.streams.payments import payments

SCHEMA = decisions_schema(payments)
DIED = Record("decisions", {"partition": 0, "offset": 7, "value": b"\0\0\0\0\1+", "undecoded": "decoder_died"})


class Ended(Exception):
    """What a decoder does to a process."""


class _Fragile(BatchCodec):
    def decode(self, values: Sequence[bytes | None], schema_of: SchemaLookup) -> Decoded:
        if any(value is not None for value in values):
            raise Ended
        return super().decode(values, schema_of)


def _find_none(_: int) -> WriterSchema:
    raise AssertionError("nothing is decoded")


def test_its_bytes_are_kept_and_never_given_to_a_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "codec_of", lambda schema: _Fragile(schema=schema))
    with pytest.raises(Ended):
        decode(Record("decisions", dict(DIED.row) | {"undecoded": None}), SCHEMA, _find_none)
    assert decode(DIED, SCHEMA, _find_none) == (None, "decoder_died")
    assert decode_all([DIED], SCHEMA, _find_none) == [None]
    assert Consumed(DIED).value() is None
    assert DIED.value() == b"\0\0\0\0\1+"


def test_a_backfill_passes_it_by(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = tmp_path / "archive", tmp_path / "features.parquet"
    shutil.copytree(built / "archive", root)
    logged = DeltaTable(str(root / "features")).to_pyarrow_table().to_pylist()[0]
    place = f"offset = {logged['source_offset']} and partition = {logged['source_partition']}"
    DeltaTable(str(root / "transactions")).update({"undecoded": "'decoder_died'"}, predicate=place)
    monkeypatch.setenv("WEIR_HOME", str(built))
    assert weir.cli.main(["features", "backfill", "--from", str(root), "--out", str(out)]) == 0
    assert logged["transaction_id"] not in pq.read_table(out)["transaction_id"].to_pylist()
    capsys.readouterr()
