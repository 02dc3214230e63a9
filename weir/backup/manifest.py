"""What a backup says of itself: its first member, ``manifest.json``. Pure.

A backup is an ``xz`` file with a ``tar`` in it. After the manifest come the members in the order in which it names
them: ``database.sqlite``, and what has the same path below a home.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from weir.schemas.errors import Damaged, Refused

FORMAT: Final = 1
"""Version of all that the module says. A higher one is refused."""
MANIFEST: Final = "manifest.json"
MANIFEST_BYTES_MAX: Final = 1 << 20
DATABASE: Final = "database.sqlite"
AUDIT_KEY, SEAL_KEY, ERASURES, LISTS = "keys/audit.key", "keys/seals.pem", "erasures.jsonl", "lists.json"
_OF_HOME: Final = re.compile(
    rf"{re.escape(AUDIT_KEY)}|{re.escape(SEAL_KEY)}|{re.escape(ERASURES)}|{re.escape(LISTS)}"
    r"|lists/[A-Za-z0-9_][A-Za-z0-9_.-]*\.json|audit/calls-[0-9TZ]+\.parquet"
)


@dataclass(frozen=True)
class Member:
    """A file of a backup.

    Attributes:
        name: its path.
        size: in bytes.
        sha256: of its bytes, hexadecimal.
    """

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Calls:
    """The calls of the audit log in a backup.

    Attributes:
        count: how many there are.
        sources: where they are from: ``put back before``, ``archive``, ``topic``.
    """

    count: int
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """What a backup has.

    Attributes:
        made_ms: the moment of the database, UTC epoch ms.
        weir: the version that made it.
        project: the project's name; empty for the shipped streams.
        cluster: the name of the deployment.
        revision: of the database's tables.
        rows: of each table.
        calls: of the audit log.
        settings: that were set and are no secret, by their names in the environment.
        members: in their order.
    """

    made_ms: int
    weir: str
    project: str
    cluster: str
    revision: str
    rows: Mapping[str, int]
    calls: Calls
    settings: Mapping[str, str] = field(default_factory=dict)
    members: tuple[Member, ...] = ()

    def to_json(self) -> bytes:
        """Return it as it is written."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1).encode() + b"\n"

    @property
    def of_home(self) -> tuple[Member, ...]:
        """The members that have their place in a home."""
        return tuple(each for each in self.members if each.name != DATABASE)


def read_manifest(content: bytes) -> Manifest:
    """Return the manifest that some bytes hold.

    Raises:
        Refused: a newer version of weir wrote it.
        Damaged: it is none.
    """
    try:
        document = json.loads(content)
        found = document.pop("format")
        if isinstance(found, int) and found > FORMAT:
            raise Refused(
                f"expected a backup of format {FORMAT} or lower, found {found}: a newer version of weir wrote it, and "
                "that version puts it back"
            )
        manifest = _build(document)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise Damaged("expected the manifest of a backup, found something else") from None
    names = [each.name for each in manifest.members]
    if len(set(names)) < len(names) or DATABASE not in names or not all(map(is_known, names)):
        raise Damaged("expected the members of a backup, found others")
    return manifest


def is_known(name: str) -> bool:
    """Return whether a backup has such a member.

    >>> is_known("keys/audit.key"), is_known("lists/../../x.json"), is_known("lists/clicks.json")
    (True, False, True)
    """
    return name == DATABASE or _OF_HOME.fullmatch(name) is not None


def _build(document: dict[str, Any]) -> Manifest:
    members = tuple(Member(**each) for each in document.pop("members"))
    calls = document.pop("calls")
    return Manifest(**document, members=members, calls=Calls(calls["count"], tuple(calls["sources"])))
