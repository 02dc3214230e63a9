"""The records of a proposal: what one person wants in force, and that somebody says no to it. Pure.

They stand among the acts, in their order, and put nothing in force: a process that decides passes them by. That a
proposal is approved says an act, which has its id. Their first field says what they are.
"""

from __future__ import annotations

from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from weir.inference.published.act import (
    ACT_BYTES_MAX,
    NONE,
    TEXT_BYTES_MAX,
    VERSION_DIGITS,
    Act,
    Hash,
    Id,
    Label,
    Parts,
    compute_hash,
    parse_act,
)
from weir.schemas.errors import Refused

_BEGINS: Final = b'{"%s":'


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    def encode(self) -> bytes:
        """Return the value of its record."""
        return self.model_dump_json(exclude_none=True).encode()


class Proposal(_Record):
    """What is put in force once another person approves it.

    Attributes:
        proposal: the format; its name says what the record is.
        id: of the act that puts it in force, too.
        hash: of the text; of a change that of the change alone, as it may be made of other lists.
        label: what decisions will call it, where that is not the beginning of its hash.
        base: what it was made for: while that is another one, the proposal cannot be approved.
        until_ms: it ends then, UTC epoch ms.
        text: as in an act; of a change the change.
        trial: what the past says of it, as answers show it.
    """

    proposal: Literal[1] = 1
    id: Id
    kind: Literal["rules", "lists"]
    action: Literal["publish", "change"]
    hash: Hash
    label: Label = ""
    base: Hash
    until_ms: int = Field(gt=0)
    who: str = Field(min_length=1, max_length=100)
    why: str = Field(min_length=1, max_length=1_000)
    text: str | None = Field(default=None, max_length=TEXT_BYTES_MAX)
    parts: Parts | None = None
    trial: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _check_shape(self) -> Self:
        if (self.text is None) == (self.parts is None):
            raise ValueError("a text is in the record or in parts")
        if self.action == "change" and (self.kind != "lists" or self.text is None):
            raise ValueError("lists alone are changed, by a text in the record")
        if self.text is not None and self.hash != compute_hash([self.text]):
            raise ValueError("the text has another hash")
        if NONE in (self.hash, self.label):
            raise ValueError("a text has a hash, and a label of its own")
        return self

    @property
    def version(self) -> str:
        """Return what it is called: of a text, what decisions will call it."""
        return self.label or self.hash[:VERSION_DIGITS]


class Rejection(_Record):
    """That somebody says no to a proposal: it can no longer be approved.

    Attributes:
        rejection: the format; its name says what the record is.
        id: of the record.
        of: the proposal.
    """

    rejection: Literal[1] = 1
    id: Id
    of: Id
    kind: Literal["rules", "lists"]
    who: str = Field(min_length=1, max_length=100)
    why: str = Field(min_length=1, max_length=1_000)


def parse_record(value: bytes | None) -> Act | Proposal | Rejection:
    """Read the value of a record.

    Raises:
        Refused: it is none of ours; nothing of it is quoted.
    """
    for name, kind in (("proposal", Proposal), ("rejection", Rejection)):
        if value is not None and value.startswith(_BEGINS % name.encode()) and len(value) <= ACT_BYTES_MAX:
            try:
                return kind.model_validate_json(value, strict=True)
            except ValidationError as error:
                first = error.errors(include_input=False, include_url=False)[0]
                raise Refused(f"expected a {name} of format 1, found: {first['msg'][:120].lower()}") from None
    return parse_act(value)
