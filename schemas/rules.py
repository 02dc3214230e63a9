"""A rule of a stream: what must hold whatever a model says, or where there is no model.

    Rule("many_rides", "REVIEW", col("rider_event_count_1h") >= 12, "nobody rides this often")

A rule is declared in a stream's file or written in a rules file (``rules_file.py``); both are this value. Its condition
is over features, fields that are kept, the score and lists; what is missing fulfils no condition and no negation of
one (``docs/rules.md``). Rules are no part of the declarations' hash: they change nothing that is stored.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from weir.schemas.entity import as_tuple
from weir.schemas.expression import Expression, to_data
from weir.schemas.origin import Origin, find_origin

DECLINE, ALLOW, REVIEW, ALERT, TAG = "DECLINE", "ALLOW", "REVIEW", "ALERT", "TAG"
OUTCOMES: Final = (DECLINE, ALLOW, REVIEW, ALERT, TAG)
"""What a rule does, by precedence; ALERT and TAG add a word to the decision and change nothing of it."""
ALERT_TAG: Final = "alert:"
"""What the word of an ALERT begins with, and that of no TAG, as a code has no colon: such a decision opens a case."""
LIVE, SHADOW, OFF = "live", "shadow", "off"
MODES: Final = (LIVE, SHADOW, OFF)
SCORE: Final = "score"
"""The name of the model's score in a condition: no feature and no field that is kept can be called so."""

_OPEN: Final = (-(1 << 63), (1 << 63) - 1)


@dataclass(frozen=True)
class Example:
    """A case of a rule: what is given, and whether the rule is fulfilled.

    Attributes:
        values: of features, fields and the score; what is not named is missing.
        hit: what is expected.
        lists: by list, the id fields whose ids are on it.
    """

    values: Mapping[str, str | int | float | bool | None]
    hit: bool
    lists: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    where: Origin = dataclasses.field(default_factory=find_origin, compare=False, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.lists, dict):
            object.__setattr__(self, "lists", {name: as_tuple(fields) for name, fields in self.lists.items()})


@dataclass(frozen=True, eq=False)
class Rule:
    """One rule.

    Attributes:
        name: is in ``decided_by`` of the decisions that it makes.
        then: DECLINE, ALLOW, REVIEW, ALERT or TAG.
        when: a condition over features, kept fields, the score and lists.
        why: for the person who reads the rule, and the decision.
        code: the reason code, and what is noted of a tag or an alert; the name in upper case by default.
        text: what the decision says instead of ``why``.
        owner: whom to ask.
        mode: ``live``; ``shadow`` is noted in decisions and changes nothing; ``off`` is not looked at.
        priority: of two rules with one outcome the larger goes first, then the earlier.
        valid_from: UTC, like ``2026-01-31`` or ``2026-01-31T12:00:00Z``; held against the record's append time.
        valid_to: the first moment at which it is not in force any more.
        examples: cases that ``weir rules test`` runs.
    """

    name: str
    then: str
    when: Expression
    why: str
    code: str = ""
    text: str = ""
    owner: str = ""
    mode: str = LIVE
    priority: int = 0
    valid_from: str = ""
    valid_to: str = ""
    examples: Sequence[Example] = ()
    where: Origin = dataclasses.field(default_factory=find_origin, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "examples", as_tuple(self.examples))
        if not self.code:
            object.__setattr__(self, "code", str(self.name).upper())

    @property
    def valid_ms(self) -> tuple[int, int]:
        """From when to when it is in force, epoch ms, the end not included.

        Raises:
            ValueError: one of them is no time.
        """
        least, most = _OPEN
        return (
            parse_time_ms(self.valid_from) if self.valid_from else least,
            parse_time_ms(self.valid_to) if self.valid_to else most,
        )

    @property
    def word(self) -> str:
        """What is noted in the tags of a decision, where the rule is one that notes something.

        >>> from weir.schemas.expression import col
        >>> Rule("mule", "ALERT", col("n") >= 3, "a mule").word, Rule("odd", "TAG", col("n") >= 3, "odd").word
        ('alert:MULE', 'ODD')
        """
        return f"{ALERT_TAG}{self.code}" if self.then == ALERT else self.code

    @property
    def is_always_valid(self) -> bool:
        """Whether it has no bounds in time."""
        return not (self.valid_from or self.valid_to)


def parse_time_ms(text: str) -> int:
    """Return a time as epoch ms; one without a zone is UTC.

    >>> parse_time_ms("2026-01-01"), parse_time_ms("2026-01-01T02:00:00+02:00")
    (1767225600000, 1767225600000)

    Raises:
        ValueError: it is no time.
    """
    moment = datetime.fromisoformat(text)
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def digest_of(rules: Iterable[Rule]) -> str:
    """Return the SHA-256 of all that rules decide by, as hex digits; who owns them and their examples change nothing.

    What a rule does not say is left out, so that a new attribute changes no digest of before.
    """
    written = json.dumps(
        [[rule.name, rule.then, to_data(rule.when), rule.why, rule.code, *_more(rule)] for rule in rules]
    )
    return hashlib.sha256(written.encode()).hexdigest()


def _more(rule: Rule) -> list[dict[str, Any]]:
    least, most = rule.valid_ms
    said: dict[str, tuple[Any, Any]] = {
        "text": (rule.text, ""),
        "mode": (rule.mode, LIVE),
        "priority": (rule.priority, 0),
        "from": (least, _OPEN[0]),
        "to": (most, _OPEN[1]),
    }
    found = {name: value for name, (value, default) in said.items() if value != default}
    return [found] if found else []
