"""The record of one act: somebody published, changed or rolled back rules, lists, thresholds or a model. Pure.

It is JSON of a fixed shape and bounded size, so that a record written by hand is refused and never run. A short text
is in the record; the parts of a long one are records of their own (``inference/published/topic.py``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Final, Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from weir.schemas.errors import Refused

Kind = Literal["rules", "lists", "thresholds", "champion", "shadow", "canary"]
KINDS: Final[tuple[Kind, ...]] = ("rules", "lists", "thresholds", "champion", "shadow", "canary")
Alias = Literal["champion", "shadow", "canary"]
ALIASES: Final[tuple[Alias, ...]] = ("champion", "shadow", "canary")
"""Kinds whose text names a model bundle by its manifest: the model that decides, one that only scores, and one that
decides for a share of the keys."""
FORMAT: Final = 1
"""Raised with a change that a process of the release before would misread; it then keeps what it has."""
NONE: Final = "none"
"""The version of what is not published: a rollback to it puts declaration, lists file and model in force again."""
TEXT_BYTES_MAX: Final = 1 << 20
"""Of a text in the record itself; as long as a file of rules may be."""
PARTS_MAX: Final = 5_000
"""Of a long text: 5 million entries of a list take 500 parts."""
ACT_BYTES_MAX: Final = 8 * TEXT_BYTES_MAX
"""A text of control characters takes six bytes for each in JSON."""
VERSION_DIGITS: Final = 12
"""Of the content hash, in decisions and in commands."""

Hash = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64}|none)$")]
Label = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z]{0,40}$")]
Id = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


class Parts(BaseModel):
    """Where the parts of a long text were written: a hint, because a copied topic has other offsets."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    count: int = Field(ge=1, le=PARTS_MAX)
    offset: int = Field(ge=0)


class HasText(Protocol):
    """What has a text, in its record or in parts: an act, and a proposal of one."""

    @property
    def hash(self) -> str:
        """Of the text; of a change it follows from what is changed, too."""
        ...

    @property
    def text(self) -> str | None:
        """In the record."""
        ...

    @property
    def parts(self) -> Parts | None:
        """In records of their own."""
        ...


class Act(BaseModel):
    """One act, as its record holds it.

    Attributes:
        id: of the act; a record that a producer sent twice has the same.
        hash: of the content that is in force after it, SHA-256; ``none`` after a rollback to what is not published.
        label: what decisions call the content; by default the beginning of its hash.
        after: the id of the newest act of the kind that its author knew; of a change it must be the newest still.
        parent: of a change, the content that it changes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal[1] = FORMAT
    id: Id
    kind: Kind
    action: Literal["publish", "change", "rollback"]
    hash: Hash
    label: Label = ""
    after: Id | Literal[""] = ""
    parent: Hash | Literal[""] = ""
    who: str = Field(min_length=1, max_length=100)
    why: str = Field(min_length=1, max_length=1_000)
    text: str | None = Field(default=None, max_length=TEXT_BYTES_MAX)
    parts: Parts | None = None

    @model_validator(mode="after")
    def _check_shape(self) -> Self:
        if (self.action == "rollback") != (self.text is None and self.parts is None):
            raise ValueError("a rollback has no text, and anything else has one")
        if self.text is not None and self.parts is not None:
            raise ValueError("a text is in the record or in parts")
        if (self.action == "change") != bool(self.parent) or (self.parent and (self.kind != "lists" or self.parts)):
            raise ValueError("lists alone are changed, by a text in the record, and a change has a parent")
        if self.text is not None and self.hash != compute_hash([self.text], parent=self.parent):
            raise ValueError("the text has another hash")
        if self.action != "rollback" and NONE in (self.hash, self.label):
            raise ValueError("a text has a hash, and a label of its own")
        return self

    @property
    def version(self) -> str:
        """Return what decisions and commands call its content."""
        return self.label or self.hash[:VERSION_DIGITS]

    def encode(self) -> bytes:
        """Return the value of its record."""
        return self.model_dump_json(exclude_none=True).encode()


@dataclass(frozen=True)
class Logged:
    """An act where it stands.

    Attributes:
        offset: of its record.
        at_ms: when the broker appended it, UTC epoch ms.
    """

    act: Act
    offset: int
    at_ms: int


def compute_hash(parts: Iterable[str], *, parent: str = "") -> str:
    """Return the content hash of a text, or of a change to what has the hash ``parent``.

    Of a text it is what ``sha256sum`` prints of the file.

    >>> compute_hash(["a", "b"]) == compute_hash(["ab"])
    True
    """
    digest = hashlib.sha256(f"{parent}\n".encode() if parent else b"")
    for part in parts:
        digest.update(part.encode())
    return digest.hexdigest()


def parse_act(value: bytes | None) -> Act:
    """Read the value of a record.

    Raises:
        Refused: it is none of ours; nothing of it is quoted.
    """
    if value is None or len(value) > ACT_BYTES_MAX:
        raise Refused(f"expected an act of at most {ACT_BYTES_MAX:,} bytes, found "
                      f"{'nothing' if value is None else f'{len(value):,} bytes'}")  # fmt: skip
    try:
        return Act.model_validate_json(value, strict=True)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "$"
        raise Refused(
            f"expected an act of format {FORMAT}, found at {where:.60}: {first['msg'][:120].lower()}"
        ) from None
