"""What must agree across files: settings, commands, locks, containers."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.house.source import FACE, PROJECT, ROOMS, ROOT
from weir.cli import VERBS
from weir.infra.embedded.artifacts import KAFKA_LOCK, REGISTRY_LOCK, load_lock
from weir.infra.env_example import render
from weir.infra.settings import Settings, load_settings

COMPOSE = ROOT / "infra" / "compose.yaml"
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))
TARGETS = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)


def _services() -> dict[str, Any]:
    services: dict[str, Any] = YAML(typ="safe").load(COMPOSE.read_text())["services"]
    return services


def test_the_example_environment_lists_every_setting_with_its_default() -> None:
    fix = "python -m weir.infra.env_example > .env.example"
    assert (ROOT / ".env.example").read_text() == render(), f"run `{fix}`"


def test_the_example_environment_uncommented_is_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where no embedded stack has left its addresses
    lines = re.findall(r"^# (WEIR_\w+)=(.*?)(?:   #.*)?$", render(), flags=re.MULTILINE)
    assert len(lines) > 50
    assert load_settings(dict(lines)) == Settings()


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_its_module(verb: str) -> None:
    assert importlib.util.find_spec(VERBS[verb][0]) is not None


def test_every_verb_that_the_makefile_runs_exists() -> None:
    named = set(re.findall(r"\$\(WEIR\) ([a-z]+)", (ROOT / "Makefile").read_text()))
    assert named <= set(VERBS)


def test_every_folder_of_the_product_is_a_room_of_the_package() -> None:
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"weir", "tests"}
    assert folders == set(ROOMS)
    assert all((FACE / room).readlink() == Path("..") / room for room in ROOMS)


def test_every_folder_with_modules_is_a_package() -> None:
    folders = {path.parent for room in ROOMS for path in (ROOT / room).rglob("*.py")}
    assert [folder for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []
    assert list(ROOT.glob("*.py")) == []


@pytest.mark.parametrize(
    "name", ["README.md", "CONTRIBUTING.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
)
def test_every_make_target_that_a_document_names_exists(name: str) -> None:
    path = ROOT / name
    text = path.read_text() if path.is_file() else ""
    named = set(re.findall(r"(?:^|`|&& )make ([a-z][a-z-]*)", text, flags=re.MULTILINE))
    assert named <= set(TARGETS)


@pytest.mark.parametrize("name", ["README.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))])
def test_every_verb_that_a_document_names_exists(name: str) -> None:
    path = ROOT / name
    text = path.read_text() if path.is_file() else ""
    assert set(re.findall(r"(?:^|`|bin/)weir ([a-z]+)", text, flags=re.MULTILINE)) <= {*VERBS, "verb"}


def test_make_alone_lists_every_target() -> None:
    # run by make itself, it would say which folder it enters
    command = ["make", "--no-print-directory"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30).stdout
    assert [line.split()[0] for line in shown.splitlines() if line.startswith("  ")] == TARGETS


def test_every_target_that_is_listed_stands_in_a_group_and_is_phony() -> None:
    text = (ROOT / "Makefile").read_text()
    groups = re.split(r"^##@ .*$", text, flags=re.MULTILINE)
    assert len(groups) == 6
    assert re.findall(r"^[a-z-]+:.*## ", groups[0], flags=re.MULTILINE) == []
    assert sorted(re.search(r"^\.PHONY: (.*)$", text, flags=re.MULTILINE)[1].split()) == sorted(TARGETS)  # type: ignore[index]


def test_every_test_of_the_api_is_run_by_its_target() -> None:
    command = ["make", "--no-print-directory", "--dry-run", "test-api"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30).stdout
    named = [ROOT / word for word in shown.split() if word.startswith("tests/")]
    about = [
        path
        for path in (ROOT / "tests").rglob("test_*.py")
        if "from weir.inference.api.app" + " import" in path.read_text()
    ]
    assert [path for path in about if not any(path.is_relative_to(name) for name in named)] == []
    assert len(about) > 1


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_pins_every_package_by_digest_and_names_no_host(lock: Path) -> None:
    text = lock.read_text()
    pins = re.findall(r"^[a-z0-9][^\n]*?==[^\n]*\\\n    --hash=sha256:", text, flags=re.MULTILINE)
    assert len(pins) == len(re.findall(r"^[a-z0-9]", text, flags=re.MULTILINE)) > 0
    assert "://" not in text


def test_the_runtime_lock_has_no_training_or_development_package() -> None:
    names = set(
        re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements" / "runtime.lock").read_text(), flags=re.MULTILINE)
    )
    optional = {name for extra in PROJECT["project"]["optional-dependencies"].values() for name in extra}
    assert names.isdisjoint(optional)
    assert "confluent-kafka" in names


def test_java_artifacts_are_locked_by_digest_once_each() -> None:
    artifacts = load_lock(KAFKA_LOCK) + load_lock(REGISTRY_LOCK)
    assert all(re.fullmatch("[0-9a-f]{64}", artifact.sha256) and artifact.size > 0 for artifact in artifacts)
    assert len({(artifact.group, artifact.name) for artifact in artifacts}) == len(artifacts)


def test_the_compose_file_is_valid() -> None:
    command = [str(Path(sys.executable).parent / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, str(COMPOSE)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_compose_file_sets_only_what_the_settings_know() -> None:
    environments = {name: s["environment"] for name, s in _services().items() if s.get("image") == "weir:local"}
    assert set(environments) == {"prepare", "processor", "scorer", "index", "dlq-auto", "api"}
    for environment in environments.values():
        assert load_settings(dict(environment)).cluster == "compose"


def test_compose_publishes_on_the_loopback_alone_and_never_the_newest_image() -> None:
    for service in _services().values():
        assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", []))
        assert re.search(r":v?[0-9][^:]*$|:local$", service["image"])


def test_the_files_that_compose_mounts_are_there() -> None:
    mounts = {volume.split(":")[0] for service in _services().values() for volume in service.get("volumes", [])}
    files = {mount for mount in mounts if mount.startswith(".") and "/.weir/" not in mount}
    assert [mount for mount in sorted(files) if not (COMPOSE.parent / mount).exists()] == []


def test_prometheus_asks_the_ports_that_compose_gives() -> None:
    jobs = YAML(typ="safe").load((ROOT / "monitoring" / "prometheus.yml").read_text())["scrape_configs"]
    ours = [job for job in jobs if job["job_name"].startswith("weir-")]
    targets = {
        target.rpartition(":")[2] for job in ours for each in job["static_configs"] for target in each["targets"]
    }
    assert len(targets) == len(ours) == 5
    given = {
        str(service["environment"].get("WEIR_MONITORING__METRICS_PORT") or service["environment"].get("WEIR_API__PORT"))
        for name, service in _services().items()
        if service.get("image") == "weir:local" and name != "prepare"
    }
    assert targets == given


def test_the_image_holds_every_package_that_serving_needs() -> None:
    copied = set(re.findall(r"^COPY (\w+) ", (ROOT / "infra" / "Dockerfile").read_text(), flags=re.MULTILINE))
    assert {"weir", "schemas", "infra", "monitoring", "streaming", "inference", "generators"} <= copied


def test_secrets_and_payments_are_kept_out_of_the_repository() -> None:
    ignored = set((ROOT / ".gitignore").read_text().splitlines())
    folders = {"/data/", "/history/"}
    files = {".env", "*.pem", "*.key", "*.csv", "*.parquet", "*.jsonl", "*.tar.xz", "*.log"}
    assert folders | files <= ignored
