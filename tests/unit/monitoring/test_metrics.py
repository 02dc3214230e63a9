"""The catalogue is what is exported, and dashboards, alerts and scrape targets use nothing else."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from weir.monitoring import metrics
from weir.monitoring.server import serve_metrics

MONITORING = Path(metrics.__file__).parent
ENTITY_IDS = {"card", "card_id", "customer_id", "device_id", "ip", "merchant_id", "transaction_id", "id"}
SPECS = {spec.name: spec for spec in metrics.CATALOGUE}
_NAME = re.compile(r"\bweir_[a-z0-9_]+")
_GROUPING = re.compile(r"\bby \(([^)]*)\)")
_UP = re.compile(r"\bup\{[^}]*\}")
_PROMETHEUS_OWN = re.compile(r"\bup\{|\bprometheus_|^vector\(")
"""What Prometheus knows by itself: whether targets answer, and whom it tells."""
_TARGET = ("job", "instance")
"""Labels that a scrape adds."""
_SELECTOR = re.compile(r"(weir_[a-z0-9_]+)\{([^}]*)\}")


def _base(name: str) -> str:
    for suffix in ("_bucket", "_sum", "_count"):
        if name.removesuffix(suffix) in SPECS and SPECS[name.removesuffix(suffix)].kind == "histogram":
            return name.removesuffix(suffix)
    return name


def _expressions() -> list[str]:
    dashboard: dict[str, Any] = json.loads((MONITORING / "dashboards" / "weir.json").read_text())
    alerts: dict[str, Any] = yaml.safe_load((MONITORING / "alerts.yml").read_text())
    shown = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return shown + [rule["expr"] for group in alerts["groups"] for rule in group["rules"]]


def test_every_name_is_ours_in_base_units_and_counted_with_total() -> None:
    for spec in metrics.CATALOGUE:
        assert spec.name.startswith("weir_")
        assert spec.name.endswith("_total") == (spec.kind == "counter")
        assert not re.search(r"_(ms|milliseconds|minutes|kb|mb)(_|$)", spec.name)
        assert spec.help.endswith(".")


def test_no_metric_has_an_entity_id_as_a_label() -> None:
    for spec in metrics.CATALOGUE:
        assert not ENTITY_IDS & set(spec.labels), spec.name


def test_the_catalogue_and_the_registry_hold_the_same_metrics() -> None:
    families = {family.name: family.type for family in metrics.REGISTRY.collect() if family.name.startswith("weir_")}
    assert families == {spec.name.removesuffix("_total"): spec.kind for spec in metrics.CATALOGUE}
    assert len(SPECS) == len(metrics.CATALOGUE)


@pytest.mark.parametrize("expression", _expressions())
def test_dashboards_and_alerts_use_names_and_labels_of_the_catalogue(expression: str) -> None:
    names = [_base(name) for name in _NAME.findall(_UP.sub("", expression))]
    assert names or _PROMETHEUS_OWN.search(expression)
    assert set(names) <= set(SPECS)
    allowed = {label for name in names for label in SPECS[name].labels} | {"le", *_TARGET}
    for grouping in _GROUPING.findall(expression):
        assert {label.strip() for label in grouping.split(",")} <= allowed
    for name, selector in _SELECTOR.findall(expression):
        for matcher in selector.split(","):
            assert re.split(r"[!=]", matcher.strip())[0] in {*SPECS[_base(name)].labels, "le"}


def test_a_label_value_that_an_expression_asks_for_is_written_somewhere() -> None:
    folders = [MONITORING.parent / name for name in ("streaming", "inference", "infra", "monitoring")]
    code = "".join(file.read_text() for folder in folders for file in sorted(folder.rglob("*.py")))
    for expression in _expressions():
        for _, selector in _SELECTOR.findall(expression):
            for value in re.findall(r'(?<![~!])="([^"]*)"', selector):
                assert f'"{value}"' in code, expression


@pytest.mark.parametrize("expression", _expressions())
def test_expressions_are_balanced_and_rate_counters_alone(expression: str) -> None:
    for opening, closing in ("()", "{}", "[]"):
        assert expression.count(opening) == expression.count(closing)
    for name in re.findall(r"(?:rate|increase)\((weir_[a-z0-9_]+)", expression):
        assert SPECS[_base(name)].kind in {"counter", "histogram"}


def test_a_counter_of_which_one_increase_is_an_alert_is_there_before_it() -> None:
    """Prometheus sees no increase of a series whose first sample is 1."""
    command = (
        "import prometheus_client as p, weir.monitoring.metrics as m; print(p.generate_latest(m.REGISTRY).decode())"
    )
    page = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True).stdout
    once = re.compile(r"increase\((weir_[a-z0-9_]+(?:\{[^}]*\})?)\[[^]]*\]\)\)? > 0")
    series = [name for expression in _expressions() for name in once.findall(expression)]
    assert len(series) >= 4
    # its servers' names are known at the first look, and each look writes it, with 0 too
    missing = [name for name in series if not re.search(_pattern_of(name), page)]
    assert missing == ["weir_redis_evicted_keys_total"]


def _pattern_of(series: str) -> str:
    """Return what finds a series, or one that has more labels than an alert asks for."""
    name, _, labels = series.rstrip("}").partition("{")
    asked = "".join(rf"(?=[^}}]*{re.escape(label)})" for label in labels.split(",") if label)
    return rf"\n{name}\{{{asked}[^}}]*\}} " if asked else rf"\n{name} "


def test_every_alert_says_what_happened_and_what_to_do() -> None:
    alerts: dict[str, Any] = yaml.safe_load((MONITORING / "alerts.yml").read_text())
    for group in alerts["groups"]:
        for rule in group["rules"]:
            assert {"summary", "action"} <= set(rule["annotations"])
            assert rule["labels"]["severity"] in {"page", "ticket", "none"}


def test_a_dashboard_panel_shows_every_metric_that_is_about_correctness() -> None:
    shown = {_base(name) for expression in _expressions() for name in _NAME.findall(expression)}
    assert {
        "weir_dead_letters_total",
        "weir_duplicate_records_total",
        "weir_degraded_decisions_total",
        "weir_view_behind_records",
        "weir_kafka_transactions_aborted_total",
        "weir_misplaced_records_total",
        "weir_late_records_total",
    } <= shown


def test_the_page_is_served_and_the_port_is_free_again_after_close() -> None:
    server = serve_metrics("127.0.0.1", 0)
    metrics.RECORDS_CONSUMED.labels(stage="test").inc(0)
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics") as response:
        page = response.read().decode()
    server.close()
    assert 'weir_records_consumed_total{stage="test"}' in page
    serve_metrics("127.0.0.1", server.port).close()


def test_a_histogram_takes_a_batch_as_it_takes_its_values_one_by_one() -> None:
    values = [0.0, 0.1, 0.10001, 0.5, 1.0, 7.0]
    one, many = (
        metrics.BatchHistogram("test_seconds", "Seconds.", ["stage"], buckets=(0.1, 0.5, 1.0), registry=None)
        for _ in range(2)
    )
    for value in values:
        one.labels(stage="score").observe(value)
    many.labels(stage="score").observe_many(np.array(values))
    assert next(iter(many.collect())).samples == next(iter(one.collect())).samples
    many.labels(stage="score").observe_many(np.empty(0))
    assert next(iter(many.collect())).samples == next(iter(one.collect())).samples


@pytest.mark.parametrize(
    "sample", ['weir_bundle_reloads_total{result="refused"}', "weir_fallback_decisions_total{cause="]
)
def test_a_counter_that_an_alert_looks_at_is_there_before_it_counts(sample: str) -> None:
    """An increase of what is born above 0 is not seen."""
    done = subprocess.run(
        [sys.executable, "-c", "from weir.monitoring.metrics import render_metrics as r; print(r().decode())"],
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith(sample)]
    assert line.endswith(" 0.0")
