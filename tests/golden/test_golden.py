"""The product computes from two fixed logs what it computed when they were kept, byte for byte.

A red test here is a promise about to be broken: state in Redis, feature rows in logs, models that were trained on them.
What is meant to differ is written in ``allowed.py``.
"""

from __future__ import annotations

import ast
import json
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from tests.golden.allowed import ADDED_FIELDS, DIFFERENCES
from tests.golden.contracts import observe_contracts, observe_schemas
from tests.golden.decided import decide
from tests.golden.kept import NAMES, load
from tests.golden.log import EXPECTED
from tests.golden.observed import PARTITIONS, Lines, differences, observe, take
from tests.golden.records import decode, parse_schema, read_schema, schema_without_added
from tests.golden.shipped import ARE_THOSE_KEPT, CHANGED, of_the_fixtures
from tests.payments import ENTITIES, Entity
from weir.streaming.core.partial import Partial
from weir.streaming.kernels import shipped_kernel

FOLDER = Path(__file__).parent
STDLIB_ONLY = ("dice", "wire", "log")
_CARD = ("verdicts", "partials", "refolded partials", "known ids", "features.own", "history.own", "history verdicts")
"""What rests on one partition's own records: never among the allowed differences."""
KEPT: dict[str, Lines] = {name: load(name) for name in NAMES}
PARTS = [(name, part) for name in NAMES for part in KEPT[name]]
DENSE_BITS = 32


@cache
def _found(name: str) -> Lines:
    if name == "contracts":
        return observe_contracts()
    return observe(name, {kind: read_schema(kind) for kind in ADDED_FIELDS})


def test_the_shipped_declarations_are_those_of_the_fixtures() -> None:
    assert ARE_THOSE_KEPT, CHANGED


@of_the_fixtures
@pytest.mark.parametrize(("name", "part"), PARTS, ids=[f"{name}-{part}" for name, part in PARTS])
def test_what_was_kept_is_what_is_computed(name: str, part: str) -> None:
    changed = differences(KEPT[name][part], _found(name).get(part, []))
    if f"{name} {part}" in DIFFERENCES:
        assert changed, f"{name} {part} differs no more; take it out of allowed.py"
        return
    shown = "\n".join(changed[:5])
    assert not changed, f"{name} {part}: {len(changed)} of {len(KEPT[name][part])} lines differ\n{shown}"


@of_the_fixtures
@pytest.mark.parametrize("kind", ["features", "decisions"])
def test_the_schema_of_what_is_written_is_the_one_that_was_kept(kind: str) -> None:
    assert schema_without_added(kind, observe_schemas()[kind]) == read_schema(kind)


@pytest.mark.parametrize("kind", ["features", "decisions"])
def test_a_field_that_was_added_has_the_default_that_is_written_down(kind: str) -> None:
    fields = {field["name"]: field for field in json.loads(observe_schemas()[kind])["fields"]}
    assert {name: fields[name]["default"] for name in ADDED_FIELDS[kind]} == ADDED_FIELDS[kind]


@of_the_fixtures
@pytest.mark.parametrize("part", ["own", "shared"])
def test_history_of_one_partition_computes_what_the_stream_computed(part: str) -> None:
    streamed, replayed = (_found("one")[f"{source}.{part}"] for source in ("features", "history"))
    columns = [{line for line in lines if "_" in line.split(" ")[0]} for lines in (streamed, replayed)]
    assert len(columns[0]) == len(columns[1]) > 40
    differing = {line.split(" ")[0] for line in columns[0] ^ columns[1]}
    # the stream sees a label when it has read it, history at the time that the label bears
    assert [name for name in differing if "_label_risk_" not in name] == []


def test_a_cards_own_partition_is_never_allowed_to_differ() -> None:
    known = {f"{name} {part}" for name, part in PARTS}
    assert set(DIFFERENCES) <= known
    assert [each for each in DIFFERENCES if each.split(" ", 1)[1] in _CARD] == []
    assert [each for each in DIFFERENCES if each.startswith("one ")] == []


@pytest.mark.parametrize("module", STDLIB_ONLY)
def test_the_logs_are_written_without_the_product(module: str) -> None:
    nodes = ast.walk(ast.parse((FOLDER / f"{module}.py").read_text()))
    imported = {name for node in nodes for name in _imported(node)}
    ours = {f"tests.golden.{name}" for name in STDLIB_ONLY}
    assert [name for name in imported - ours if name.split(".")[0] not in sys.stdlib_module_names] == []


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""]
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []


def test_what_is_kept_is_small() -> None:
    assert sum(path.stat().st_size for path in EXPECTED.rglob("*") if path.is_file()) < 1_000_000


# --- that the logs hold what they are kept for ------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(PARTITIONS))
def test_the_log_fills_rings_panes_and_bitmaps(name: str) -> None:
    decoded = [
        (spec, partial)
        for spec in ENTITIES
        for (unit, entity, _), data in take(name).state.partials.items()
        if unit.startswith("t") and entity == spec.entity
        if (partial := shipped_kernel().decode_partial(spec.entity, data)) is not None
    ]
    full = {spec.entity for spec, partial in decoded if len(partial.ring) == spec.recent}
    assert full == {spec.entity for spec in ENTITIES}
    assert {spec.entity for spec, partial in decoded if any(partial.panes.values())} >= full
    bitmaps = {spec.entity for spec, partial in decoded if _most_bits(partial) >= DENSE_BITS}
    assert bitmaps >= {Entity.CARD, Entity.DEVICE, Entity.IP}
    assert any(pane.reversals for _, partial in decoded for panes in partial.panes.values() for pane in panes)
    assert any(partial.position for _, partial in decoded)
    assert any(partial.decayed for _, partial in decoded)
    assert max(len(partial.ids) for _, partial in decoded) > 100


def _most_bits(partial: Partial) -> int:
    panes = [pane for panes in partial.panes.values() for pane in panes]
    return max((len(bits) for pane in panes for bits in pane.bitmaps.values()), default=0)


@pytest.mark.parametrize("name", list(PARTITIONS))
def test_the_log_holds_what_does_not_count_and_what_is_late(name: str) -> None:
    verdicts = Counter(" ".join(line.split(" ")[3:]) for line in KEPT[name]["verdicts"])
    assert verdicts["counted late"] > 5
    assert verdicts["deduplicate duplicate"] > 20
    assert verdicts["deduplicate id_reused"] > 10
    assert len(verdicts) >= 16
    assert (verdicts["deduplicate forwarded"] > 5) == (name == "three")


def test_the_decisions_are_made_in_every_way() -> None:
    schema = parse_schema(observe_schemas()["decisions"])
    made = [decode(row.value, schema) for row, _ in decide(take("one").rows)]
    deciders = Counter(row["decided_by"] for row in made)
    lists = {"allow_list_card", "allow_list_device", "block_list_merchant", "block_list_ip"}
    assert set(deciders) == {"model", "fallback", "card_testing_run", "device_farm", "impossible_travel", *lists}
    assert min(deciders.values()) > 5
    assert {row["decision"] for row in made} == {"APPROVE", "REVIEW", "DECLINE"}
    assert {tuple(row["degraded_by"]) for row in made} == {(), ("partial.l00",)}
    assert len({reason["code"] for row in made for reason in row["reasons"]}) > 8
