"""Takes the id of an entity out of kept lists: what erasing does next to the tables.

The text of a list is kept under the hash of its content, and a decision of another entity is made again by it. So the
text stays under that hash, with the id replaced by a random word, and a file next to it, ``<hash>.redacted``, says
which hash it has now. Numbered steps, for each text:

1. A seal of both files is written. From here on verification expects them.
2. The file that says the new hash is written, then the text.

A run that died is repeated: it finds the texts that still hold the id.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from typing import Any

from weir.archive.in_force.versions import Versions
from weir.archive.objects import Objects, Redacted, hash_content
from weir.archive.seals.chain import Chain
from weir.archive.seals.key import SealKey
from weir.archive.seals.seal import seal_files

_LISTS = "lists"
_WORD_BYTES = 8


def find_texts(objects: Objects, topics: Sequence[str], entity_id: str) -> list[Redacted]:
    """Return the kept texts of lists that hold an id, as they are without it.

    Args:
        objects: of the archive.
        topics: of what is published of each stream.
        entity_id: as a whole text, an entry of a list as well as a key of a note.

    Raises:
        Damaged: a version or a text is not what was kept.
        Transient: the store cannot be read.
    """
    hashes = {sha256 for topic in topics for sha256 in Versions(objects, topic).list_texts(_LISTS)}
    word = f"erased-{secrets.token_hex(_WORD_BYTES)}"
    return [found for sha256 in sorted(hashes) for found in _redact(objects, sha256, entity_id, word)]


def _redact(objects: Objects, sha256: str, entity_id: str, word: str) -> Iterator[Redacted]:
    try:
        document = json.loads(objects.read_content(sha256))
    except ValueError:  # no list was ever read from it
        return
    redacted = _replace(document, entity_id, word)
    if redacted != document:
        yield Redacted(sha256, json.dumps(redacted).encode())


def _replace(value: Any, entity_id: str, word: str) -> Any:
    if isinstance(value, dict):
        return {_replace(name, entity_id, word): _replace(each, entity_id, word) for name, each in value.items()}
    if isinstance(value, list):
        return [_replace(each, entity_id, word) for each in value]
    return word if value == entity_id else value


def redact(texts: Sequence[Redacted], objects: Objects, chain: Chain, key: SealKey, *, at_ms: int) -> None:
    """Put texts that were found in the place of those that hold the id.

    Raises:
        Transient: the store cannot be used now; running it again finishes.
    """
    for text in texts:
        files = text.to_files()
        chain.append(seal_files({path: hash_content(content) for path, content in files.items()}, at_ms=at_ms), key)
        for path, content in files.items():
            objects.replace(path, content)
