"""Rules, lists and thresholds that older code published: this code reads them, and decides by them as that code did.

No server is needed: ``publish_old.py`` runs in the older code's tree, with the older code's own tests.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

import weir.cli
from tests.golden.records import decode, parse_schema
from tests.golden.shipped import bundle_folder
from tests.unit.archive.test_in_force import TOPIC, FakeTopic, InForce
from tests.upgrade.test_archive import Home
from weir.archive.in_force.published import PublishedKeeper
from weir.archive.in_force.versions import Versions
from weir.archive.objects import Objects
from weir.archive.place import Place
from weir.archive.records import CONSUMED, Record, codec_of, lookup_of
from weir.inference.bundle import Bundle, load_bundle
from weir.inference.decide import Decider, DecisionWriter
from weir.inference.published.act import Act, HasText, Logged
from weir.inference.published.content import ContentReader, Standing
from weir.inference.published.log import PublishedLog
from weir.inference.published.proposals.record import parse_record
from weir.inference.published.settle import Settler
from weir.inference.rule_sets import read_rules
from weir.schemas.contracts import decisions_schema, features_schema
from weir.schemas.errors import Refused
from weir.schemas.streams.payments import payments
from weir.streaming.feature_rows import FeatureRowReader

SCRIPT = Path(__file__).parent / "publish_old.py"
OWN_ID = 1
FIRST_OF_EACH_KIND = (0, 2, 4)
"""Places in the topic of the acts by whose contents the first half was decided."""
Row = dict[str, Any]

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the script leaves, made by older code."""
    home = Home(tmp_path_factory.mktemp("published"))
    home.run_old(str(SCRIPT), str(home.folder))
    return home.folder


def _read_decisions(home: Path) -> list[Row]:
    """Return the decisions that older code wrote, by its own schema and by a library that is not the product's."""
    root = home / "archive"
    (schema,) = (root / "_schemas" / "decisions").glob("*.avsc")
    found = DeltaTable(str(root / "decisions")).to_pyarrow_table(columns=["offset", "value"]).sort_by("offset")
    return [decode(value, parse_schema(schema.read_text())) for value in found["value"].to_pylist()]


def _acts(home: Path) -> tuple[list[bytes], dict[str, list[str]]]:
    document = json.loads((home / "acts.json").read_text())
    return [value.encode() for value in document["values"]], document["parts"]


def test_the_older_code_decided_by_two_versions_of_everything_and_by_what_is_declared(folder: Path) -> None:
    published = Counter(row["rules_version"] for row in _read_decisions(folder / "published"))
    assert len(published) == 2
    assert all(version.count("+") == 2 and count > 100 for version, count in published.items())
    rows = _read_decisions(folder / "published")
    assert {"model", "often", "burst", "known", "block_list_merchant"} <= {row["decided_by"] for row in rows}
    assert {"NIGHT", "LISTED"} <= {tag for row in rows for tag in row["tags"]}
    assert {rule for row in rows for rule in row["shadow_rules"]} == {"tried"}
    assert {row["rules_version"] for row in _read_decisions(folder / "declared")} == {"1+lists-golden"}


@pytest.mark.parametrize("name", ["published", "declared"])
def test_a_decision_is_made_again_by_the_versions_that_older_code_kept(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = folder / name
    monkeypatch.setenv("WEIR_HOME", str(home))
    decisions = _read_decisions(home)
    kinds = {(row["rules_version"], row["decision"], row["decided_by"]): row["transaction_id"] for row in decisions}
    for event_id in kinds.values():
        assert weir.cli.main(["evidence", event_id]) == 0
    capsys.readouterr()
    assert weir.cli.main(["evidence", "again", "--sample", "100000"]) == 0
    assert capsys.readouterr().out.splitlines() == [f"{len(decisions)} decisions made again, 0 differ"]
    assert weir.cli.main(["evidence", "verify"]) == 0


def test_this_code_keeps_the_same_files_of_the_topic_as_older_code_did(folder: Path, tmp_path: Path) -> None:
    values, parts = _acts(folder / "published")
    topic: Any = FakeTopic([*values], parts)
    PublishedKeeper(topic, Versions(Objects(Place(str(tmp_path))), TOPIC)).look()
    kept, before = _read_files(tmp_path), _read_files(folder / "published" / "archive")
    assert len(kept) > 6
    assert {path: before.get(path) for path in kept} == kept
    assert {path for path in before if path.startswith("_versions/")} <= kept.keys()


def _read_files(root: Path) -> dict[str, bytes]:
    """Return what is kept of published versions, by path."""
    folders = [root / "_versions", root / "_objects"]
    return {
        str(path.relative_to(root)): path.read_bytes() for top in folders for path in top.rglob("*") if path.is_file()
    }


def test_who_follows_the_topic_decides_as_older_code_did(folder: Path) -> None:
    home = folder / "published"
    values, parts = _acts(home)
    decisions = _read_decisions(home)
    versions = list(dict.fromkeys(row["rules_version"] for row in decisions))
    bundle = load_bundle(bundle_folder(), stream=payments)
    for version, standing in zip(versions, _stand(values, parts), strict=True):
        assert standing.rules is not None
        assert standing.lists is not None
        wanted = {row["source_offset"]: row for row in decisions if row["rules_version"] == version}
        made = _decide(home, InForce(bundle, standing.lists, standing.rules, standing.thresholds))
        found = {row["source_offset"]: row for row in made if row["source_offset"] in wanted}
        assert found.keys() == wanted.keys()
        for offset, row in wanted.items():
            assert {name: found[offset][name] for name in row} == row


def _stand(values: Sequence[bytes], parts: dict[str, list[str]]) -> Iterator[Standing]:
    """Yield what is in force by the first version of each kind, and by all that was published."""

    def read_parts(act: HasText) -> list[str]:
        return parts[act.hash]

    def refuse(logged: Logged, reason: str) -> None:
        raise AssertionError(f"the act at {logged.offset} is refused: {reason}")

    def read_no_model(text: str) -> Bundle:
        raise Refused(f"expected no model, found {text}")

    for places in (FIRST_OF_EACH_KIND, range(len(values))):
        log = PublishedLog()
        settler = Settler(ContentReader(payments, read_parts, read_rules, read_no_model).build, refuse)
        for place in places:
            act = parse_record(values[place])
            assert isinstance(act, Act)
            log.take(Logged(act, place, 1_760_000_000_000 + place))
        settler.settle(log)
        yield settler.standing


def _decide(home: Path, now: InForce) -> list[Row]:
    """Decide all feature rows that older code logged, by this code."""
    root = Place(str(home / "archive"))
    table = DeltaTable(str(home / "archive" / "features")).to_pyarrow_table(columns=[*CONSUMED]).sort_by("offset")
    rows = [Record("features", row) for row in table.to_pylist()]
    reader = FeatureRowReader(payments, lookup_of(Objects(root), "features"), codec_of(features_schema(payments)))
    read = reader.from_avro(rows)
    assert not read.unreadable
    writer = DecisionWriter(payments, source_topic="transactions", topic="decisions", schema_id=OWN_ID)
    (time_ms,) = {row["decision_time_ms"] for row in _read_decisions(home)}
    made = writer.to_avro(Decider(now, payments).decide(read.batch), decision_time_ms=time_ms)
    schema = parse_schema(decisions_schema(payments))
    return [decode(value or b"", schema) for value in made.values]
