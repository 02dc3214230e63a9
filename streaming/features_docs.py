"""The features of a stream for people: a list, and a page that says what a window is and what each feature is for."""

from __future__ import annotations

import json
from pathlib import Path

from weir.schemas.currencies import BASE_CURRENCY, compute_base_minor, format_amount
from weir.schemas.declarations_hash import PANES_PER_WINDOW
from weir.schemas.durations import DAY_MS, HOUR_MS, MINUTE_MS
from weir.schemas.entity import Aggregate, Feature
from weir.schemas.expression import find_money
from weir.schemas.project import SHIPPED
from weir.schemas.stream import Stream
from weir.schemas.streams.payments import payments

_HEAD = """\
# Features

Generated from `{file}` by {command}.{owner}{money}

A window is event time, `(t - window, t]`, evaluated at each event and including it.
A window that is *held* ends before the event: `(t - hold - window, t - hold]`.
{reversal}
{others} that names nobody, such as `null`, `unknown`, `N/A` or `0.0.0.0`, is as null:
its features are missing, it is no distinct or new value, and no {event}s are joined by it.
`schemas/placeholders.py` has the list, and `WEIR_PLACEHOLDER_IDS` adds to it.
As the id of the {key} or the {event} it is refused.

What a window counts is exact up to K events, and beyond that at most one pane (a thirtieth of the window) too much:

- Each entity keeps its newest K events as they are (K: {recent}), per input partition; older ones are kept by pane.
- A window is exact if at most K events of the entity are younger than its start less one pane.
  So a 30-day window wants at most K events in 31 days.
- Beyond, the pane that holds the window's start counts whole: events of up to `window / 30` before the start are
  counted too, never one too few. Smallest, largest, mean, ratio and age are over the same events.
  Distinct values are then estimated from 256 bits: a few percent up to some 200 values, at most 1,597.
- An event that arrives out of order sees the pane of its own time whole, with events up to `window / 30` after it.
  So does the end of a held window, which lies inside a pane.
- An hour-long window forgets by its own panes of two minutes, a 30-day window by panes of a day.

{labels}How large the errors are on a realistic stream is in `docs/results/windows.md`.

"""
_PAYMENTS_COMMAND = "`weir features docs > docs/features.md`; a test holds the two equal"
_COMMAND = "`weir features docs --stream NAME`"
_LABELS = """\
Label risk is the fraud share of labelled {event}s, by the {event}s' own time, held back {hold}.
It is kept by pane alone: it looks at the 30 whole panes that end at or before `t - {hold}`.
So it spans a whole window that ends up to one pane before `t - {hold}`:
{spans}.
An event that is older than the newest labelled {event} of its {labelled} may miss panes at the start.

"""
_REVERSAL = (
    "Windows are of {event}s, except those of measure `{name}`; at a {name}, they are of the {event}s before it.\n"
)


def describe(feature: Feature) -> dict[str, str | int]:
    """Return one feature's declaration as text."""
    return {
        "name": feature.name,
        "entity": feature.entity,
        "measure": feature.measure,
        "aggregate": str(feature.aggregate),
        "window": feature.window,
        "hold_days": feature.hold_ms // DAY_MS,
        "why": feature.why,
        "owner": feature.owner,
    }


def format_list(stream: Stream, declared_as: str | None = None) -> str:
    """List the features, one per line, or as one JSON document with the hash of the declarations that is given."""
    if declared_as:
        features = [describe(feature) for feature in stream.all_features]
        return json.dumps({"declarations_hash": declared_as, "features": features}) + "\n"
    width = max(map(len, stream.feature_names), default=0)
    owned = {feature.name: f" ({feature.owner})" for feature in stream.all_features if feature.owner}
    lines = (f"{feature.name:<{width}}  {feature.why}{owned.get(feature.name, '')}" for feature in stream.all_features)
    return "".join(f"{line}\n" for line in lines)


def format_docs(stream: Stream) -> str:
    """Return a stream's page: what a window is, and the features as a Markdown table.

    >>> format_docs(payments).splitlines()[0]
    '# Features'
    """
    has_others = any(feature.owner != stream.owner for feature in stream.all_features)
    columns = ["feature", "entity", "aggregate", "window", "why", *(["owner"] if has_others else [])]
    rows = [_format_row(feature, with_owner=has_others) for feature in stream.all_features]
    return _format_head(stream) + "\n".join([f"| {' | '.join(columns)} |", "|---" * len(columns) + "|", *rows]) + "\n"


def _format_row(feature: Feature, *, with_owner: bool) -> str:
    held = f", held {feature.hold}" if feature.hold else ""
    window = f"{feature.window or 'none'}{held}"
    cells = [f"`{feature.name}`", feature.entity, str(feature.aggregate), window, feature.why]
    cells += [feature.owner] if with_owner else []
    return f"| {' | '.join(cells)} |"


_ONE_EURO = format_amount(compute_base_minor(100, "EUR"), BASE_CURRENCY)
_MONEY = f"""
Amounts are in base minor units: minor units of {BASE_CURRENCY}, so that windows over several currencies add up.
The rates of `schemas/currencies.py` are round figures and never fetched: 1.00 EUR is {_ONE_EURO} at any time."""


def _format_head(stream: Stream) -> str:
    is_default = stream == payments
    reversal = _REVERSAL.format(event=stream.event, name=stream.reversal.name) if stream.reversal else ""
    others = [name for name in stream.id_field_of if name != stream.key.name]
    has_money = any(find_money(measure.value) for measure in stream.measures)
    return _HEAD.format(
        file=_name_file(stream),
        command=_PAYMENTS_COMMAND if is_default else _COMMAND.replace("NAME", stream.name),
        owner=f"\nWho answers for them: {stream.owner}." if stream.owner else "",
        money=_MONEY if has_money else "",
        reversal=reversal,
        others=f"The id of a {_join(others, 'or')}" if others else "An id",
        event=stream.event,
        key=stream.key.name,
        recent=", ".join(f"{entity.name} {entity.recent}" for entity in stream.entities),
        labels=_format_labels(stream),
    )


def _format_labels(stream: Stream) -> str:
    windows = {f.window: f.window_ms for f in stream.all_features if f.aggregate == Aggregate.RISK}
    if not stream.labels or not windows:
        return ""
    spans = [f"up to {_say_duration(ms // PANES_PER_WINDOW)} for {window}" for window, ms in windows.items()]
    labelled = _join([entity.name for entity in stream.labels.on], "or")
    return _LABELS.format(event=stream.event, hold=stream.labels.hold, spans=_join(spans, "and"), labelled=labelled)


def _name_file(stream: Stream) -> str:
    """Return the path of a stream's file as its reader knows it: from the package, or within a project."""
    path = Path(stream.where.file)
    return f"schemas/streams/{path.name}" if path.parent == SHIPPED else f"streams/{path.name}"


def _join(words: list[str], last: str) -> str:
    return f" {last} ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)


def _say_duration(ms: int) -> str:
    for unit, size in (("days", DAY_MS), ("hours", HOUR_MS)):
        if ms >= size:
            return f"{ms / size:.3g} {unit if ms > size else unit[:-1]}"
    return f"{ms / MINUTE_MS:.3g} minutes"
