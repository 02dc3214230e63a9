"""The kernel runs as plain Python too, so that a debugger stops in it, and gives the same numbers."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from tests.house.source import ROOT

FOLDER = "tests/unit/streaming"
CASES = {
    "test_core_windows.py": "is_open or of_order or same_millisecond or small_payment or speed or refund or one_shop",
    "test_core_labels.py": "withdrawn or held_back or ignored or newest_labels or another_unit_knows",
    "test_core_state.py": "ring_is_bounded or idle_entity or first_in_the_log",
    "test_core_identity.py": "test_the_same_id or late_row",
    "test_core_shelf.py": "shelf or growing",
    "test_seal.py": "seal or sound or bit or another_key",
    "test_core_backfill.py": "label_is_not_seen or murmur2 or small_partitioned",
    "test_core_known_labels.py": "very_millisecond",
    "test_moved_keys.py": "judged_and_seen",
}
"""Some of each that take no more than a few hundred events. `make coverage` counts the core by them alone."""


def test_with_compiled_code_off_the_kernel_gives_the_same_numbers() -> None:
    quietly = ["-q", "-p", "no:cacheprovider", "-W", "ignore::RuntimeWarning"]  # hashes wrap around on purpose
    chosen = " or ".join(f"({name} and ({cases}))" for name, cases in CASES.items())
    command = [sys.executable, "-m", "pytest", *quietly, "-k", chosen, *(f"{FOLDER}/{name}" for name in CASES)]
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) > 2 * len(CASES)


def test_a_record_of_it_gives_its_field_where_numpy_has_a_method_of_that_name() -> None:
    script = (
        "import numpy as np; from weir.streaming.core.working_memory import build_record;"
        "view = build_record(np.dtype([('sum', 'i8', (2,)), ('newest', 'i8')]));"
        "view.sum[0] = 7; view.newest = 3; print(view['sum'][0], view.newest)"
    )
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["7", "3"]
