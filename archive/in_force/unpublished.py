"""Keeps what is in force where nothing is published: the rules that a stream declares, and its lists file.

Rules are kept as the text of a rules file, and only when it reads as the same rules. The lists file is kept as it is,
each time that it was changed.
"""

from __future__ import annotations

import json
from pathlib import Path

from weir.archive.in_force.versions import DECLARED, OF_FILE, KeptVersion, Versions
from weir.inference.core.lists import parse_lists
from weir.inference.rule_sets import read_rules, rules_of
from weir.monitoring.logs import get_logger
from weir.schemas.errors import Refused
from weir.schemas.rules_text import write_rules
from weir.schemas.stream import Stream

FILE_BYTES_MAX = 64 << 20
"""Of a lists file, some two million entries: it is in memory as a whole. Published lists come in parts."""
log = get_logger(__name__)


class UnpublishedKeeper:
    """Keeps for one stream; one thread at a time."""

    def __init__(self, stream: Stream, lists_path: Path, versions: Versions) -> None:
        """Bind to a stream as it is declared now, to where its lists file may be, and to where versions are kept."""
        self._stream = stream
        self._lists_path = lists_path
        self._versions = versions
        self._is_declared_kept = False
        self._lists_seen: tuple[int, ...] = ()

    def look(self) -> None:
        """Keep what is new.

        Raises:
            Transient: the store did not answer in time; look again.
        """
        if not self._is_declared_kept:
            self._keep_declared()
            self._is_declared_kept = True
        seen = _sign(self._lists_path)
        if seen and seen != self._lists_seen:
            self._keep_lists_file()
        self._lists_seen = seen

    def _keep_declared(self) -> None:
        rules = rules_of(self._stream)
        if not rules.rules:
            return
        text = write_rules(rules.rules)
        try:
            is_same = read_rules(text, self._stream, "declared rules").digest == rules.digest
        except Refused:
            is_same = False
        if not is_same:
            log.error("version_not_kept", kind="rules", version=rules.version, detail="declared rules as no file can")
            return
        content = self._versions.keep_text(text.encode())
        self._versions.keep(
            KeptVersion(kind="rules", version=rules.version, content=content, texts=[content], source=DECLARED)
        )

    def _keep_lists_file(self) -> None:
        try:
            content = _read_file(self._lists_path)
            version = parse_lists(json.loads(content.decode()), tuple(self._stream.id_field_of)).version
        except (OSError, ValueError, Refused) as error:  # deciders refuse it too
            log.error("version_not_kept", kind="lists", file=str(self._lists_path), detail=str(error)[:300])
            return
        sha256 = self._versions.keep_text(content)
        self._versions.keep(KeptVersion(kind="lists", version=version, content=sha256, texts=[sha256], source=OF_FILE))


def _sign(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read_file(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(FILE_BYTES_MAX + 1)
    if len(content) > FILE_BYTES_MAX:
        raise Refused(
            f"expected a lists file of at most {FILE_BYTES_MAX:,} bytes, found a longer one; publish it instead"
        )
    return content
