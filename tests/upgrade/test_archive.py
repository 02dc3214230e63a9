"""An archive that older code made: this code adds to it, proves and reads it, and so does the older one again.

No server is needed: the older code's own tests have the records that it archives.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import weir.cli
from tests.unit.archive.decided import continue_archive, topics
from tests.upgrade.release import ARCHIVED, environment_of_tree, find_release
from weir.archive.place import Place
from weir.archive.reader import open_reader

OLD_RECORDS = 300
"""Of the log's 600; this code archives the rest."""
BUILD = f"""
import sys
from pathlib import Path
from tests.unit.archive import decided
decided.RECORDS = {OLD_RECORDS}
decided.build_archive(Path(sys.argv[1]))
"""
RULES = "rules:\n  - {name: large, then: DECLINE, when: transaction_amount > 20000, why: tried}\n"

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


class Home:
    """A home with an archive, and the older code that works on it in processes of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.place = folder, Place(str(folder / "archive"))
        self._tree = find_release(ARCHIVED)

    def run_old(self, *words: str) -> None:
        """Run Python with the older code; it must end well."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("WEIR_")}
        # its kernel is not worth compiling for some hundred records
        own = {"WEIR_HOME": str(self.folder), "NUMBA_DISABLE_JIT": "1", **environment_of_tree(self._tree)}
        command = [sys.executable, *words]
        done = subprocess.run(command, cwd=self._tree, env=inherited | own, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{words}: {done.stdout[-1_000:]}\n{done.stderr[-2_000:]}"

    def count(self) -> dict[str, int]:
        """How many rows each table has."""
        return {topic: open_reader(self.place, topic).files["num_records"].to_numpy().sum() for topic in topics()}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home whose archive the older code began and this code continued."""
    home = Home(tmp_path_factory.mktemp("upgraded"))
    home.run_old("-c", BUILD, str(home.folder))
    before = home.count()
    continue_archive(home.folder)
    assert [topic for topic in ("transactions", "features", "decisions") if before[topic] < 100] == []
    assert home.count() == {topic: len(records) for topic, records in topics().items()}
    assert [topic for topic in ("transactions", "features", "decisions") if home.count()[topic] == before[topic]] == []
    return home


@pytest.mark.parametrize("is_old", [False, True], ids=["this code", "the older code"])
def test_what_either_code_archived_is_proved_decided_again_and_tried_rules_on(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_old: bool
) -> None:
    monkeypatch.setenv("WEIR_HOME", str(home.folder))
    rules, decisions = tmp_path / "rules.yaml", topics()["decisions"]
    rules.write_text(RULES)
    ids = open_reader(home.place, "decisions").find_at
    (first, last) = (ids(offset)["id"][0].as_py() for offset in (0, len(decisions) - 1))
    for words in (
        ["evidence", "verify"],
        ["evidence", first],
        ["evidence", last],
        ["evidence", "again", "--sample", "1000"],
        ["whatif", "--rules", str(rules), "--verify"],
    ):
        if is_old:
            home.run_old("-m", "weir", *words)
        else:
            assert weir.cli.main(words) == 0, words
