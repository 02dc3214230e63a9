"""The kept versions of what decides on one stream, by the name that decisions have for them, and by content.

``_versions/<topic>/<kind>/<content>+<version>+<sha256>.json`` says what a version is made of: a text, or a change to
another version of lists, which ``parent`` names by its content. Its own name ends with its hash, and the texts are
objects under theirs, so that nothing is read that is not what was kept. ``<topic>`` is that of what is published of the
stream, which need not exist any more, or ever.

**Delivery:** a version's texts are there before the version is. What is there is never written over, and what was half
written is written again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Annotated, Final, Literal, NamedTuple
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from weir.archive.objects import POSITION_FILE, VERSIONS, Objects
from weir.schemas.errors import Damaged

FORMAT: Final = 1
PUBLISHED: Final = "published"
DECLARED: Final = "declared"
OF_FILE: Final = "lists_file"
NONE: Final = "none"
_NAME_MAX = 80
"""Of a version in a file's name, quoted: a lists file may be called anything."""
_PARTS = 3

_Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class KeptVersion(BaseModel):
    """A version as its file says it.

    Attributes:
        content: hash of its texts after another, and of a change of the parent's content before them.
        texts: hashes of its objects, in order.
        parent: of a change, the content that it changes; ``none`` for lists that are empty.
        source: whether it was published, declared with the stream, or read from the lists file.
        who: published it; empty for what was not published.
        why: it was published.
        at_ms: when the broker appended its record, UTC epoch ms; 0 for what was not published.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal[1] = FORMAT
    kind: Literal["rules", "lists", "thresholds"]
    version: str
    content: _Hash
    texts: list[_Hash] = Field(min_length=1)
    parent: _Hash | Literal["none", ""] = ""
    source: Literal["published", "declared", "lists_file"]
    who: str = ""
    why: str = ""
    at_ms: int = 0


class _Name(NamedTuple):
    """What a file's name says."""

    content: str
    version: str
    sha256: str


