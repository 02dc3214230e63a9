"""Every rule against the series of its fault, by promtool: silent before, firing in time, silent after."""

from __future__ import annotations

import re
import subprocess
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests import binaries
from tests.house.source import ROOT

RULES = ROOT / "monitoring" / "alerts.yml"
FILES = sorted((ROOT / "monitoring" / "tests").glob("*.yml"))
FAULTS = ROOT / "docs" / "alerts.md"


@cache
def load(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text())


def write(path: Path, document: Any) -> None:
    with path.open("w") as out:
        YAML(typ="safe").dump(document, out)


def alerts() -> list[str]:
    return [rule["alert"] for group in load(RULES)["groups"] for rule in group["rules"]]


def run(path: Path) -> subprocess.CompletedProcess[str]:
    command = [binaries.find("promtool"), "test", "rules", path.name]
    return subprocess.run(command, cwd=path.parent, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_fault_raises_its_alert_and_no_sooner(path: Path) -> None:
    done = run(path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_rule_that_never_fires_is_found(tmp_path: Path) -> None:
    """The tests of the rules can fail: with every threshold out of reach the first firing alert of each file does."""
    rules = deepcopy(load(RULES))
    for rule in (rule for group in rules["groups"] for rule in group["rules"]):
        rule["expr"] = f"({rule['expr']}) and vector(0) == 1"
    write(tmp_path / "alerts.yml", rules)
    (tmp_path / "tests").mkdir()
    for path in FILES:
        first = next(
            each for each in load(path)["tests"] if any(case["exp_samples"] for case in each["promql_expr_test"])
        )
        write(copy := tmp_path / "tests" / path.name, load(path) | {"tests": [first]})
        done = run(copy)
        assert (done.returncode, "exp:" in done.stdout + done.stderr) == (1, True), done.stdout + done.stderr


def test_the_rules_and_configurations_are_valid() -> None:
    for command in (
        [binaries.find("promtool"), "check", "rules", str(RULES)],
        [binaries.find("promtool"), "check", "config", str(RULES.parent / "prometheus.yml")],
        [binaries.find("amtool"), "check-config", str(RULES.parent / "alertmanager.yml")],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", alerts())
def test_every_alert_is_seen_silent_and_firing(alert: str) -> None:
    cases = [case for path in FILES for test in load(path)["tests"] for case in test["promql_expr_test"]]
    own = [case for case in cases if f'alertname="{alert}"' in case["expr"]]
    assert any(case["exp_samples"] for case in own)
    assert any(not case["exp_samples"] for case in own) or alert == "WeirAlertingWorks"


@pytest.mark.parametrize("alert", alerts())
def test_every_alert_has_its_row_among_the_faults(alert: str) -> None:
    assert f"`{alert}`" in FAULTS.read_text()


def test_the_faults_name_no_alert_that_is_not_there() -> None:
    assert set(re.findall(r"`(Weir[A-Z]\w+)`", FAULTS.read_text())) <= set(alerts())
