"""The wheel, as a user has it: one package at the top, all its data, and room for folders of the user's own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.house.source import PROJECT, ROOMS, ROOT

LEFT_OUT = {"infra/Dockerfile", "infra/Dockerfile.dockerignore"}
"""Files of a checkout that build an image of it."""
MINE = """\
raise ImportError("this is the user's own folder, and Weir must not look into it")
"""
STREAM = """\
from weir import Entity, Stream

shop = Entity("shop", "shop_id")
orders = Stream(
    "orders", "orders.avsc", "order_id", "event_time_ms", shop, [shop], features=[shop.event.count("1h")]
)
"""
REPLAY = """\
from weir.testing import load_stream, replay

orders = load_stream("orders/streams/orders.py")
rows = [{"order_id": str(n), "shop_id": "s-1", "event_time_ms": 1_750_000_000_000 + n} for n in (1, 2, 2)]
for each in replay(orders, rows):
    print(each.reason or each.features["shop_event_count_1h"])
"""


def sources() -> list[Path]:
    return [ROOT / "weir", *(ROOT / room for room in ROOMS)]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy, in which no earlier build has left a file, and unpack it."""
    copy, folder = tmp_path_factory.mktemp("source") / "weir", tmp_path_factory.mktemp("site")
    for path in sources():
        shutil.copytree(path, copy / path.name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder), "."]
    done = subprocess.run([sys.executable, "-m", "pip", *build], cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@pytest.fixture
def neighbours(tmp_path: Path) -> Path:
    """A user's folder with packages that are named like folders of ours."""
    for name in ROOMS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(MINE)
    return tmp_path


def run(installed: Path, folder: Path, *arguments: str, **environment: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_nothing_but_the_package_is_at_the_top(installed: Path) -> None:
    assert sorted(path.name for path in installed.iterdir()) == [
        "weir",
        f"weir-{PROJECT['project']['version']}.dist-info",
    ]


def test_every_file_of_the_package_is_in_the_wheel(installed: Path) -> None:
    files = {path.relative_to(ROOT).as_posix() for folder in sources() for path in folder.rglob("*") if path.is_file()}
    wanted = {name for name in files if "__pycache__" not in name and not name.startswith("monitoring/tests/")}
    found = {path.relative_to(installed / "weir").as_posix() for path in (installed / "weir").rglob("*.*")}
    ours = {name.removeprefix("weir/") for name in wanted - LEFT_OUT}
    assert ours - found == set()
    assert {Path(name).suffix for name in ours} >= {".avsc", ".json", ".lock", ".py", ".typed", ".yaml", ".yml"}


def test_a_users_own_folders_are_not_taken_for_ours(installed: Path, neighbours: Path) -> None:
    code = "import weir, weir.training, weir.schemas.stream; print(weir.__file__); weir.Stream"
    assert run(installed, neighbours, "-c", code).strip() == str(installed / "weir" / "__init__.py")
    assert run(installed, neighbours, "-m", "weir", "--version").startswith("weir ")
    make_project(neighbours)
    assert "orders: 1 stream, no faults" in run(installed, neighbours, "-m", "weir", "check", "--project", "orders")


def test_records_are_replayed_by_the_wheel_alone(installed: Path, neighbours: Path) -> None:
    make_project(neighbours)
    told = run(installed, neighbours, "-c", REPLAY, NUMBA_DISABLE_JIT="1")  # to compile it takes a minute
    assert told.splitlines() == ["1.0", "2.0", "duplicate"]


def make_project(folder: Path) -> None:
    (folder / "orders" / "streams").mkdir(parents=True)
    (folder / "orders" / "weir.toml").write_text("")
    (folder / "orders" / "streams" / "orders.py").write_text(STREAM)
    fields = [{"name": name, "type": "string"} for name in ("order_id", "shop_id")]
    fields += [{"name": "event_time_ms", "type": "long"}]
    schema = {"type": "record", "name": "Order", "fields": fields}
    (folder / "orders" / "streams" / "orders.avsc").write_text(json.dumps(schema))
