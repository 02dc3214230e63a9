"""From a verdict to a label in the shape of the stream's own schema. Pure.

A label's fields are the event's of the same names, and the verdict, the time and ``source`` of who gave it. Fraud
is true, legitimate is false, and unsure takes an earlier verdict back with null.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from weir.cases.case import Conflict, Verdict
from weir.schemas.contracts import label_schemas
from weir.schemas.stream import Stream

SOURCE: Final = "source"
"""The field of a label that says who gave it, where the schema has one."""
ANALYST: Final = "analyst"
_VALUES: Final = {Verdict.FRAUD: True, Verdict.LEGITIMATE: False, Verdict.UNSURE: None}


class LabelPlan:
    """How verdicts on a stream's events become labels."""

    def __init__(self, stream: Stream) -> None:
        """Read the newest schema of the labels of a stream that has them.

        Raises:
            Refused: there is no such file.
        """
        said = stream.labels
        assert said is not None, "labels of a stream that has none; a bug of the caller"
        self.schema = label_schemas(stream)[-1]
        self._fields: dict[str, dict[str, Any]] = {field["name"]: field for field in json.loads(self.schema)["fields"]}
        self._time, self._verdict = said.time, said.verdict

    def pick(self, event: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return what of an event its label needs; nothing where a field that must be there is not."""
        picked = dict(self._pick(event))
        made = {self._time, self._verdict, *([SOURCE] if self._source is not None else [])}
        missing = [name for name in self._fields if name not in {*picked, *made}]
        return None if missing else picked

    def _pick(self, event: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        for name, field in self._fields.items():
            if name in {self._time, self._verdict} or (name == SOURCE and self._source is not None):
                continue
            value = event.get(name)
            if value is not None:
                yield name, value
            elif "default" in field or _is_nullable(field):
                yield name, field.get("default")

    @property
    def _source(self) -> str | None:
        """What the field ``source`` says of an analyst, or nothing where there is no such field or word."""
        field = self._fields.get(SOURCE)
        kinds = [] if field is None else field["type"] if isinstance(field["type"], list) else [field["type"]]
        takes = any(
            kind == "string" or ANALYST in (kind.get("symbols", ()) if _is_named(kind) else ()) for kind in kinds
        )
        return ANALYST if takes else None

    def build(self, picked: Mapping[str, Any], verdict: Verdict, *, at_ms: int) -> dict[str, Any]:
        """Return the label of an event.

        Args:
            picked: what ``pick`` returned.
            verdict: on the event.
            at_ms: when it was given.

        Raises:
            Conflict: the stream's labels cannot be withdrawn.
        """
        value = _VALUES[verdict]
        if value is None and not _is_nullable(self._fields[self._verdict]):
            raise Conflict(
                "label_stays",
                f"expected fraud or legitimate, found unsure: labels of this stream cannot be withdrawn, since their "
                f"field {self._verdict} is never null",
            )
        source = {} if self._source is None else {SOURCE: self._source}
        return {**picked, **source, self._time: at_ms, self._verdict: value}


def needs_label(verdict: Verdict, before: Verdict | None) -> bool:
    """Whether a verdict says something about an event that was not said before.

    >>> needs_label(Verdict.UNSURE, None), needs_label(Verdict.UNSURE, Verdict.FRAUD)
    (False, True)
    """
    return _VALUES[verdict] is not (None if before is None else _VALUES[before])


def _is_nullable(field: Mapping[str, Any]) -> bool:
    return isinstance(field["type"], list) and "null" in field["type"]


def _is_named(kind: Any) -> bool:
    return isinstance(kind, dict)
