"""What ``weir monitor`` says of drift: as a document for machines, as a table, and to the metrics."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from rich.table import Table

from weir.monitoring import metrics
from weir.monitoring.terminal import build_table
from weir.training.drift.histograms import Histograms
from weir.training.drift.judge import Finding
from weir.training.drift.reference import Reference

SHOWN: Final = 10
"""Columns that a terminal shows of those that have not drifted; JSON has all."""


def build_document(
    version: str, reference: Reference, days: Sequence[Histograms], found: Sequence[Finding], *, until_ms: int
) -> dict[str, Any]:
    """Return all that was found.

    Args:
        version: of the model.
        reference: of its bundle.
        days: that were looked at, newest first.
        found: by ``judge.find_drift``.
        until_ms: append time at which the newest day ends, UTC epoch ms.
    """
    return {
        "model_version": version,
        "until_ms": until_ms,
        "reference": {"from_ms": reference.from_ms, "to_ms": reference.to_ms, "keys": reference.keys},
        "days": [{"rows": day.rows, "keys": day.keys} for day in days],
        "drifted": [each.name for each in found if each.drifted],
        "columns": [
            {
                "name": each.name,
                "drifted": each.drifted,
                "psi": each.psi,
                "usual_psi": each.usual,
                "ks": each.ks,
                "p_value": each.p_value,
                "missing_before": each.missing[0],
                "missing_now": each.missing[1],
            }
            for each in found
        ],
    }


def build_drift_table(document: dict[str, Any]) -> Table:
    """Return the columns that drifted, and those that moved farthest of the others."""
    columns = document["columns"]
    count = len(document["drifted"]) + SHOWN
    rows = [
        (
            each["name"],
            "drifted" if each["drifted"] else "",
            f"{each['psi']:.3f}",
            f"{each['usual_psi']:.3f}",
            f"{each['ks']:.3f}",
            f"{each['p_value']:.2g}",
            f"{each['missing_before']:.1%} to {each['missing_now']:.1%}",
        )
        for each in columns[:count]
    ]
    left = f"{len(columns) - len(rows)} more have moved less; --json shows all" if len(columns) > len(rows) else ""
    now, before = document["days"][0], document["reference"]
    title = (
        f"model {document['model_version']}: {now['rows']:,} decisions of {now['keys']:,} keys in the day until "
        f"{_format(document['until_ms'])}, against {before['keys']:,} keys from {_format(before['from_ms'])} "
        f"to {_format(before['to_ms'])}"
    )
    return build_table(("column", "", "PSI", "usual", "KS", "p", "missing"), rows, title=title, caption=left)


def say_drift(document: dict[str, Any]) -> str:
    """Return the answer in one sentence."""
    drifted, columns = document["drifted"], len(document["columns"])
    if not drifted:
        return f"none of {columns} columns has drifted"
    return f"{len(drifted)} of {columns} columns drifted: {', '.join(drifted[:SHOWN])}"


def meter_drift(document: dict[str, Any], stream: str, *, now_seconds: float) -> None:
    """Tell the metrics what was found of a stream."""
    for each in document["columns"]:
        metrics.DRIFT_PSI.labels(stream, each["name"]).set(each["psi"])
    metrics.DRIFTED_COLUMNS.labels(stream).set(len(document["drifted"]))
    metrics.DRIFT_LOOKED.labels(stream).set(now_seconds)


def _format(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat(timespec="minutes").replace("+00:00", "Z")
