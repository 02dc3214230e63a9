"""``weir features diff``: what is shown is what two backfills differ by."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

import weir.cli
from tests.payments import DECLARATIONS_HASH, FEATURE_NAMES
from tests.unit.archive.decided import topics
from weir.archive.features.side_by_side import Pair
from weir.schemas.project import SHIPPED

CHANGES = (
    ('card.merchant.distinct("1h 1d 7d", ', 'card.merchant.distinct("1h 1d 7d 30d", '),
    ('col("channel").is_in(["ECOM", "MOTO"])', 'col("channel").is_in(["ECOM"])'),
)
ADDED = "card_merchant_distinct_30d"
BUNDLE = Path(__file__).parents[2] / "golden" / "expected" / "bundle"
Document = dict[str, Any]


@pytest.fixture
def changed(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The payments' file with one feature more, and with another idea of what is online."""
    monkeypatch.setenv("WEIR_HOME", str(built))
    monkeypatch.setenv("WEIR_SCORER__BUNDLE_DIR", str(BUNDLE))
    monkeypatch.chdir(tmp_path)
    for each in SHIPPED.glob("*.avsc"):
        shutil.copy(each, tmp_path)
    text = (SHIPPED / "payments.py").read_text()
    for before, after in CHANGES:
        assert text.count(before) == 1
        text = text.replace(before, after)
    path = tmp_path / "changed.py"
    path.write_text(text)
    return path


def _run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, Document]:
    capsys.readouterr()
    code = weir.cli.main(["features", "diff", *map(str, words), "--json"])
    told = capsys.readouterr()
    return code, json.loads(told.out) if told.out else {"error": told.err}


def test_what_is_shown_is_what_two_backfills_differ_by(
    built: Path, changed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = DeltaTable(str(built / "archive" / "features")).to_pyarrow_table().to_pylist()
    by_mail = sum(row["channel"] == "MOTO" for row in rows) / len(rows)
    code, document = _run(capsys, DECLARATIONS_HASH, changed)
    assert code == 1
    assert list(document["added"]) == [ADDED]
    assert document["removed"] == []
    assert document["old"]["hash"] == DECLARATIONS_HASH != document["new"]["hash"]
    assert document["rows"] == document["old"]["written"] == document["new"]["written"] == len(topics()["features"])
    assert list(document["features"]) == list(FEATURE_NAMES)
    assert document["different"]
    assert all("online" in name for name in document["different"])
    online = document["features"]["transaction_is_online"]
    assert online["equal"] == pytest.approx(1 - by_mail) != 1
    assert online["differences"]["max"] == 1
    assert all(document["features"][name]["psi"] > 0 for name in document["different"])
    same = document["features"]["card_amount_sum_1h"]
    assert (same["equal"], same["psi"], same["differences"]["max"]) == (1, 0, 0)
    assert document["added"][ADDED]["values"]["max"] >= 1
    assert document["effect"]["scores"]["differences"]["max"] == 8 / 64  # the weight of `transaction_is_online`
    assert sum(document["effect"]["flips"].values()) > 0
    assert document["effect"]["model"] in document["notes"][-1]


def test_on_a_terminal_there_are_the_features_that_differ(changed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert weir.cli.main(["features", "diff", str(changed), "transactions"]) == 1
    told = capsys.readouterr().out
    assert "card_amount_sum_1h" not in told
    assert f"removed: {ADDED}" in told
    assert "score of" in told


def test_the_same_declarations_have_the_same_values_and_no_bundle_is_said_in_a_sentence(
    changed: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEIR_SCORER__BUNDLE_DIR", str(changed.parent))
    code, document = _run(capsys, "transactions", "transactions")
    assert code == 0
    assert (document["different"], document["added"], document["effect"]) == ([], {}, None)
    assert "no effect on scores is shown" in document["notes"][-1]


def test_a_model_that_takes_what_is_not_declared_is_said_in_a_sentence(
    changed: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = json.loads((BUNDLE / "manifest.json").read_text())
    manifest["features"] = [ADDED, *manifest["features"][1:]]
    (changed.parent / "manifest.json").write_text(json.dumps(manifest))
    monkeypatch.setenv("WEIR_SCORER__BUNDLE_DIR", str(changed.parent))
    _, document = _run(capsys, "transactions", changed)
    assert document["effect"] is None
    assert f"takes {ADDED}, which the old declarations lack" in document["notes"][-1]


@pytest.mark.usefixtures("changed")
def test_where_nothing_is_compared_nothing_is_called_the_same(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pair, "rows", 0)
    code, document = _run(capsys, "transactions", "transactions")
    assert code == 2
    assert "expected events that count by both declarations, found none of" in document["error"]


@pytest.mark.usefixtures("changed")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("payment", "transactions"), "found 'payment'; there are"),
        (("0123456789abcdef", "transactions"), "expected one stream in 0123456789abcdef, found none"),
        ((".", "transactions"), "expected a weir.toml in ., found none"),
        (("clicks", "transactions"), "expected two declarations of one stream, found topics clicks and transactions"),
        (("transactions", "transactions", "--from", "nowhere"), "expected the table of topic transactions in nowhere"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_sentence(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    code, document = _run(capsys, *words)
    assert code == 2
    assert said in document["error"]