class Versions:
    """The kept versions of one stream; one thread at a time."""

    def __init__(self, objects: Objects, topic: str) -> None:
        """Bind to an archive.

        Args:
            objects: of the archive.
            topic: of what is published of the stream.
        """
        self._objects = objects
        self._folder = f"{VERSIONS}/{topic}"
        self._listed: dict[str, dict[str, _Name]] = {}

    def keep_text(self, text: bytes) -> str:
        """Keep a text or a part of one, and return its hash.

        Raises:
            Transient: the store cannot be written.
        """
        return self._objects.keep_content(text)

    def keep(self, kept: KeptVersion) -> None:
        """Keep a version whose texts are kept.

        Raises:
            Transient: the store cannot be written.
        """
        document = kept.model_dump_json().encode()
        sha256 = hashlib.sha256(document).hexdigest()
        name = "+".join((kept.content, _quote(kept.version), sha256))
        self._objects.write(f"{self._folder}/{kept.kind}/{name}.json", document)
        self._listed.pop(kept.kind, None)

    def keep_position(self, topic_id: str, next_offset: int) -> None:
        """Keep how far what is published was read.

        Raises:
            Transient: the store cannot be written.
        """
        document = {"topic_id": topic_id, "next_offset": next_offset}
        self._objects.replace(f"{self._folder}/{POSITION_FILE}", json.dumps(document).encode())

    def read_position(self, topic_id: str) -> int:
        """Return how far a topic was read; 0 where that is not known of it.

        Raises:
            Transient: the store cannot be read.
        """
        try:
            document = json.loads(self._objects.read(f"{self._folder}/{POSITION_FILE}") or b"{}")
            return int(document["next_offset"]) if document["topic_id"] == topic_id else 0
        except (ValueError, KeyError, TypeError):
            return 0

    def list_texts(self, kind: str) -> set[str]:
        """Return the hashes of the texts of every version of a kind.

        Raises:
            Damaged: a file is not what was kept.
            Transient: the store cannot be read.
        """
        return {sha256 for path, name in self._list(kind).items() for sha256 in self._read(kind, path, name).texts}

    def find(self, kind: str, version: str) -> list[KeptVersion]:
        """Return what a name stands for: as a rule one version, more where the name was used twice; each content once.

        Raises:
            Damaged: a file is not what was kept.
            Transient: the store cannot be read.
        """
        wanted = _quote(version)
        found = [self._read(kind, path, name) for path, name in self._list(kind).items() if name.version == wanted]
        return list({each.content: each for each in found if each.version == version}.values())

    def read_steps(self, kept: KeptVersion) -> list[KeptVersion]:
        """Return what a version is made of: one that is whole, then the changes to it, oldest first.

        Raises:
            Damaged: one is gone, or is not what was kept.
            Transient: the store cannot be read.
        """
        steps = [kept]
        while (parent := steps[-1].parent) not in {"", NONE}:
            before = self._of_content(kept.kind, parent)
            if before is None or before in steps:
                raise Damaged(
                    f"expected the {kept.kind} {parent[:12]} in the archive, which {kept.version} changes, found none; "
                    "`weir archive` keeps them while their topic is there"
                )
            steps.append(before)
        return steps[::-1]

    def read_texts(self, kept: KeptVersion) -> Iterator[str]:
        """Yield the parts of a version's text; the whole of it is checked then, unless an id was erased from a part.

        Raises:
            Damaged: one is gone, or is not what was kept.
            Transient: the store cannot be read.
        """
        digest = start_hash(kept.parent)
        for sha256 in kept.texts:
            content = self._objects.read_content(sha256)
            digest.update(content)
            yield content.decode()
        if digest.hexdigest() != kept.content and not any(map(self._objects.is_redacted, kept.texts)):
            raise Damaged(f"expected the text of {kept.kind} {kept.version} as it was kept, found another")

    def _of_content(self, kind: str, content: str) -> KeptVersion | None:
        paths = [(path, name) for path, name in self._list(kind).items() if name.content == content]
        return self._read(kind, *paths[0]) if paths else None

    def _list(self, kind: str) -> dict[str, _Name]:
        if kind not in self._listed:
            self._listed[kind] = dict(_read_names(self._objects.list_files(f"{self._folder}/{kind}")))
        return self._listed[kind]

    def _read(self, kind: str, path: str, name: _Name) -> KeptVersion:
        document = self._objects.read_checked(path, name.sha256)
        try:
            kept = KeptVersion.model_validate_json(document, strict=True)
        except ValidationError:
            raise Damaged(
                f"expected {path} to be a version of format {FORMAT}, found something else; ask with the release that "
                "wrote it"
            ) from None
        if (kept.kind, kept.content, _quote(kept.version)) != (kind, name.content, name.version):
            raise Damaged(f"expected {path} to be the version that its name says, found another")
        return kept


def list_topics(objects: Objects) -> set[str]:
    """Return the topics of what is published of which an archive keeps versions, also those that are gone.

    Raises:
        Transient: the store cannot be read.
    """
    return {
        path.removeprefix(f"{VERSIONS}/").partition("/")[0] for path in objects.list_files(VERSIONS, recursive=True)
    }


def start_hash(parent: str) -> hashlib._Hash:
    """Return what the texts of a version are hashed with, as what is published is.

    >>> start_hash("").hexdigest() == hashlib.sha256(b"").hexdigest()
    True
    """
    return hashlib.sha256(f"{parent}\n".encode() if parent else b"")


def _read_names(paths: Iterable[str]) -> Iterator[tuple[str, _Name]]:
    for path in paths:
        parts = path.rpartition("/")[2].removesuffix(".json").split("+")
        if len(parts) == _PARTS:
            yield path, _Name(*parts)


def _quote(version: str) -> str:
    return quote(version, safe="")[:_NAME_MAX]
