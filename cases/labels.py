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
from weir.schemas.label_source import ANALYST, SOURCE
from weir.schemas.stream import Stream

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
        self._source = {SOURCE: ANALYST} if SOURCE in self._fields and _takes_analyst(self._fields[SOURCE]) else {}
        made = {self._time, self._verdict, *self._source}
        self._copied = {name: field for name, field in self._fields.items() if name not in made}

    def pick(self, event: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return what of an event its label needs; nothing where a field that must be there is not."""
        picked = dict(self._pick(event))
        return picked if len(picked) == len(self._copied) else None

    def _pick(self, event: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        for name, field in self._copied.items():
            value = event.get(name)
            if value is not None:
                yield name, value
            elif "default" in field or _is_nullable(field):
                yield name, field.get("default")

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
        return {**picked, **self._source, self._time: at_ms, self._verdict: value}


def needs_label(verdict: Verdict, before: Verdict | None) -> bool:
    """Whether a verdict says something about an event that was not said before.

    >>> needs_label(Verdict.UNSURE, None), needs_label(Verdict.UNSURE, Verdict.FRAUD)
    (False, True)
    """
    return _VALUES[verdict] is not (None if before is None else _VALUES[before])


def _is_nullable(field: Mapping[str, Any]) -> bool:
    return isinstance(field["type"], list) and "null" in field["type"]


def _takes_analyst(field: Mapping[str, Any]) -> bool:
    """Whether a field takes a text, or is an enum with the word."""
    kinds = field["type"] if isinstance(field["type"], list) else [field["type"]]
    return any(kind == "string" or (isinstance(kind, dict) and ANALYST in kind.get("symbols", ())) for kind in kinds)
