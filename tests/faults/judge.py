"""The judge: compares what a run left with what the oracle says it must have left."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from tests.faults import bounds
from tests.faults.availability import InTime, measure
from tests.faults.contracts import Row, subject_ids
from tests.faults.evidence import Evidence, Verdicts, collect, judge_labels, judge_transactions
from tests.faults.lab import Lab
from tests.faults.oracle import ENTITY_FIELDS, ID_MEMORY, Event, History, Look, find_risk, remembered
from tests.faults.refold import as_float32, refold_labels, refold_transactions
from tests.payments import Entity
from weir.streaming.kernels import shipped_kernel

NEAR = {"std": 1e-5, "zscore": 2e-5, "speed": 1e-5, "decayed": 2e-4}
"""Aggregates whose last step is not one rounding of an integer ratio: the relative error the documents allow."""
EXACT_SHARE_MIN = 0.95
SHARED_CHECKED_MAX = 150
"""Rows whose shared entities are checked, spread evenly; a busy merchant makes each one slow."""
SHOWN_MAX = 5
RACE_MS = 5_000
"""Payments of one card in two partitions that were decided within this may not have seen each other."""


@dataclass
class Judgement:
    """The judge's findings; ``problems`` is empty when all is well."""

    records: int = 0
    lost: int = 0
    doubled: int = 0
    state_differences: int = 0
    aborted: int = 0
    exact: int = 0
    compared: int = 0
    in_time: InTime = field(default_factory=InTime)
    problems: list[str] = field(default_factory=list)

    def note(self, what: str, found: list[Any]) -> None:
        if found:
            self.problems.append(f"{len(found)} {what}, e.g. {found[:SHOWN_MAX]}")

    @property
    def exact_share(self) -> float:
        return self.exact / self.compared if self.compared else 0.0


def judge(lab: Lab) -> Judgement:
    """Read everything, recompute everything, compare."""
    evidence = collect(lab)
    url = lab.settings.registry.url
    verdicts = judge_transactions(evidence, url, _own_ids(lab))
    labels = judge_labels(evidence, url)
    found = Judgement(records=len(evidence.transactions) + len(evidence.labels), aborted=evidence.aborted)
    found.in_time = measure(_times(lab, evidence))
    _judge_outputs(found, evidence, verdicts, labels)
    _judge_commits(found, lab, evidence)
    _judge_index(found, evidence)
    _judge_bytes(found, lab, evidence, verdicts, labels)
    histories = _judge_rows(found, lab, evidence, verdicts)
    _judge_values(found, lab, evidence, histories, labels)
    if lab.times == 0:
        found.problems.append("nothing was broken: the run proves nothing")
    if lab.aborts_expected and not found.aborted:
        found.problems.append("read_uncommitted shows no aborted copy: the run did not meet an open transaction")
    if found.compared and found.exact_share < EXACT_SHARE_MIN:
        found.problems.append(f"only {found.exact_share:.1%} of the values were compared exactly")
    found.problems += lab.problems
    return found


def judge_breakdown(lab: Lab) -> list[str]:
    """Return what a run did wrong until it broke down: what is missing may still have come, what is too much has."""
    evidence, found = collect(lab), Judgement()
    found.note("positions with several outputs", [at for at, count in _count_outputs(evidence).items() if count > 1])
    _judge_falls(found, lab, evidence)
    return found.problems


def _count_outputs(evidence: Evidence) -> dict[tuple[int, int], int]:
    inputs = [entry.at for entry in evidence.transactions]
    return {at: len(evidence.rows.get(at, [])) + len(evidence.letters.get(at, [])) for at in inputs}


def _times(lab: Lab, evidence: Evidence) -> list[tuple[int, int]]:
    """Return of each decided payment when its sender had it (else, when it was appended) and when it was decided."""
    handed, topic = lab.feeder.handed_ms, lab.settings.topics.transactions
    due = {entry.at: handed.get((topic, *entry.at), entry.append_ms) for entry in evidence.transactions}
    return [(due[at], rows[0]["decision_time_ms"]) for at, rows in evidence.decisions.items() if at in due]


def _own_ids(lab: Lab) -> set[int]:
    return subject_ids(lab.settings.registry.url, f"{lab.settings.topics.transactions}-value")


def _judge_outputs(found: Judgement, evidence: Evidence, verdicts: Verdicts, labels: Verdicts) -> None:
    """One output per position, of the right kind, and one decision per feature row."""
    outputs = _count_outputs(evidence)
    lost = [at for at, count in outputs.items() if count == 0]
    doubled = [at for at, count in outputs.items() if count > 1]
    undecided, decided_twice = [], []
    for at, rows in evidence.rows.items():
        for row, entry in rows[:1]:
            answers = len(evidence.decisions.get(at, [])) + evidence.row_letters.get(entry.at, 0)
            undecided += [at] if answers == 0 else []
            decided_twice += [(at, row["transaction_id"])] if answers > 1 else []
    found.note("positions without an output", lost)
    found.note("positions with several outputs", doubled)
    found.note("feature rows without a decision", undecided)
    found.note("feature rows with several decisions", decided_twice)
    found.lost, found.doubled = len(lost) + len(undecided), len(doubled) + len(decided_twice)
    found.note("outputs of no input", [at for at in [*evidence.rows, *evidence.letters] if at not in outputs])
    found.note("decisions of no feature row", [at for at in evidence.decisions if at not in evidence.rows])
    counted = {entry.at for entry, _ in verdicts.counted}
    found.note("dead letters that should have counted", [at for at in evidence.letters if at in counted])
    wrong = [(at, verdicts.refused[at]) for at in evidence.rows if at in verdicts.refused]
    found.note("decided records that should be dead letters", wrong)
    bad_labels = [at for at in evidence.label_letters if at not in labels.refused]
    bad_labels += [at for at in labels.refused if len(evidence.label_letters.get(at, [])) != 1]
    found.note("labels with a wrong dead letter, or none", bad_labels)


