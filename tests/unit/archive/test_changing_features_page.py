"""Every command of ``docs/changing-features.md`` is run, and says what stands there, on an archive and nothing else."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq

from tests.golden.shipped import of_the_fixtures
from tests.house.commands import scripts
from tests.house.source import ROOT
from weir.schemas.project import SHIPPED

PAGE = (ROOT / "docs" / "changing-features.md").read_text()
BLOCKS = [script for language, script in scripts(PAGE) if language == "sh"]
SAID = re.findall(r"```sh\n.*?```\n.*?```\n(.*?)```", PAGE, re.DOTALL)
BUNDLE = ROOT / "tests" / "golden" / "expected" / "bundle"


@of_the_fixtures  # the page shows the hash of the shipped stream
def test_every_block_of_the_page_says_what_stands_below_it(built: Path, tmp_path: Path) -> None:
    for path in [*SHIPPED.glob("*.avsc"), SHIPPED / "payments.py"]:
        shutil.copy(path, tmp_path)
    own = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    own |= {"WEIR_HOME": str(built), "WEIR_SCORER__BUNDLE_DIR": str(BUNDLE)}
    assert len(BLOCKS) == len(SAID) == 2
    for script, said in zip(BLOCKS, SAID, strict=True):
        command = ["bash", "-euo", "pipefail", "-c", script]
        done = subprocess.run(command, cwd=tmp_path, env=own, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        assert [line.rstrip() for line in done.stdout.splitlines()] == said.splitlines()
    assert pq.read_table(tmp_path / "features.parquet").num_rows > 400
