"""Follow the table of where to change what, in a copy of the source: one file, and everything else follows from it.

The copy gets a feature, a window, held features, an entity that keeps more events, and the naive oracle of the unit
tests is asked about all of them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = (
    "access",
    "archive",
    "cases",
    "feast",
    "generators",
    "inference",
    "infra",
    "monitoring",
    "schemas",
    "streaming",
    "tests",
    "training",
    "weir",
)
DECLARED = """\
        merchant.event.count("30d", hold="7d", why="volume over the window of its risk"),
        merchant.amount.mean("7d 30d", hold="7d", why="what was usual before the labels"),
        merchant.amount.std("7d", hold="7d", why="how much it varied"),
        merchant.card.distinct("7d", hold="7d", why="how many cards it had"),
        card.event.count("1d 6h", hold="1d", why="yesterday"),
        card.amount.sum("1d", hold="1d", why="yesterday"),
        card.amount.max("7d", hold="2d", why="before"),
        card.declined.ratio("1d", hold="1d", why="yesterday"),
        card.merchant.new("7d", hold="1d", why="not seen in the week before yesterday"),
        card.refund.sum("7d", hold="2d", why="before"),
        device.amount.max("6h", why="a window and an aggregate that the device had not"),
        ip.merchant.distinct("6h", why="one address at many merchants"),
    ],
    reasons="""
NAMES = (
    "merchant_event_count_30d_held_7d", "merchant_card_distinct_7d_held_7d", "card_event_count_6h_held_1d",
    "card_merchant_new_7d_held_1d", "device_amount_max_6h", "ip_merchant_distinct_6h",
)  # fmt: skip


def copy_source(folder: Path) -> Path:
    """Copy the source without what is made of it."""
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True)
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "features.md", folder / "docs")
    return folder


def declare(folder: Path, *changes: tuple[str, str]) -> None:
    """Change ``schemas/streams/payments.py``, the one file that the table names."""
    path = folder / "schemas" / "streams" / "payments.py"
    text = path.read_text()
    for before, after in changes:
        assert len(re.findall(before, text)) == 1, before
        text = re.sub(before, lambda _, after=after: after, text)  # type: ignore[misc]
    path.write_text(text)


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the copy, and make sure that it is the copy that runs."""
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy with the declarations above, every one of them written in one file."""
    folder = copy_source(tmp_path_factory.mktemp("declared"))
    declare(
        folder,
        (r"    \],\n    reasons=", DECLARED.rstrip()),
        (r'(?<=Entity\("card", "card_id", )(.*)\)', '["merchant_id", "device_id", "country"], recent=48)'),
    )
    return folder


@pytest.mark.verify
@pytest.mark.timeout(600)  # the copy compiles its kernel
def test_features_held_features_and_a_window_in_one_file_are_computed_as_the_oracle_says(changed: Path) -> None:
    tests = ["tests/unit/streaming/test_core_windows.py", "tests/unit/streaming/test_core_state.py"]
    chosen = "oracle or sum_of_all or are_cut or step_gave or second_reader"
    done = run(changed, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", chosen, *tests)
    assert done.returncode == 0, done.stdout[-4_000:]
    assert "5 passed" in done.stdout


@pytest.mark.verify
def test_the_avro_schema_the_docs_the_api_and_the_reasons_follow(changed: Path) -> None:
    listed = json.loads(run(changed, "-m", "weir", "features", "list", "--json").stdout)
    assert set(NAMES) <= {feature["name"] for feature in listed["features"]}
    page = run(changed, "-m", "weir", "features", "docs").stdout
    script = (
        "import json; from weir.schemas.contracts import schema_json;"
        "from weir.streaming.kernels import shipped_kernel; from weir.schemas.streams.payments import payments;"
        "fields = [f['name'] for f in json.loads(schema_json('features'))['fields']];"
        "card = list(shipped_kernel().read('card', [], [], 0));"
        "print(json.dumps([fields, payments.reason_codes, card, payments.declarations_hash]))"
    )
    done = run(changed, "-c", script)
    fields, codes, card, found_hash = json.loads(done.stdout)
    for name in NAMES:
        assert name in fields
        assert f"| `{name}` |" in page
        assert codes[name]
    assert "card_event_count_6h_held_1d" in card
    assert found_hash == listed["declarations_hash"]
    assert found_hash not in run(ROOT, "-m", "weir", "features", "list", "--json").stdout


FIRST_FEATURE = "    features=\\["


@pytest.mark.parametrize(
    ("at", "line", "sentence"),
    [
        (
            FIRST_FEATURE,
            'card.amount.count("1h")',
            "card_amount_count_1h: expected count of an event or a reversal, found of",
        ),
        (FIRST_FEATURE, 'card.event.count("2q")', "card_event_count_2q: expected a window like '5m', '1h' or"),
        (
            FIRST_FEATURE,
            'card.shoe.distinct("1d")',
            "expected an attribute of card, found 'shoe', which is not declared",
        ),
        (FIRST_FEATURE, 'card.amount.over_mean("30d")', "found 'over_mean'; did you mean 'over_min'?"),
    ],
)
def test_what_is_missing_is_one_sentence_and_no_traceback(tmp_path: Path, at: str, line: str, sentence: str) -> None:
    folder = copy_source(tmp_path)
    declare(folder, (at, f"{at.replace(chr(92), '')}\n        {line},"))
    done = run(folder, "-m", "weir", "features", "list")
    assert (done.returncode, done.stdout) == (2, "")
    path = folder / "weir" / "schemas" / "streams" / "payments.py"
    at_line = next(number for number, text in enumerate(path.read_text().splitlines(), 1) if line in text)
    assert done.stderr.startswith(f"weir features: {path}:{at_line}: ")
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1
