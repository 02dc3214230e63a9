"""``weir features diff --from log`` reads what the topics hold now, says what the archive says, and leaves nothing."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.outputs import Outputs
from tests.integration.payments import Publisher
from tests.integration.services import Services
from tests.integration.streams import build_stream, publish
from tests.payments import DECLARATIONS_HASH, FEATURE_NAMES
from weir.schemas.project import SHIPPED

pytestmark = pytest.mark.server
EVENTS = 120
BEFORE, AFTER = 'card.merchant.distinct("1h 1d 7d", ', 'card.merchant.distinct("1h 1d 7d 30d", '
ADDED = "card_merchant_distinct_30d"


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """The payments' file with one feature more."""
    folder = tmp_path / "declared"
    folder.mkdir()
    for each in SHIPPED.glob("*.avsc"):
        shutil.copy(each, folder)
    text = (SHIPPED / "payments.py").read_text()
    assert text.count(BEFORE) == 1
    (folder / "changed.py").write_text(text.replace(BEFORE, AFTER))
    return folder / "changed.py"


def test_the_log_is_compared_as_the_archive_of_it_would_be(services: Services, changed: Path) -> None:
    services.start("process")
    log = publish(Publisher(services.settings), build_stream(seed=5, count=EVENTS))
    with closing(Outputs(services.settings)) as outputs:
        outputs.await_settled(len(log), services.await_true)
        rows = len(outputs.rows())
    root = Path(services.settings.archive.root or services.settings.home / "archive")
    found = [services.run("features", "diff", DECLARATIONS_HASH, str(changed), "--from", "log", "--json")]
    assert not root.exists(), "what was read for the comparison is not kept"
    services.run("archive", "--until-caught-up")
    found.append(services.run("features", "diff", DECLARATIONS_HASH, str(changed), "--json"))
    of_log, of_archive = map(json.loads, found)
    assert of_log == of_archive
    assert of_log["rows"] == rows > EVENTS // 2
    assert (list(of_log["added"]), of_log["different"], of_log["removed"]) == ([ADDED], [], [])
    assert set(of_log["features"]) == set(FEATURE_NAMES)
