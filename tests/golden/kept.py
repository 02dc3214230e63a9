"""The files of ``expected/``: named lists of lines, compressed."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

from tests.golden.log import EXPECTED
from tests.golden.observed import Lines

NAMES = ("one", "three", "contracts")


def load(name: str) -> Lines:
    """Read what was kept."""
    lines: Lines = json.loads(lzma.decompress((EXPECTED / f"{name}.json.xz").read_bytes()))
    return lines


def save(folder: Path, name: str, lines: Lines) -> None:
    """Write it into a folder, the same bytes for the same lines."""
    text = json.dumps(lines, ensure_ascii=False, separators=(",", ":")).encode()
    (folder / f"{name}.json.xz").write_bytes(lzma.compress(text, preset=9))
