"""The evidence of each retraining: a folder with ``evidence.json`` and ``evidence.md``, written again after every step.

**Delivery:** each file is replaced whole. What was killed is found by the next run as a folder without an outcome, and
is continued from the step that it had not finished. One run at a time holds the lock, which ends with its process.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from weir.inference.published.gate import Gate
from weir.schemas.errors import Refused
from weir.training.retraining.page import build_page
from weir.training.tracking import Trial

FOLDER: Final = "retraining"
JSON_FILE: Final = "evidence.json"
PAGE_FILE: Final = "evidence.md"
_LOCK_FILE: Final = ".lock"


@dataclass
class Run:
    """One retraining.

    Attributes:
        folder: of its evidence, named by the time at which it began.
        why: it was begun.
        steps: name, ``passed``, what was found, gates, and trials of a search, in order.
        version: of the bundle that it trained; empty before.
        outcome: ``promoted`` or why it was not; empty while it runs.
        content: hash of the bundle that it trained; empty before.
        champion: content of what decided when the gates were run; empty before, and where nothing did.
    """

    folder: Path
    why: list[str]
    stream: str
    steps: list[dict[str, Any]] = field(default_factory=list)
    version: str = ""
    outcome: str = ""
    content: str = ""
    champion: str = ""

    @property
    def id(self) -> str:
        """The name of its folder."""
        return self.folder.name

    @property
    def ended_ms(self) -> int:
        """When its last step was done, UTC epoch ms; 0 before the first."""
        return int(self.steps[-1]["at_ms"]) if self.steps else 0

    def find(self, step: str) -> Mapping[str, Any] | None:
        """Return a step that is done."""
        return next((each for each in self.steps if each["step"] == step), None)

    def add(
        self,
        step: str,
        found: str,
        *,
        passed: bool,
        at_ms: int,
        gates: Sequence[Gate] = (),
        trials: Sequence[Trial] = (),
    ) -> None:
        """Note a step that is done, and write the evidence."""
        tried = [{"trial": t.name, "parameters": t.parameters, "metrics": t.metrics} for t in trials]
        told = [{"gate": g.name, "passed": g.passed, "found": g.found, "wanted": g.wanted} for g in gates]
        done = {"step": step, "passed": passed, "found": found, "at_ms": at_ms, "gates": told}
        self.steps.append(done | ({"trials": tried} if tried else {}))
        self.save()

    def end(self, outcome: str) -> None:
        """Note how it ended."""
        self.outcome = outcome
        self.save()

    def as_document(self) -> dict[str, Any]:
        """Return all of it."""
        return {
            "id": self.id,
            "stream": self.stream,
            "why": self.why,
            "version": self.version,
            "content": self.content,
            "champion": self.champion,
            "outcome": self.outcome,
            "steps": self.steps,
        }

    def save(self) -> None:
        """Write the evidence.

        Raises:
            OSError: the disk is full, or the folder cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        document = self.as_document()
        _replace(self.folder / JSON_FILE, json.dumps(document, indent=2) + "\n")
        _replace(self.folder / PAGE_FILE, build_page(document))


@contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """Hold the lock of a stream's retraining.

    Raises:
        Refused: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK_FILE).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(
                f"expected no other retraining of this stream, found one that runs; its evidence is in {folder}"
            ) from None
        yield


def list_runs(folder: Path) -> list[Run]:
    """Return the runs whose evidence is there, oldest first.

    Raises:
        Refused: the evidence of one cannot be read.
    """
    return [_read(each.parent) for each in sorted(folder.glob(f"*/{JSON_FILE}"))]


def _read(folder: Path) -> Run:
    try:
        document = json.loads((folder / JSON_FILE).read_text(encoding="utf-8"))
        kept = {name: document[name] for name in ("why", "stream", "steps", "version", "outcome")}
        kept |= {name: document.get(name, "") for name in ("content", "champion")}  # a run of before has neither
    except (ValueError, KeyError, TypeError):
        raise Refused(
            f"{folder / JSON_FILE}: expected the evidence of a retraining, found none; move it away"
        ) from None
    return Run(folder, **kept)


def _replace(path: Path, text: str) -> None:
    staging = path.with_name(f".{path.name}.{os.getpid()}")
    with staging.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    staging.replace(path)
