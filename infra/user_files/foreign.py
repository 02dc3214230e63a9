"""Files that are something else: said by name, with the way to rows that can be read.

Looked at is how a file begins, never its name: an archive renamed to ``.csv`` is an archive.
"""

from __future__ import annotations

import re

from weir.schemas.errors import Refused

_ROWS = "one row per payment, see docs/publish.md"
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a zip archive or an Excel workbook; unzip it, or save the sheet as CSV UTF-8"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook; save the sheet as CSV UTF-8"),
    (b"BZh", "bzip2 data; unpack it first (gzip is read as it is)"),
    (b"\xfd7zXZ\x00", "xz data; unpack it first (gzip is read as it is)"),
    (b"\x28\xb5\x2f\xfd", "zstd data; unpack it first (gzip is read as it is)"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-zip archive; unpack it first"),
    (b"ORC", "an ORC file; write it as Parquet"),
    (b"Obj\x01", "an Avro container file; write it as Parquet or JSON lines"),
    (b"ARROW1", "an Arrow (Feather) file; write it as Parquet"),
    (b"SQLite format 3\x00", "a SQLite database; export the table as CSV"),
    (b"%PDF", "a PDF document; ask for the data as CSV"),
)
_ISO_8583_TEXT = re.compile(rb"(?:[0-9]{4})?[0-2][1-8][0-9]{2}[0-9A-Fa-f]{16}")
_ISO_8583_BYTES = re.compile(
    rb"(?:[\x00-\x07].)?(?:[0-2][1-8][0-9]{2}[\x80-\xff]|[\x01\x02][\x00-\x30][\x20-\xff])", re.DOTALL
)
"""A length may stand first; then the message type and a bitmap, as text, in hex or in bytes."""
_SEPARATED = re.compile(rb"[,;\t|]")
_ISO_20022 = re.compile(rb"urn:(?:iso:std:iso:20022|[a-z]+:xsd:[$]?(?:pain|pacs|camt|cain|caaa))")
_CONVERT_8583 = (
    "ISO 8583 messages; decode them with a library for your network's dialect into " + _ROWS + ": "
    "field 2 as a token is card_id, 4 amount_minor, 7 or 12 and 13 event_time_ms, 18 mcc, 37 transaction_id, "
    "39 outcome, 42 merchant_id, 49 currency as letters"
)
_CONVERT_20022 = (
    "an ISO 20022 message in XML; turn each transaction element into " + _ROWS + ": "
    "amounts are major units there (Amt with Ccy), times are ISO 8601, the card number must become a token"
)


def refuse_foreign(name: str, head: bytes) -> None:
    """Refuse a file whose first bytes are those of another format.

    Raises:
        Refused: says what it is and what to do with it.
    """
    found = _recognise(head)
    if found:
        raise Refused(f"expected CSV, JSON lines or Parquet in {name}, found {found}")


def _recognise(head: bytes) -> str:
    for magic, what in _MAGIC:
        if head.startswith(magic):
            return what
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(b"<"):
        return _CONVERT_20022 if _ISO_20022.search(head) else f"XML or HTML; turn it into {_ROWS}"
    if text.startswith(b"["):
        return "one JSON array; write one object a line, as `jq -c '.[]'` does"
    in_hex = _ISO_8583_TEXT.match(text) and not _SEPARATED.search(text.split(b"\n", 1)[0])
    return _CONVERT_8583 if in_hex or _ISO_8583_BYTES.match(head) else ""
