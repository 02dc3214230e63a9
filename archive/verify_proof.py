#!/usr/bin/env python3
"""Check the proof of one decision: ``python verify_proof.py PROOF.json [HEAD_HASH]``; it imports nothing of Weir.

A row's bytes give its leaf, leaf and path a root, which is in a seal; from the newest seal on, the head, each carries
the hash of an older one. Give the head's hash that you kept. Exit code 0: rows are as sealed, or erased as recorded.
"""

import hashlib
import hmac
import json
import struct
import sys
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def sized(hexadecimal: str | None) -> bytes:  # noqa: D103
    content = bytes.fromhex(hexadecimal or "")
    return b"\xff" * 4 if hexadecimal is None else struct.pack(">I", len(content)) + content


def leaf_of(row: Row) -> bytes:  # noqa: D103
    place = struct.pack(">iqq", row["partition"], row["offset"], row["append_ms"])
    parts = [b"weir.row.1", sized(row["table"].encode().hex()), place, sized(row["key"]), sized(row["value"])]
    parts += [struct.pack(">I", len(row["headers"]))]
    parts += [sized(name.encode().hex()) + sized(value) for name, value in row["headers"]]
    return hmac.digest(bytes.fromhex(row["salt"]), b"\0" + b"".join(parts), "sha256")


def root_of(leaf: bytes, index: int, size: int, path: list[str]) -> str:  # noqa: D103
    node, last, rest = hashlib.sha256(b"\0" + leaf).digest(), size - 1, [bytes.fromhex(each) for each in path]
    while last:
        if index < last or index & 1:
            other = rest.pop(0) if rest else b""
            node = hashlib.sha256(b"\1" + (other + node if index & 1 else node + other)).digest()
        index, last = index >> 1, last >> 1
    return "" if rest else node.hex()


def place_of(row: Row, seal: Row) -> tuple[int, int]:  # noqa: D103
    index, size = -1, 0
    for partition in sorted(seal["runs"], key=int) if seal["table"] == row["table"] else ():
        for first, length in seal["runs"][partition]:
            if int(partition) == row["partition"] and first <= row["offset"] < first + length:
                index = size + row["offset"] - first
            size += length
    return index, size


def chained(texts: list[str], head: str) -> list[Row]:  # noqa: D103
    by_hash, found, wanted = {hashlib.sha256(text.encode()).hexdigest(): text for text in texts}, [], [head]
    while wanted:
        if text := by_hash.pop(wanted.pop(), ""):
            found.append(json.loads(text))
            wanted += [found[-1]["previous"], found[-1]["skip"]]
    return found


def judge(row: Row, event: str, seals: list[Row]) -> str:  # noqa: D103
    own = {seal["kind"]: (*place_of(row, seal), seal) for seal in seals if place_of(row, seal)[0] >= 0}
    if row["salt"] is None and "erasure" not in own:
        return "WRONG: empty, and nothing says that it was erased"
    leaf = bytes.fromhex(row["leaf"]) if row["salt"] is None else leaf_of(row)
    index, size, seal = own.get("rows", (0, 1, {"root": None}))
    if root_of(leaf, index, size, row["path"]) != seal["root"]:
        return "WRONG: not as it was sealed"
    if row["salt"] is None:
        return "erased, as recorded"
    return "WRONG: of another event" if row["value"] and event not in row["value"] else "as it was sealed"


if __name__ == "__main__":
    proof = json.loads(Path(sys.argv[1]).read_text())["proof"]
    head = sys.argv[2] if len(sys.argv) > 2 else proof["head"]["hash"]
    lines = [(row, judge(row, proof["id"].encode().hex(), chained(proof["seals"], head))) for row in proof["rows"]]
    sys.stdout.writelines(f"{row['table']}[{row['partition']}]@{row['offset']}: {line}\n" for row, line in lines)
    sys.stdout.write(f"head {head}\n")
    sys.exit(not lines or any(line.startswith("WRONG") for _, line in lines))