def _judge_commits(found: Judgement, lab: Lab, evidence: Evidence) -> None:
    _judge_falls(found, lab, evidence)
    if not all(evidence.commits.values()):
        found.problems.append("a group committed nothing: the run proves nothing")


def _judge_falls(found: Judgement, lab: Lab, evidence: Evidence) -> None:
    """Offsets only rise, but for those that the run itself committed in the group's name."""
    for group, partitions in evidence.commits.items():
        for at, committed in partitions.items():
            offsets = [offset for offset in committed if offset not in lab.moved_to.get(at, set())]
            falls = [(a, b) for a, b in pairwise(offsets) if b < a]
            found.note(f"falling offsets of {group} in {at[0]}[{at[1]}]", falls)


def _judge_index(found: Judgement, evidence: Evidence) -> None:
    """The index equals the topic, whatever Redis lost."""
    decided: dict[str, list[Row]] = defaultdict(list)
    for rows in evidence.decisions.values():
        for row in rows:
            decided[row["transaction_id"]].append(row)
    ids = list(decided)
    wrong = []
    for start in range(0, len(ids), 1_000):
        part = ids[start : start + 1_000]
        for one, value in zip(part, evidence.index(part), strict=True):
            if value is None or json.loads(value.rpartition(b"\n")[0]) not in decided[one]:
                wrong.append(one)
    found.note("decisions missing or different in the index", wrong)


def _judge_bytes(found: Judgement, lab: Lab, evidence: Evidence, verdicts: Verdicts, labels: Verdicts) -> None:
    """Redis must hold, bit for bit, what one run over the counted records leaves."""
    differences = []
    for unit, held in evidence.view.items():
        source = verdicts if unit.kind == "t" else labels
        mine = [(entry, row) for entry, row in source.counted if entry.partition == unit.partition]
        if unit.kind == "t":
            rows = [(row, entry.append_ms, entry.value or b"") for entry, row in mine]
            expected = refold_transactions(rows, partition=unit.partition, seed=lab.seed)
        else:
            expected = refold_labels([row for _, row in mine], partition=unit.partition, seed=lab.seed)
        keys = sorted(set(held) | set(expected))
        differences += [f"{unit.tag}:{key}" for key in keys if held.get(key) != expected.get(key)]
    found.state_differences += len(differences)
    found.note("partials that differ from an uninterrupted run", differences)


Histories = dict[tuple[str, int, str], History]


