"""A walk as people read it. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from rich.table import Table

from weir.archive.timeline.walk import OWN, SHARED
from weir.monitoring.terminal import build_table
from weir.schemas.amount_text import format_feature, list_amounts
from weir.schemas.currencies import format_amount
from weir.schemas.stream import Stream

Document = dict[str, Any]
STEPS_MAX: Final = 500
"""Events in the table; JSON has them all."""
COLUMNS: Final = 4
"""Windows next to each event, where none are named."""
_DIFFERENCES_MAX: Final = 20


def build_tables(document: Document, stream: Stream, columns: Sequence[str] = ()) -> list[Table]:
    """Return a walk as tables.

    Args:
        document: from ``walk``.
        stream: of the entity.
        columns: names of the windows that are shown next to each event; by default those that changed most.
    """
    moments, steps = document["moments"], document["steps"]
    who = f"{document['entity']} {document['id']}"
    tables = []
    if len(moments) == 1:
        tables.append(_build_windows(document, stream, f"{who} at {_name(moments[0])}"))
        tables += [_build_decision(step, stream) for step in steps]
    else:
        tables.append(_build_steps(document, stream, columns, f"{who} from {_name(moments[0])} to {_name(moments[1])}"))
    differences = list(_list_differences(steps, stream))
    if differences:
        titles = ("event", "value", "logged", "replayed")
        more = f"and {len(differences) - _DIFFERENCES_MAX} more" if len(differences) > _DIFFERENCES_MAX else ""
        tables.append(build_table(titles, differences[:_DIFFERENCES_MAX], title="not as logged", caption=more))
    return tables


def build_changes(document: Document, stream: Stream) -> Table:
    """Return what changed between the two moments."""
    first, last = document["moments"]
    features = {each.name: each for each in stream.all_features}
    rows = [
        (
            each["feature"],
            format_feature(features[each["feature"]], each["from"], stream),
            format_feature(features[each["feature"]], each["to"], stream),
            features[each["feature"]].why,
        )
        for each in document["changes"]
    ]
    caption = f"{len(first['windows']) - len(rows)} windows are the same at both"
    return build_table(("window", _name(first), _name(last), "why"), rows, title="what changed", caption=caption)


def describe_check(document: Document) -> list[str]:
    """Return in sentences how the replay compares with the log."""
    check, lines = document["check"], []
    for kind, what in ((OWN, "the key's own windows"), (SHARED, "windows shared with other keys, and label risk")):
        done, equal = check[kind]["compared"], check[kind]["equal"]
        if done and (kind == OWN or any(name != OWN for name in document["kinds"].values())):
            bits = ", bit for bit" if kind == OWN and done == equal else ""
            lines.append(f"replayed = logged, {what}: {equal} of {done} events{bits}")
    lines += [f"not compared: {count} events, {reason}" for reason, count in check["not_compared"].items()]
    if check["refused"]:
        lines.append(f"not counted: {check['refused']} of {check['events']} records, as their dead letters say")
    if document["archive_begins_ms"] is not None:
        begins = format_time(document["archive_begins_ms"])
        lines.append(f"the archive begins at {begins}: windows that reach before it hold less here than they did")
    return lines


def _build_windows(document: Document, stream: Stream, title: str) -> Table:
    features = {each.name: each for each in stream.all_features}
    rows = [
        (name, format_feature(features[name], value, stream), features[name].why)
        for name, value in document["moments"][0]["windows"].items()
    ]
    return build_table(("window", "value", "why"), rows, title=title)


def _build_decision(step: Document, stream: Stream) -> Table:
    rows = [("event", f"{_place(step)}, {format_time(step['at']['append_ms'])}"), (stream.event, step["id"])]
    rows += list(zip(_amount_titles(stream), _amounts(step, stream), strict=True))
    decision = step["decision"]
    if decision:
        rows.append(("decision", f"{decision['decision']} by {decision['decided_by']}, score {_score(decision)}"))
        rows += [(each["code"], each["detail"]) for each in decision["reasons"]]
    rows += [("note", each) for each in _notes(step, stream)]
    return build_table(("the last event", ""), rows)


def _build_steps(document: Document, stream: Stream, columns: Sequence[str], title: str) -> Table:
    steps = document["steps"]
    features = {each.name: each for each in stream.all_features}
    names = list(columns) or _find_telling(steps, stream, document["entity"])
    titles = ("appended", "event", stream.event, *_amount_titles(stream), *names, "decision", "score", "why", "note")
    rows = []
    for step in steps[:STEPS_MAX]:
        windows, decision = step["windows"] or {}, step["decision"]
        shown = [format_feature(features[name], windows.get(name), stream) for name in names]
        why = ", ".join(each["code"] for each in decision["reasons"]) or decision["decided_by"] if decision else "-"
        verdict = (decision["decision"], _score(decision), why) if decision else ("-", "-", "-")
        about = (format_time(step["at"]["append_ms"]), _place(step), step["id"])
        rows.append((*about, *_amounts(step, stream), *shown, *verdict, "; ".join(_notes(step, stream))))
    more = f"and {len(steps) - STEPS_MAX} more; --json has them all" if len(steps) > STEPS_MAX else ""
    return build_table(titles, rows, title=title, caption=more if steps else "no event between these moments")


def _find_telling(steps: Sequence[Document], stream: Stream, entity: str) -> list[str]:
    """Return the windows that changed most, of several lengths of one window the one that did, in declared order."""
    best: dict[tuple[str, str], tuple[float, str]] = {}
    for each in stream.all_features:
        if each.entity != entity or not each.window:
            continue
        values = [value for step in steps if step["windows"] and (value := step["windows"].get(each.name)) is not None]
        spread = (max(values) - min(values)) / max(map(abs, values)) if values and any(values) else 0.0
        story = each.measure, each.aggregate
        if spread > best.get(story, (0.0, ""))[0]:
            best[story] = spread, each.name
    most = sorted(best.values(), key=lambda found: -found[0])[:COLUMNS]
    kept = {name for _, name in most}
    return [each.name for each in stream.all_features if each.name in kept]


def _list_differences(steps: Sequence[Document], stream: Stream) -> Iterator[tuple[str, str, str, str]]:
    features = {each.name: each for each in stream.all_features}
    for step in steps:
        for name, both in step["differences"].items():
            if name in features:
                was, now = (format_feature(features[name], both[each], stream) for each in ("logged", "replayed"))
                if was == now:  # the last bits differ
                    was, now = (repr(both[each]) for each in ("logged", "replayed"))
            else:
                was, now = str(both["logged"]), str(both["replayed"])
            yield _place(step), name, was, now


def _notes(step: Document, stream: Stream) -> Iterator[str]:
    if step["refused"]:
        yield f"not counted: {step['refused']}"
    if step["late"]:
        yield "late: decided, and in no window"
    for label in step["labels"]:
        verdict = json.dumps(label[stream.labels.verdict]) if stream.labels else ""
        yield f"label of {format_time(label['at']['append_ms'])}: {stream.labels and stream.labels.verdict} {verdict}"
    if step["is_same"][OWN] is False:
        yield "own windows are not as logged"
    elif step["is_same"][SHARED] is False:
        yield "shared windows are not as logged"


def _amount_titles(stream: Stream) -> list[str]:
    return [name for name, _, _ in list_amounts(stream)]


def _amounts(step: Document, stream: Stream) -> list[str]:
    event = step["event"]
    return [
        format_amount(event[amount], event[unit]) if event and event[amount] is not None else "-"
        for _, amount, unit in list_amounts(stream)
    ]


def _score(decision: Document) -> str:
    return "-" if decision["score"] is None else f"{decision['score']:.3f}"


def _place(step: Document) -> str:
    return f"{step['at']['partition']}:{step['at']['offset']}"


def _name(moment: Document) -> str:
    if moment["offset"] is not None:
        return f"{moment['partition']}:{moment['offset']}"
    return format_time(moment["at_ms"])


def format_time(epoch_ms: int) -> str:
    """Write epoch milliseconds for people."""
    return datetime.fromtimestamp(epoch_ms / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
