"""Every fault of a stream's rules: features that there are not, and conditions that are no comparison."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from weir.schemas.checks.expression_types import nearest
from weir.schemas.expression import Expression, to_text
from weir.schemas.origin import Finding
from weir.schemas.rules import DECISIONS, Rule, list_comparisons, read_comparison
from weir.schemas.stream import Stream

TAKEN: Final = frozenset({"model", "fallback", "rules"})
"""What ``decided_by`` says where no rule decided."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


def find_rule_faults(stream: Stream) -> Iterator[Finding]:
    """Yield every fault of the rules."""
    times = Counter(rule.name for rule in stream.rules)
    for rule in stream.rules:
        for fault in (*_find_own_faults(rule, times), *_find_condition_faults(rule, stream)):
            yield Finding(rule.where, f"rule {rule.name}", fault)


def _find_own_faults(rule: Rule, times: Counter[str]) -> Iterator[str]:
    if not _NAME.fullmatch(rule.name):
        yield f"expected a name of a-z, 0-9 and _, found {rule.name!r}"
    if rule.name in TAKEN or rule.name.startswith(("allow_list", "block_list")):
        yield f"expected a name that is not taken, found {rule.name!r}"
    if times[rule.name] > 1:
        yield f"expected one rule of this name, found {times[rule.name]}"
    if rule.then not in DECISIONS:
        yield f"expected one of {', '.join(DECISIONS)}, found {rule.then!r}{nearest(rule.then, DECISIONS)}"


def _find_condition_faults(rule: Rule, stream: Stream) -> Iterator[str]:
    if not isinstance(rule.when, Expression):
        yield f'expected an expression such as col("feature") >= 12, found {rule.when!r:.80}'
        return
    for node in list_comparisons(rule.when):
        comparison = read_comparison(node)
        if comparison is None:
            yield f"expected a feature compared with a number, joined by &, found {to_text(node)}"
        elif comparison[0] not in stream.feature_names:
            yield f"expected a feature, found {comparison[0]!r}{nearest(comparison[0], stream.feature_names)}"
        elif not math.isfinite(comparison[2]):
            yield f"expected a number that is finite, found {to_text(node)}"