def _judge_rows(found: Judgement, lab: Lab, evidence: Evidence, verdicts: Verdicts) -> Histories:
    """Card features must equal the oracle's, shared ones lie between what was certainly and possibly visible."""
    histories: Histories = defaultdict(History)
    visible = bounds.Visible(verdicts.events)
    partitions = lab.partitions()
    stride = max(1, len(verdicts.events) // SHARED_CHECKED_MAX)
    decided_ms = _decided_ms(evidence, verdicts)
    _judge_repeats(found, evidence, verdicts, decided_ms)
    wrong: list[str] = []
    # as they were decided: a card's payments in other partitions are in its histories then
    events = sorted(verdicts.events, key=lambda one: (decided_ms[one.partition, one.offset], one.partition, one.offset))
    for number, event in enumerate(events):
        rows = evidence.rows.get((event.partition, event.offset), [])
        if rows:
            row, entry = rows[0]
            others = visible.elsewhere("card", event, entry.append_ms + RACE_MS) if partitions > 1 else []
            apart = [
                decided_ms[event.partition, event.offset] - decided_ms[one.partition, one.offset] for one in others
            ]
            # a degraded row says itself that it may lack what other partitions hold
            if others and (row["degraded"] or any(abs(ms) <= RACE_MS for ms in apart)):
                until_ms = entry.append_ms
                wrong += bounds.find_outside(histories, visible, event, row, until_ms, partitions, ("card",))
            else:
                wrong += _compare_cards(found, histories, event, row, {one.partition for one in others})
            if number % stride == 0:
                wrong += bounds.find_outside(histories, visible, event, row, entry.append_ms, partitions)
        for entity, (name, _) in ENTITY_FIELDS.items():
            if event.row[name] is not None:
                histories[entity, event.partition, event.row[name]].add(event)
    found.note("features that differ from the oracle's", wrong)
    return histories


def _decided_ms(evidence: Evidence, verdicts: Verdicts) -> dict[tuple[int, int], int]:
    """When each counted payment's row was appended; in a partition of the input it never falls."""
    latest: dict[int, int] = defaultdict(int)
    decided = {}
    for event in sorted(verdicts.events, key=lambda one: one.offset):
        for _, entry in evidence.rows.get((event.partition, event.offset), [])[:1]:
            latest[event.partition] = max(latest[event.partition], entry.append_ms)
        decided[event.partition, event.offset] = latest[event.partition]
    return decided


def _judge_repeats(
    found: Judgement, evidence: Evidence, verdicts: Verdicts, decided_ms: dict[tuple[int, int], int]
) -> None:
    """An id counts once for its card, wherever its copies are.

    Unless they were decided at nearly the same time, or the row says that it may lack what other partitions hold.
    """
    degraded = {at for at, rows in evidence.rows.items() if rows and rows[0][0]["degraded"]}
    counted: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for event in verdicts.events:
        counted[event.row["card_id"], event.row["transaction_id"]].append(event)
    twice = []
    for key, events in counted.items():
        for one, other in combinations(events, 2):
            near = abs(one.append_ms - other.append_ms) < ID_MEMORY
            apart_ms = abs(decided_ms[one.partition, one.offset] - decided_ms[other.partition, other.offset])
            later = max((decided_ms[at.partition, at.offset], (at.partition, at.offset)) for at in (one, other))[1]
            if near and one.partition != other.partition and apart_ms > RACE_MS and later not in degraded:
                twice.append((key, (one.partition, one.offset), (other.partition, other.offset)))
    found.note("ids decided twice", twice)
    found.doubled += len(twice)


def _compare_cards(found: Judgement, histories: Histories, event: Event, row: Row, others: set[int]) -> Iterator[str]:
    history = histories["card", event.partition, event.row["card_id"]]
    elsewhere = [histories["card", number, event.row["card_id"]] for number in sorted(others)]
    look = Look("card", [history, *elsewhere], event.time_ms, event)
    if row["late"] != history.is_late(event):
        yield f"{event.partition}@{event.offset}: late is {row['late']}"
    for name in [name for name in row if name.startswith("card_") and name != "card_id"]:
        yield from _compare(found, f"{event.partition}@{event.offset} {name}", name, look, row[name])


def _compare(found: Judgement, where: str, name: str, look: Look, actual: float | None) -> Iterator[str]:
    wanted, got = as_float32(look.value(name)), as_float32(actual)
    found.compared += 1
    if wanted == got or (np.isnan(wanted) and np.isnan(got)):
        found.exact += 1
        return
    near = NEAR.get(name.split("_")[2], 0.0)
    if not np.isclose(wanted, got, rtol=near, atol=1e-5 if near else 0.0):
        yield f"{where}: expected {wanted}, found {got}"


def _judge_values(found: Judgement, lab: Lab, evidence: Evidence, histories: Histories, labels: Verdicts) -> None:
    """What the API would read of every entity must be the oracle's value as of the entity's newest event."""
    entities: dict[tuple[str, str], list[History]] = defaultdict(list)
    for (entity, _, entity_id), history in sorted(histories.items()):
        entities[entity, entity_id].append(history)
    label_rows = list(remembered((entry.partition, row) for entry, row in labels.counted))
    by_entity: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in label_rows:
        for entity in ("device", "merchant"):
            by_entity[entity, row[f"{entity}_id"]].append(row)
    wrong: list[str] = []
    units = lab.units()
    for (entity, entity_id), known in entities.items():
        newest = [history.newest_ms for history in known if history.newest_ms is not None]
        if not newest:
            continue
        at_ms, key = max(newest), f"{entity}:{entity_id}"
        partials, ledgers = (
            [evidence.view[unit].get(key, b"") for unit in units if unit.kind == kind] for kind in ("t", "l")
        )
        values = shipped_kernel().read(
            Entity(entity), partials, ledgers if entity in {"device", "merchant"} else [], at_ms
        )
        look = Look(entity, known, at_ms, None)
        wrong += _compare_values(found, key, values, look, by_entity[entity, entity_id])
    found.state_differences += len(wrong)
    found.note("values in Redis that differ from the oracle's", wrong)


def _compare_values(
    found: Judgement, key: str, values: dict[str, float | None], look: Look, labels: list[Row]
) -> Iterator[str]:
    entity, entity_id = key.split(":", 1)
    for name, actual in values.items():
        _, _, *aggregate, window = name.split("_")
        if "_".join(aggregate) in {"speed", "new", "zscore", "over_min"}:
            continue  # they say nothing without an event
        if aggregate == ["risk"]:
            risk = find_risk(labels, ENTITY_FIELDS[entity][0], entity_id, window, look.at_ms)
            found.compared += 1
            same = as_float32(risk) == as_float32(actual) or (np.isnan(risk) and actual is None)
            found.exact += same
            if not same:
                yield f"{key} {name}: expected {risk}, found {actual}"
            continue
        yield from _compare(found, f"{key} {name}", name, look, actual)
