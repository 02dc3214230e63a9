"""What verification finds, in words: which row or seal, and what is wrong with it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

CHANGED = "changed"
REMOVED = "removed"
ADDED = "added"
MISREAD = "columns changed"
TWICE = "twice"
REPLACED = "replaced"
ERASED_UNRECORDED = "erased without a record"
NOT_ERASED = "not erased"
NOT_REMOVED = "not removed"
GONE = "gone"
UNREADABLE = "unreadable"
SEAL_ALTERED = "seal altered"
SEAL_MISSING = "seal missing"
SEAL_UNSIGNED = "signature wrong"
KEY_UNKNOWN = "key unknown"
HEAD_MISSING = "head missing"

MEANING = {
    CHANGED: "its bytes are not those that were sealed",
    REMOVED: "it was sealed and is not in the table",
    MISREAD: "its bytes are as sealed, and a column that was read from them is not what they say",
    ADDED: "it is in the table and in no seal",
    TWICE: "it is in the table more than once",
    REPLACED: "some row of it was replaced by one with a leaf of its own",
    ERASED_UNRECORDED: "its bytes are gone, and no seal says that they were erased",
    NOT_ERASED: "a seal says that it was erased, and its bytes are there; run `weir archive erase` again",
    NOT_REMOVED: "a seal says that rows of it were removed because they are old, and some are there; run `weir archive "
    "optimize`",
    GONE: "it was sealed and is not there; put it back from a copy of the archive",
    UNREADABLE: "the file is missing or damaged; put it back from a copy of the archive; where there is none, "
    "`weir archive drop-damaged`",
    SEAL_ALTERED: "its text is not the one that was sealed",
    SEAL_MISSING: "the seals before and after it are there",
    SEAL_UNSIGNED: "no key of an archiver signed it",
    KEY_UNKNOWN: "a key that is not trusted signed it",
    HEAD_MISSING: "no seal has the hash that was kept elsewhere: the chain was written again, or its end is gone",
}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        kind: one of the words above.
        where: the row, seal or batch by its name.
    """

    kind: str
    where: str

    def __str__(self) -> str:
        return f"{self.where}: {self.kind}: {MEANING[self.kind]}"


def name_row(table: str, partition: int, offset: int) -> str:
    """Return how a row is named: as everywhere, by its topic's coordinates.

    >>> name_row("decisions", 3, 17)
    'decisions[3]@17'
    """
    return f"{table}[{partition}]@{offset}"


def name_seal(sequence: int) -> str:
    """Return how a seal is named.

    >>> name_seal(4)
    'seal 4'
    """
    return f"seal {sequence}"
