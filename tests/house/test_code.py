"""The house rules that a machine can see in the code."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.house.source import ROOT, dotted_names, files_of_tests, find_all, functions, is_core, lines_of, product_files

MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
FUNCTION_LINES_MEDIAN = 10
FUNCTION_LINES_P90 = 35

# who may read or change the process's environment, and why nobody else
ENVIRONMENT_READERS = {
    "infra/settings.py": "the one place that turns the environment into settings",
    "infra/user_folders.py": "folders of the user, as other programs name them; none is a setting",
    "infra/children.py": "a child process inherits it",
    "infra/embedded/mlflow_page.py": "MLflow's page is told where its store is by variables alone",
    "training/tracking.py": "MLflow is told to be silent by variables alone",
}
IMPURE = ("time.time", "time.monotonic", "time.sleep", "datetime.now", "datetime.datetime.now", "np.random", "random")
OPEN_ENDS = (
    "TO" + "DO",
    "FIX" + "ME",
    "NotImplemented" + "Error",
    "mark." + "skip",
    "mark." + "xfail",
    "pytest." + "skip",
    "Skip" + "Test",
)
# which file may hold one of these, and why no other
OPEN_ON_PURPOSE = {
    "tests/binaries.py": "a developer may lack Prometheus or a browser, which no package of Python brings; CI fails",
    "tests/upgrade/release.py": "a copy may lack the history that the release before is taken from; CI fails",
}


def test_a_module_fits_in_a_head() -> None:
    assert find_all(product_files() + files_of_tests(), _lines_beyond) == {}


def _lines_beyond(path: Path) -> int:
    return max(0, len(path.read_text().splitlines()) - MODULE_LINES_MAX)


def test_no_function_is_a_chapter() -> None:
    assert find_all(product_files(), _long_functions) == {}


def _long_functions(path: Path) -> list[str]:
    sizes = [(function.name, lines_of(function)) for function in functions(path)]
    return [f"{name}: {lines} lines" for name, lines in sizes if lines > FUNCTION_LINES_MAX]


def test_functions_are_short_at_the_median_and_at_the_ninth_decile() -> None:
    sizes = [lines_of(function) for path in product_files() for function in functions(path)]
    assert statistics.median(sizes) <= FUNCTION_LINES_MEDIAN
    assert statistics.quantiles(sizes, n=10)[-1] <= FUNCTION_LINES_P90


def _uses_of(*names: str) -> Callable[[Path], list[int]]:
    return lambda path: [line for name, line in dotted_names(path) if name in names]


def test_nothing_prints() -> None:
    assert find_all(product_files(), _uses_of("print")) == {}


def test_the_environment_is_read_in_one_place() -> None:
    found = find_all(product_files(), _uses_of("os.environ", "os.getenv", "environ", "getenv"))
    assert found.keys() <= ENVIRONMENT_READERS.keys(), found


def test_a_messages_headers_are_read_in_one_place() -> None:
    # asked a second time for names that are not UTF-8, the client's answer ends the process
    found = find_all(product_files(), lambda path: ".headers()" in path.read_text())
    assert found.keys() <= {"infra/kafka/clients.py"}


def test_a_core_has_no_clock_no_chance_and_no_files() -> None:
    cores = [path for path in product_files() if is_core(path)]
    assert cores
    assert find_all(cores, _impure_uses) == {}


def _impure_uses(path: Path) -> list[str]:
    return [
        f"{name} at line {line}"
        for name, line in dotted_names(path)
        if name in {"open", "input"} or any(name == banned or name.startswith(f"{banned}.") for banned in IMPURE)
    ]


def test_no_admin_client_is_asked_for_committed_offsets() -> None:
    """It ends the process by a segmentation fault while a coordinator is loading (``infra/kafka/positions.py``)."""

    def uses(path: Path) -> list[int]:
        return [line for name, line in dotted_names(path) if name.endswith("list_consumer_group_offsets")]

    assert find_all(product_files(), uses) == {}


def test_coordinators_are_asked_in_one_place_alone() -> None:
    """A question that times out in the client ends the process by an assertion (``infra/kafka/group_owners.py``)."""
    asking = {"describe_consumer_groups", "delete_consumer_groups", "alter_consumer_group_offsets"}

    def uses(path: Path) -> list[int]:
        return [line for name, line in dotted_names(path) if name.rpartition(".")[2] in asking]

    assert find_all(product_files(), uses).keys() == {"infra/kafka/group_owners.py"}


def test_nothing_is_left_open() -> None:
    found = find_all(product_files() + files_of_tests(), _open_ends)
    assert found.keys() <= OPEN_ON_PURPOSE.keys(), found


def _open_ends(path: Path) -> list[str]:
    text = path.read_text()
    return [each for each in OPEN_ENDS if each in text]


def test_a_module_says_what_it_is_for() -> None:
    assert find_all(product_files(), _says_nothing) == {}


def _says_nothing(path: Path) -> bool:
    text = path.read_text()
    return bool(text) and not text.startswith(('"""', 'r"""', "#!"))


def test_every_import_goes_the_way_it_may() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_feast_has_no_init_file_which_would_shadow_the_library() -> None:
    assert not (ROOT / "feast" / "__init__.py").exists()
