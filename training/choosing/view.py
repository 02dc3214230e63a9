"""What ``weir models`` prints."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from weir.inference.bundle import Bundle
from weir.inference.published.bundles import Listed
from weir.inference.published.gate import Gate
from weir.monitoring.terminal import build_table, print_line, print_tables
from weir.schemas.printable import to_json

_LEFT_OUT = ("features", "reference", "metrics", "drift", "dataset", "labels", "calibration")


def show_list(found: Sequence[Listed], *, as_json: bool) -> None:
    """Show one line for each bundle."""
    columns = ("version", "name", "is", "created", "content", "folder")
    rows = [
        (
            each.manifest.version,
            each.manifest.name,
            ", ".join(each.roles),
            _format_time(each.manifest.created_time_ms),
            each.content[:12],
            each.folder.name if each.folder else "not here",
        )
        for each in found
    ]
    if as_json:
        for row in rows:
            write_json(dict(zip(columns, row, strict=True)))
    else:
        print_tables([build_table(columns, rows, title="" if rows else "no bundle: `weir train` makes one")])


def show_one(found: Listed, *, as_json: bool) -> None:
    """Show what the manifest of a bundle says."""
    document = found.manifest.model_dump(mode="json")
    if as_json:
        write_json({"content": found.content, "is": list(found.roles), "manifest": document})
        return
    told = {key: value for key, value in document.items() if key not in _LEFT_OUT}
    worth = found.manifest.calibration
    told["calibration"] = "none" if worth is None else f"{len(worth.scores)} knots"
    told |= {"features": len(found.manifest.features), "content": found.content, "is": ", ".join(found.roles) or "-"}
    print_tables([build_table(("field", "value"), [(key, str(value)) for key, value in told.items()])])
    if isinstance(metrics := document.get("metrics"), dict):
        print_tables([build_table(("metric", "value"), list(_flatten(metrics)), title="as it was trained")])
    if found.folder is not None:
        print_line(f"{found.folder}")


def show_gates(gates: Sequence[Gate], *, as_json: bool) -> None:
    """Show each gate with its number."""
    if as_json:
        for gate in gates:
            write_json({"gate": gate.name, "passed": gate.passed, "found": gate.found, "wanted": gate.wanted})
        return
    rows = [(gate.name, "pass" if gate.passed else "FAIL", gate.found, gate.wanted) for gate in gates]
    print_tables([build_table(("gate", "", "found", "wanted"), rows)])


def show_imported(bundle: Bundle, *, rows: int, parity: float | None, as_json: bool) -> None:
    """Show which bundle was made, and what it was checked by."""
    manifest = bundle.manifest
    if as_json:
        write_json({"version": manifest.version, "folder": str(bundle.directory), "rows": rows, "parity": parity})
        return
    source = "not compared with its source" if parity is None else f"at most {parity:.2g} from its source"
    column = "" if manifest.output_column is None else f"[{manifest.output_column}]"
    print_line(f"{bundle.directory}")
    print_line(
        f"input {manifest.input_name}, {len(manifest.features)} features, {manifest.dtype}; "
        f"score {manifest.output_name}{column}"
    )
    print_line(f"{rows:,} rows scored in [0, 1], half of them with missing values; {source}")
    print_line(f"nothing is published: weir models promote {manifest.version} --why ...")


def tell_not_promoted(failed: int) -> None:
    """Say that nothing was published, and what does it all the same."""
    gates = f"{failed} gate{'' if failed == 1 else 's'}"
    sys.stderr.write(f'{gates} not passed, so nothing is published; --force "why" publishes all the same\n')


def show_comparison(found: dict[str, Any], *, as_json: bool) -> None:
    """Show two models next to each other."""
    if as_json:
        write_json(found)
        return
    first, second = found["models"]
    rows = [(name, f"{a:.5g}", f"{b:.5g}", f"{a - b:+.5g}") for name, (a, b) in found["figures"].items()]
    since, until = (_format_time(found[name]) for name in ("from_ms", "to_ms"))
    title = f"{found['rows']:,} labelled rows, {found['frauds']:,} of them fraud, {since} to {until}"
    print_tables([build_table(("figure", first, second, "difference"), rows, title=title)])
    for name, (value, low, high) in found["differences"].items():
        said = "no more than noise" if low <= 0 <= high else "more than noise"
        print_line(f"{name}: {value:+.5f}, 95 % of draws {low:+.5f} to {high:+.5f}: {said}")


def _flatten(metrics: dict[str, Any], before: str = "") -> Sequence[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in metrics.items():
        if isinstance(value, dict):
            rows += _flatten(value, f"{before}{key}.")
        else:
            rows.append((before + key, f"{value:.6g}" if isinstance(value, float) else str(value)))
    return rows


def write_json(document: dict[str, Any]) -> None:
    """Write one line for machines."""
    sys.stdout.write(to_json(document) + "\n")


def _format_time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
