"""A study as JSON holds it and as people read it. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from typing import Any, Final

from rich.table import Table

from weir.archive.whatif.figures import CONFIDENCE, SHARES, name_flip, percent_more_hurt, points_declined
from weir.archive.whatif.labels import FRAUD, GOOD, UNKNOWN, YOUNG
from weir.archive.whatif.overlap import RuleTally
from weir.archive.whatif.rescoring import Rescored
from weir.archive.whatif.segments import describe_segments
from weir.archive.whatif.study import Findings
from weir.inference.core.decisions import DECLINE, OUTCOMES
from weir.monitoring.terminal import build_table
from weir.schemas.currencies import BASE_CURRENCY, format_amount

Document = dict[str, Any]
_RULES_SHOWN: Final = 50
"""On a terminal, those that hold most; JSON has all."""
_SEGMENTS_SHOWN: Final = 20
_RESCORED: Final = ("checked", "remembered", "differing", "unsure")
_MONEY: Final = ("caught", "let_through", "hurt")
_STATES: Final = {FRAUD: "fraud", GOOD: "good", UNKNOWN: "no_label", YOUNG: "too_young"}


def build_document(found: Findings, rescored: Rescored, *, has_money: bool, has_labels: bool) -> Document:
    """Return a study as JSON holds it; a figure that there is not is null."""
    tally, total = found.tally, found.tally.total
    labels = {name: tally.verdicts.get(verdict, 0) for verdict, name in _STATES.items()}
    has_figures = labels["fraud"] + labels["good"] > 0
    document: Document = {
        "rows": sum(each.rows for each in found.versions.values()) + found.lost,
        "judged": int(total.sum()),
        "left_out": found.left_out,
        "without_feature_row": found.lost,
        "reproduction": _describe_reproduction(found, rescored),
        "decided": {outcome: int(total[place].sum()) for place, outcome in enumerate(OUTCOMES)},
        "would_be": {outcome: int(total[:, place].sum()) for place, outcome in enumerate(OUTCOMES)},
        "declined_points": points_declined(total),
        "flips": _list_flips(total),
        "days": {day: _describe_day(of) for day, of in sorted(tally.flips.items())},
        "segments": describe_segments(found.segments.counts) if found.segments else None,
        "labels": labels if has_labels else None,
        "figures": _describe_figures(found) if has_figures else None,
        "money": _describe_money(found) if has_figures and has_money else None,
        "rules": [_describe_rule(each) for each in found.overlap.tallies],
        "examples": [each._asdict() for each in found.examples],
    }
    return document | {"notes": list(_list_notes(found, document, rescored))}


def _list_flips(total: Any) -> dict[str, int]:
    return {name_flip(code): int(total.flat[code]) for code in range(9) if code % 4 and total.flat[code]}


def _describe_day(of: Any) -> Document:
    declined = {"decided": int(of[DECLINE].sum()), "would_be": int(of[:, DECLINE].sum())}
    return {"rows": int(of.sum()), "declined": declined, "flips": _list_flips(of)}


def _describe_reproduction(found: Findings, rescored: Rescored) -> Document:
    versions = {
        version: {
            "rows": of.rows,
            "checked": of.checked,
            "differing": of.differing,
            "judged": of.judged,
            "changed": of.changed,
            "not_found": sorted(of.missing),
        }
        for version, of in sorted(found.versions.items())
    }
    return {
        "checked": sum(of.checked for of in found.versions.values()),
        "differing": sum(of.differing for of in found.versions.values()),
        "differences": [each._asdict() for each in found.differences],
        "rules_versions": versions,
        "scores": {name: getattr(rescored, name) for name in _RESCORED},
    }


def _describe_figures(found: Findings) -> Document:
    recorded, candidate = found.tally.sides()
    bounds = found.tally.intervals()
    return {
        "decided": {name: _known(value) for name, value in asdict(recorded).items()},
        "would_be": {name: _known(value) for name, value in asdict(candidate).items()},
        "good_hurt_percent": _known(percent_more_hurt(recorded, candidate)),
        "confidence": CONFIDENCE,
        "intervals": {
            side: {name: [_known(of[name].low), _known(of[name].high)] for name in SHARES}
            for side, of in zip(("decided", "would_be", "difference"), bounds, strict=True)
        },
    }


def _describe_money(found: Findings) -> Document:
    sides = (dict(zip(_MONEY, map(round, of.tolist()), strict=True)) for of in found.tally.money)
    return {"currency": BASE_CURRENCY, "unit": "minor"} | dict(zip(("decided", "would_be"), sides, strict=True))


def _describe_rule(tally: RuleTally) -> Document:
    return {
        "name": tally.rule.name,
        "then": tally.rule.then,
        "mode": tally.rule.mode,
        "hits": tally.hits,
        "decides": tally.decides,
        "recorded": dict(tally.recorded),
        "stopped_by_model": tally.by_model,
        "also_held": {name: count for name, count in tally.also.items() if count},
        "fraud": tally.fraud,
        "good": tally.good,
    }


def _list_rescored(rescored: Rescored) -> Iterator[str]:
    again = f", {rescored.remembered:,} of them by an earlier run" if rescored.remembered else ""
    made = f"{rescored.checked:,} scores were made again by the model that gave them{again}"
    if rescored.checked:
        yield f"{made}: {rescored.differing:,} differ"
    if rescored.unsure:
        yield f"{rescored.unsure:,} of these decisions have another probability or prediction set than its bundle says"
    for model, why in sorted(rescored.missing.items()):
        yield f"scores of {model} are not checked: {why}"


def _list_notes(found: Findings, document: Document, rescored: Rescored) -> Iterator[str]:
    for version, of in sorted(found.versions.items()):
        if of.missing:
            what = " and ".join(sorted(of.missing))
            rows = f"{of.rows - of.checked:,} decisions of rules_version {version}"
            then = "" if of.judged else ", and the change is not tried on them"
            yield f"{rows} are not checked: {what} cannot be found{then}"
    yield from _list_rescored(rescored)
    if found.lost:
        yield f"{found.lost:,} decisions have no feature row in the archive and are in no figure"
    labels = document["labels"]
    if labels is None:
        yield "the stream has no labels, so there are no figures of what was caught or hurt"
    else:
        if labels["too_young"]:
            yield f"{labels['too_young']:,} events are too young for their labels to be known and are in no such figure"
        if labels["no_label"]:
            yield f"{labels['no_label']:,} events are old enough and have no label: they are in no such figure"
        if document["figures"] is None:
            yield "no labels have matured, so there are no figures of what was caught or hurt"


def build_tables(document: Document, *, event: str) -> list[Table]:
    """Return a study as tables: what would change first, then what it would cost."""
    rows = [(name, document["decided"][name], document["would_be"][name]) for name in OUTCOMES]
    title = f"{document['judged']:,} decisions of {event}s"
    tables = [build_table(("decision", "was", "would be"), rows, title=title)]
    flips = list(document["flips"].items()) or [("none", 0)]
    tables.append(build_table(("change", "rows"), flips, title="what would change"))
    if document["figures"]:
        tables.append(_build_figures(document))
    if len(document["days"]) > 1:
        days = [(day, of["rows"], sum(of["flips"].values()), _say_flips(of["flips"])) for day, of in
                document["days"].items()]  # fmt: skip
        tables.append(build_table(("day", "decisions", "changed", "how"), days, title="by day"))
    if document["segments"]:
        tables.append(_build_segments(document["segments"]))
    if document["rules"]:
        tables.append(_build_rules(document["rules"]))
    if document["examples"]:
        columns = ("partition", "offset", "change", "decided by", "would be by")
        examples = [tuple(each.values()) for each in document["examples"]]
        tables.append(build_table(columns, examples, title="examples, by where the decision is in its topic"))
    tables.append(_build_versions(document["reproduction"]))
    if document["reproduction"]["differences"]:
        columns = ("partition", "offset", "field", "recorded", "computed now")
        differing = [tuple(each.values()) for each in document["reproduction"]["differences"]]
        tables.append(build_table(columns, differing, title="decisions that are not what is computed now"))
    return tables


def _build_figures(document: Document) -> Table:
    figures, money = document["figures"], document["money"]
    was, would_be, intervals = figures["decided"], figures["would_be"], figures["intervals"]
    words = {"caught": "fraud caught", "let_through": "fraud let through", "hurt": "good declined"}
    rows: list[tuple[object, ...]] = [(word, was[name], would_be[name], "") for name, word in words.items()]
    for name in SHARES:
        sides = (_say_share(was[name], intervals["decided"][name]),
                 _say_share(would_be[name], intervals["would_be"][name]))  # fmt: skip
        low, high = intervals["difference"][name]
        rows.append((name.replace("_", " "), *sides, "" if low is None else f"{100 * low:+.2f} to {100 * high:+.2f}"))
    for name, word in words.items() if money else ():
        amounts = (format_amount(money[side][name], money["currency"]) for side in ("decided", "would_be"))
        rows.append((f"{word}, money", *amounts, ""))
    labels = document["labels"]
    title = f"on {labels['fraud'] + labels['good']:,} events whose labels have matured ({labels['fraud']:,} fraud)"
    columns = ("figure", "was", "would be", "difference, points, 95 %")
    return build_table(columns, rows, title=title)


def _build_segments(segments: Document) -> Table:
    rows = [
        (
            name,
            of["rows"],
            of["changed"],
            f"{of['decided']['DECLINE']} / {of['would_be']['DECLINE']}",
            f"{of['caught']['decided']} / {of['caught']['would_be']} of {of['fraud']}",
            f"{of['hurt']['decided']} / {of['hurt']['would_be']} of {of['good']}",
        )
        for name, of in islice(segments.items(), _SEGMENTS_SHOWN)
    ]
    some = f", {len(rows)} of {len(segments)}" if len(rows) < len(segments) else ""
    columns = ("segment", "decisions", "changed", "declined: was / would be", "fraud caught", "good declined")
    return build_table(columns, rows, title=f"by segment{some}")


def _build_rules(rules: list[Document]) -> Table:
    shown = sorted(rules, key=lambda each: -each["hits"])[:_RULES_SHOWN]
    rows = [
        (
            each["name"],
            each["then"] if each["mode"] == "live" else f"{each['then']}, {each['mode']}",
            each["hits"],
            each["decides"],
            each["recorded"].get(OUTCOMES[0], 0),
            each["stopped_by_model"],
            _say_flips(each["also_held"]) or "none",
            f"{each['fraud']} / {each['good']}",
        )
        for each in shown
    ]
    columns = ("rule", "then", "holds of", "decides", "were approved", "stopped by model", "rules that held too",
               "fraud / good")  # fmt: skip
    return build_table(
        columns,
        rows,
        title=f"rules of the change{f', {len(shown)} of {len(rules)}' if len(shown) < len(rules) else ''}",
    )


def _build_versions(reproduction: Document) -> Table:
    rows = [
        (
            version,
            of["rows"],
            of["checked"],
            of["differing"],
            of["changed"] if of["judged"] else "-",
            ", ".join(of["not_found"]),
        )
        for version, of in reproduction["rules_versions"].items()
    ]
    columns = ("rules_version", "decisions", "made again", "differ", "changed", "not found")
    return build_table(columns, rows, title="the past, made again by what was in force")


def _say_flips(flips: Document) -> str:
    return ", ".join(f"{name} {count}" for name, count in flips.items())


def _say_share(value: float | None, interval: list[float | None]) -> str:
    if value is None:
        return "-"
    low, high = interval
    return f"{100 * value:.2f} %" + ("" if low is None or high is None else f" ({100 * low:.2f} to {100 * high:.2f})")


def _known(value: float) -> float | None:
    """Return a figure; a share of nothing, and growth from nothing, is none."""
    return value if math.isfinite(value) else None
