"""What is known of one upload, as a value. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import orjson

State = Literal["waiting", "running", "done", "failed"]
Form = Literal["csv", "parquet"]
ENDED = frozenset({"done", "failed"})
ABANDONED = "expected the process that works on it to stay, found it ended; upload the file again"


@dataclass(frozen=True)
class Job:
    """One upload.

    Attributes:
        id: of it, which nobody can guess.
        form: of the file, and of the result.
        rows: events that were answered so far.
        rows_total: events in the file; None until they are counted.
        rows_with_error: of ``rows``, those that have no score.
        created_ms: when the upload began, UTC epoch ms; so are the others.
        problem: why it failed, as one sentence; ``""`` otherwise.
    """

    id: str
    form: Form
    created_ms: int
    state: State = "waiting"
    rows: int = 0
    rows_total: int | None = None
    rows_with_error: int = 0
    started_ms: int | None = None
    finished_ms: int | None = None
    problem: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it changes any more."""
        return self.state in ENDED

    def start(self, now_ms: int) -> Job:
        """Return it with the work begun."""
        return replace(self, state="running", started_ms=now_ms)

    def know_total(self, rows_total: int) -> Job:
        """Return it with its events counted."""
        return replace(self, rows_total=rows_total)

    def count(self, rows: int, rows_with_error: int) -> Job:
        """Return it with so many more rows answered."""
        return replace(self, rows=self.rows + rows, rows_with_error=self.rows_with_error + rows_with_error)

    def finish(self, now_ms: int) -> Job:
        """Return it done."""
        return replace(self, state="done", finished_ms=now_ms)

    def fail(self, problem: str, now_ms: int) -> Job:
        """Return it failed.

        >>> Job("a", "csv", 1).start(2).fail("expected a header line, found none", 3).state
        'failed'
        """
        return replace(self, state="failed", problem=problem, finished_ms=now_ms)

    def expires_ms(self, keep_ms: int) -> int | None:
        """Return when it is deleted; None while it has not ended."""
        return None if self.finished_ms is None else self.finished_ms + keep_ms


def write_job(job: Job) -> bytes:
    """Return a job as JSON."""
    return orjson.dumps(asdict(job))


def read_job(text: bytes) -> Job:
    """Return the job that ``write_job`` wrote.

    >>> read_job(write_job(Job("a", "csv", 1))) == Job("a", "csv", 1)
    True
    """
    document: dict[str, Any] = orjson.loads(text)
    return Job(**document)
